"""What time decides is an event: the worker looks at calls that fell silent and appends `call.presumed_ended`, naming the rule.

The event's id is made of the call and its last sign of life, so any number of workers may say it and it counts once. It goes
through the log like everything else; a real end, or any later sign, corrects it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
import structlog

from calls.clock import Micros, rfc3339, to_datetime, to_micros
from calls.envelope import TOPICS, Envelope, digest, encode
from runtime import clock
from runtime.kafka import Publisher
from runtime.postgres import AWAY, connect
from runtime.problems import Retry
from runtime.settings import Account, Settings

log = structlog.get_logger()
EVERY_S = 10.0
AT_ONCE = 500
SILENT = """
SELECT j.tenant, j.account, c.call_sid, j.last_sign_at,
       (SELECT max(d.known_at) FROM live.call_index i JOIN safiri.journal d
          ON d.tenant = i.tenant AND d.stream = i.call_sid AND d.stream_kind = 'call'
        WHERE i.tenant = j.tenant AND i.journey_id = j.journey_id) AS heard_at
FROM live.journeys j JOIN live.calls c USING (tenant, journey_id)
WHERE j.state = 'open' AND c.ended_at IS NULL AND j.account = %(account)s AND j.tenant = %(tenant)s
  AND (j.last_sign_at < %(before)s OR j.last_sign_at > %(now)s)
ORDER BY j.last_sign_at LIMIT %(limit)s
"""


class Silent(msgspec.Struct):
    """A call that has not ended and of which nothing has been heard for longer than its account's rule allows."""

    tenant: str
    account: str
    call_sid: str
    last_sign_at: Micros


def presumed(call: Silent, *, silence_s: int, now: Micros) -> Envelope:
    """The event: the call was over at its last sign of life."""
    event_id = f"presumed:{call.call_sid}:{call.last_sign_at}"
    body = msgspec.json.encode({
        "type": "call.presumed_ended", "event_id": event_id, "call_sid": call.call_sid, "occurred_at": rfc3339(call.last_sign_at),
        "rule": "silence", "silence_ms": silence_s * 1000,
    })  # fmt: skip
    return Envelope(
        tenant=call.tenant, account=call.account, provider="neutral", stream_kind="call", stream=call.call_sid, event_id=event_id,
        receipt=uuid.uuid5(uuid.NAMESPACE_URL, f"{call.tenant}/{event_id}").hex, received_at=now, digest=digest(body), source="worker",
        signature="ours", content_type="application/json", body=body.decode(),
    )  # fmt: skip


def find_silent(database_url: str, accounts: dict[str, Account], *, now: Micros) -> list[tuple[Silent, int]]:
    """Calls that fell silent, with their account's silence in seconds. Raises Retry where Postgres is away."""
    found: list[tuple[Silent, int]] = []
    try:
        with connect(database_url, name="worker", autocommit=True) as connection:
            for name, account in accounts.items():
                before = to_datetime(now - account.presume_ended_after_s * 1_000_000)
                asked: dict[str, Any] = {
                    "account": name, "tenant": account.tenant, "before": before, "now": to_datetime(now), "limit": AT_ONCE,
                }  # fmt: skip
                for tenant, owner, sid, last_sign_at, heard_at in connection.execute(SILENT, asked):
                    if heard_at is not None and heard_at < before:
                        found.append((Silent(tenant, owner, sid, to_micros(last_sign_at)), account.presume_ended_after_s))
    except (*AWAY, psycopg.errors.UndefinedTable) as error:
        raise Retry(f"Postgres is not ready: {type(error).__name__}") from error
    return found


async def _round(settings: Settings, database_url: str, publisher: Publisher) -> int:
    now = clock.now()
    silent = await asyncio.to_thread(find_silent, database_url, dict(settings.accounts), now=now)
    made = (presumed(call, silence_s=silence_s, now=now) for call, silence_s in silent)
    await asyncio.gather(*(publisher.send(TOPICS["call"], one.stream, encode(one)) for one in made))
    return len(silent)


async def presume(settings: Settings, database_url: str, publisher: Callable[[], Publisher]) -> None:
    """Looks, again and again, until cancelled. `publisher` gives today's."""
    shortest = min((account.presume_ended_after_s for account in settings.accounts.values()), default=60)
    while True:
        try:
            found = await _round(settings, database_url, publisher())
            if found:
                log.info("presumed ended", calls=found)
        except Retry as error:
            log.warning("waiting", reason=str(error))
        await asyncio.sleep(min(EVERY_S, max(0.5, shortest / 4)))
