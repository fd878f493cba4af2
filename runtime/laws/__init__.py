"""How the laws of the numbers (calls/metrics/laws.py) are asked of the derived tables: by the API, the command line and a rebuild."""
