"""Tries quarantined deliveries again with the parsers of today. What is understood goes into the log under its old receipt."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from calls.clock import to_micros
from calls.envelope import Envelope
from calls.providers import PROVIDERS
from ingest.accept import Origin, envelope
from ingest.events import event
from ingest.publish import Appender
from ingest.statement_lines import line_again, means_of, origin_of
from runtime.addresses import Addresses
from runtime.postgres import connect
from runtime.problems import Refused
from runtime.settings import Account, Settings

AT_ONCE = 50  # bodies in memory
COLUMNS = "id, tenant, account, provider, source, received_at, content_type, headers, body"


def redrive(settings: Settings, addresses: Addresses, ids: list[str], everything: bool) -> dict[str, int]:
    """`{"tried", "redriven", "kept"}`. Raises Refused for an unknown id, Retry where Kafka or Postgres is away."""
    tried = redriven = 0
    appender = Appender(addresses["kafka"])
    with connect(addresses["database"], name="redrive") as connection:
        wanted = [_uuid(one) for one in ids]
        rows = connection.execute(
            "SELECT id FROM safiri.quarantine WHERE redriven_at IS NULL AND (%s OR id = ANY(%s)) ORDER BY received_at, id",
            (everything, wanted),
        ).fetchall()
        missing = set(wanted) - {row[0] for row in rows}
        if missing and not everything:
            unknown = ", ".join(str(one) for one in sorted(missing))
            raise Refused(404, "Unknown id", f"not in quarantine: {unknown}; see `safiri quarantine ls`")
        for start in range(0, len(rows), AT_ONCE):
            few = [row[0] for row in rows[start : start + AT_ONCE]]
            whole = connection.execute(f"SELECT {COLUMNS} FROM safiri.quarantine WHERE id = ANY(%s) ORDER BY received_at, id", (few,))
            made = {row[0]: _again(settings, addresses["database"], row) for row in whole}
            good = {identity: one for identity, one in made.items() if one.stream_kind != "quarantine"}
            appender.append(good.values())
            appender.flush()
            connection.execute("UPDATE safiri.quarantine SET redriven_at = clock_timestamp() WHERE id = ANY(%s)", (list(good),))
            for identity, one in made.items():
                connection.execute(
                    "UPDATE safiri.quarantine SET attempts = attempts + 1, tried_at = clock_timestamp(), "
                    "reason = CASE WHEN %s = '' THEN reason ELSE %s END WHERE id = %s",
                    (one.reason, one.reason.replace("\0", "\ufffd"), identity),
                )
            connection.commit()
            tried, redriven = tried + len(made), redriven + len(good)
    return {"tried": tried, "redriven": redriven, "kept": tried - redriven}


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise Refused(404, "Unknown id", f"{text[:100]!r} is no id of a quarantined delivery; see `safiri quarantine ls`") from None


def _again(settings: Settings, database_url: str, row: tuple[Any, ...]) -> Envelope:
    """The envelope as it would be made today, with its receipt and its time of receipt."""
    identity, tenant, account, provider, source, received_at, content_type, headers, body = row
    if provider not in PROVIDERS or account is None:
        return _kept(identity, "it does not say which account it came for")
    known = settings.accounts.get(account) or Account(provider=provider, tenant=tenant or "default")
    origin = Origin(account, known, PROVIDERS[provider], source="redrive")
    try:
        if source == "statement":
            made = _line_again(settings, database_url, origin, bytes(body))
            return msgspec.structs.replace(made, receipt=identity.hex, received_at=to_micros(received_at))
        if provider == "neutral":
            event(origin, bytes(body))
        made = envelope(
            origin, bytes(body), content_type=content_type, headers=msgspec.json.decode(headers) if headers else {},
            received_at=to_micros(received_at), signature="redrive",
        )  # fmt: skip
    except ValueError as error:
        return _kept(identity, str(error))
    return msgspec.structs.replace(made, receipt=identity.hex)


def _line_again(settings: Settings, database_url: str, origin: Origin, body: bytes) -> Envelope:
    """A line of a statement. Raises ValueError where it cannot be counted today either."""
    means = means_of(settings, origin.account, database_url=database_url, signature="redrive")
    return line_again(origin_of(origin.name, origin.account, import_id=""), body, means)


def _kept(identity: uuid.UUID, reason: str) -> Envelope:
    return Envelope(
        tenant="", account="", provider="", stream_kind="quarantine", stream=identity.hex, event_id=identity.hex, receipt=identity.hex,
        received_at=0, digest="", reason=reason,
    )  # fmt: skip
