"""Hears: webhook receivers, imports, the durable spool. Everything ends as an envelope in Kafka."""
