"""Our legs, the provider's call records and its ledger: what belongs together, and why the amounts differ."""
