"""The plugs: settings, Postgres, Kafka, the embedded stack, telemetry."""
