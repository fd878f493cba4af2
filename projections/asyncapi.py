"""The AsyncAPI document of the log: FastStream says which channels there are, the envelope's own schema what lies in them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from faststream.specification import AsyncAPI

from calls.envelope import Envelope
from projections.consumer import Consumption
from runtime.kafka import LOG_TOPICS
from runtime.settings import Settings

KEYS = {
    "call-events": "the call SID", "agent-events": "the agent's id", "account-events": "the account", "quarantine": "the receipt",
}  # fmt: skip


def document() -> dict[str, Any]:
    """AsyncAPI 3.0, as a JSON object."""
    consumption = Consumption(Settings(), bootstrap="localhost:9092", database_url="")
    made: dict[str, Any] = json.loads(AsyncAPI(consumption.broker, title="Safiri", version="1").to_specification().to_json())
    schema = msgspec.json.schema(Envelope)["$defs"]["Envelope"]
    made["components"]["schemas"] = {"Envelope": schema}
    for message in made["components"]["messages"].values():
        message["payload"] = {"$ref": "#/components/schemas/Envelope"}
        message.pop("correlationId", None)  # there is none; the receipt names the request
    for channel in made["channels"].values():
        topic = channel["address"]
        what = f"Every delivery, as received (masked), under {KEYS[topic]} as its key."
        channel["description"] = f"{what} LogAppendTime; at most 4 MiB a record."
    assert {channel["address"] for channel in made["channels"].values()} == set(LOG_TOPICS)
    return made
