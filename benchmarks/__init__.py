"""How fast and how small Safiri is, each figure beside a limit measured in the same run. `python -m benchmarks --help`."""
