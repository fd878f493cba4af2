"""The published AsyncAPI document is the one that the code makes."""

from __future__ import annotations

import json
from pathlib import Path

from projections.asyncapi import document
from runtime.kafka import LOG_TOPICS

PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "asyncapi.json"


def test_the_published_document_is_up_to_date() -> None:
    assert json.loads(PUBLISHED.read_text()) == document(), "run `safiri asyncapi > docs/asyncapi.json`"


def test_every_topic_of_the_log_is_described_with_the_envelope() -> None:
    made = document()
    assert {channel["address"] for channel in made["channels"].values()} == set(LOG_TOPICS)
    envelope = made["components"]["schemas"]["Envelope"]
    assert {"tenant", "stream", "event_id", "receipt", "received_at", "digest"} <= set(envelope["required"])
