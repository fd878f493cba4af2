"""The schema's history: precious and operational tables only; derived tables are rebuilt, never backfilled."""
