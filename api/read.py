"""Journeys out of the tables: a page of a list, and one by any of its ids. Shared by the routes and the command line.

Documents are stored as JSON text; answers are put together as text, not decoded and encoded again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from api.cursors import Place, encode
from api.params import Asked, Value
from calls.clock import rfc3339, to_datetime, to_micros
from calls.parameters import ATTRIBUTE
from projections.call_index import TABLE as INDEX
from projections.calls_table import TABLE as CALLS
from projections.journeys import TABLE as JOURNEYS
from projections.labels import INDEXED
from projections.labels import TABLE as LABELS
from projections.legs import TABLE as LEGS
from projections.queue_visits import TABLE as VISITS
from runtime.problems import Refused, invalid
from runtime.settings import Settings

Condition: TypeAlias = sa.ColumnElement[bool]
LONGEST_ID = 2000
ADDRESS = "jn_"  # how every journey id begins
MOST_NAMED = 100  # journeys listed in a 409


class Ambiguous(Refused):
    """409: the id names several journeys. `journeys`: rows of `journey_id`, `call_sid`, `started_at`."""

    def __init__(self, name: str, journeys: list[dict[str, object]]) -> None:
        super().__init__(409, "Several journeys", f"{name[:80]!r} names {len(journeys)} journeys: ask for one of them by its journey_id")
        self.journeys = journeys

    def body(self) -> dict[str, object]:
        return super().body() | {"journeys": self.journeys}


def page(connection: sa.Connection, asked: Asked, *, tenant: str, accounts: frozenset[str], complete_through: str | None) -> bytes:
    """The JSON of `GET /v1/journeys`. `accounts`: those the settings know of the tenant. Refused 422 for an account nobody knows."""
    found: Sequence[Any] = connection.execute(_listing(asked, tenant)).all()
    account = asked.filters.get("account")
    if not found and account is not None and account not in accounts and not has_rows(connection, tenant, str(account)):
        raise invalid("account", f"no account of this name; known are {', '.join(sorted(accounts)) or 'none'}")
    rows = found[: asked.limit]
    more = len(found) > asked.limit
    cursor = encode(Place(to_micros(rows[-1].started_at), rows[-1].journey_id, asked.digest)) if more else None
    tail = _tail(complete_through)
    listed = b",".join(row.document.encode()[:-1] + tail for row in rows)
    end = msgspec.json.encode({"next_cursor": cursor, "complete_through": complete_through})
    return b'{"journeys":[' + listed + b"]," + end[1:]


def one(connection: sa.Connection, name: str, *, tenant: str, complete_through: str | None) -> bytes:
    """The JSON of `GET /v1/journeys/{id}`. Refused 404 where nothing has that id, Ambiguous where several have."""
    wanted = sa.select(JOURNEYS.c.document).where(JOURNEYS.c.tenant == tenant, JOURNEYS.c.journey_id == find(connection, name, tenant))
    document = connection.execute(wanted).scalar_one_or_none()
    if document is None:
        raise unknown(name)
    return bytes(document.encode()[:-1] + _tail(complete_through))


def find(connection: sa.Connection, name: str, tenant: str) -> str:
    """The journey_id that `name` leads to: a journey's id (any member's own too), a call SID or alias, a label; in this order."""
    if not name or len(name) > LONGEST_ID or "\0" in name or any("\ud800" <= letter <= "\udfff" for letter in name):
        raise unknown(name)
    mine = INDEX.c.tenant == tenant
    addresses = (INDEX.c.own_id, INDEX.c.journey_id) if name.startswith(ADDRESS) else ()
    for column in (*addresses, INDEX.c.call_sid):
        wanted = sa.select(INDEX.c.journey_id).where(mine, column == name, INDEX.c.journey_id.is_not(None)).limit(1)
        found = connection.execute(wanted).scalar_one_or_none()
        if found is not None:
            return str(found)
    return _by_label(connection, name, tenant)


def accounts_of(settings: Settings, tenant: str) -> frozenset[str]:
    """The names of the tenant's accounts."""
    return frozenset(name for name, account in settings.accounts.items() if account.tenant == tenant)


def unknown(name: str) -> Refused:
    return Refused(404, "Not found", f"no call or journey of yours has the id {name[:80]!r}; one that was just received may take a moment")


def _by_label(connection: sa.Connection, name: str, tenant: str) -> str:
    same = sa.and_(sa.func.left(LABELS.c.label, INDEXED) == name[:INDEXED], LABELS.c.label == name)
    wanted = sa.select(LABELS.c.journey_id).where(LABELS.c.tenant == tenant, same).limit(MOST_NAMED)
    found = [str(row) for row in connection.execute(wanted).scalars()]
    if len(found) == 1:
        return found[0]
    if not found:
        raise unknown(name)
    first = sa.select(sa.func.min(CALLS.c.call_sid)).where(CALLS.c.tenant == tenant, CALLS.c.journey_id == JOURNEYS.c.journey_id)
    several = sa.select(JOURNEYS.c.journey_id, first.scalar_subquery(), JOURNEYS.c.started_at).where(
        JOURNEYS.c.tenant == tenant, JOURNEYS.c.journey_id.in_(found)
    )
    rows = connection.execute(several.order_by(JOURNEYS.c.started_at.desc(), JOURNEYS.c.journey_id.desc())).all()
    raise Ambiguous(name, [{"journey_id": row[0], "call_sid": row[1], "started_at": rfc3339(to_micros(row[2]))} for row in rows])


def _tail(complete_through: str | None) -> bytes:
    """What a stored document lacks, and its closing brace."""
    return b',"complete_through":' + msgspec.json.encode(complete_through) + b"}"


def has_rows(connection: sa.Connection, tenant: str, account: str) -> bool:
    wanted = sa.select(sa.exists().where(JOURNEYS.c.tenant == tenant, JOURNEYS.c.account == account))
    return bool(connection.execute(wanted).scalar_one())


def known_account(engine: sa.Engine, settings: Settings, *, tenant: str, account: str) -> None:
    """Refused 422 where neither the settings nor any call knows the account."""
    accounts = accounts_of(settings, tenant)
    if account in accounts:
        return
    with engine.connect() as connection:
        if not has_rows(connection, tenant, account):
            raise invalid("account", f"no account of this name; known are {', '.join(sorted(accounts)) or 'none'}")


def _listing(asked: Asked, tenant: str) -> sa.Select[Any]:
    wanted = sa.select(JOURNEYS.c.journey_id, JOURNEYS.c.started_at, JOURNEYS.c.document).where(JOURNEYS.c.tenant == tenant)
    for name, value in asked.filters.items():
        wanted = wanted.where(_condition(name, value))
    if asked.after:
        place = sa.tuple_(sa.literal(to_datetime(asked.after.at), sa.TIMESTAMP(timezone=True)), sa.literal(asked.after.id, sa.Text))
        wanted = wanted.where(sa.tuple_(JOURNEYS.c.started_at, JOURNEYS.c.journey_id) < place)
    return wanted.order_by(JOURNEYS.c.started_at.desc(), JOURNEYS.c.journey_id.desc()).limit(asked.limit + 1)


def _condition(name: str, value: Value) -> Condition:
    """The SQL of one filter; every value is a bound parameter."""
    if name.startswith(ATTRIBUTE):
        return _equal(JOURNEYS.c.attributes[name.removeprefix(ATTRIBUTE)].astext, value)
    if name in _SPECIAL:
        return _SPECIAL[name](value)
    return _equal(JOURNEYS.c[name], value)


def _equal(column: sa.ColumnElement[Any], value: Value) -> Condition:
    return column == value


def _here(table: sa.Table, column: str, value: Value) -> Condition:
    """The journey has a row in `table` with that value."""
    return sa.exists().where(table.c.tenant == JOURNEYS.c.tenant, table.c.journey_id == JOURNEYS.c.journey_id, table.c[column] == value)


_SPECIAL: dict[str, Callable[[Any], Condition]] = {
    "from": lambda value: JOURNEYS.c.started_at >= to_datetime(value),
    "to": lambda value: JOURNEYS.c.started_at < to_datetime(value),
    "number": lambda value: sa.or_(JOURNEYS.c.caller == value, JOURNEYS.c.called == value),
    "agent": lambda value: sa.or_(_here(LEGS, "agent", value), _here(VISITS, "agent", value)),
    "queue": lambda value: sa.or_(_here(VISITS, "queue", value), _here(LEGS, "queue", value)),
    "min_wait_ms": lambda value: JOURNEYS.c.max_wait_ms >= value,
    "min_duration_ms": lambda value: JOURNEYS.c.total_ms >= value,
    "anomaly": lambda value: JOURNEYS.c.anomalies.contains(sa.cast([value], pg.ARRAY(sa.Text))),
}
