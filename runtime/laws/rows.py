"""The laws of single rows, as SQL: each is what its journey's document tells, belongs to a journey, and has nothing negative."""

from __future__ import annotations

import msgspec

from calls.metrics.slots import COLUMNS
from runtime.laws.sides import MINE, OF_JOURNEY, Asked, journeys, of, sound


class Told(msgspec.Struct, frozen=True):
    """A table whose rows the documents tell: what `columns` (name -> type) are there, and which `key` names one of a journey's rows.

    `given`: columns that the place in the document says.
    """

    columns: dict[str, str]
    key: tuple[str, ...]
    given: tuple[str, ...] = ()


def _listed(document: str, name: str, shape: dict[str, str], *inner: str) -> str:
    """The rows of a JSON list, numbered from 0 as `n`; `inner`: lists within."""
    columns = shape | dict.fromkeys(inner, "jsonb")
    typed = ", ".join(f"{column} {type_}" for column, type_ in columns.items())
    return (
        f"(SELECT {', '.join(columns)}, (nr - 1)::int4 AS n "
        f"FROM ROWS FROM (jsonb_to_recordset({document}) AS ({typed})) WITH ORDINALITY x ({', '.join(columns)}, nr)) {name}"
    )


_HEARD = {"started_at": "timestamptz", "answered_at": "timestamptz", "ended_at": "timestamptz"}
_CALL = {
    "call_sid": "text", "aliases": "text[]", "account": "text", "direction": "text", "caller": "text", "called": "text", **_HEARD,
}  # fmt: skip
_LEG = {"leg": "text", "kind": "text", "address": "text", "agent": "text", "queue": "text", **_HEARD, "ended_by": "text", "cause": "text"}
_SEGMENT = {
    "kind": "text", "started_at": "timestamptz", "ended_at": "timestamptz", "duration_ms": "int8", "queue": "text", "agent": "text",
}  # fmt: skip
_VISIT = {
    "call_sid": "text", "queue": "text", "entered_at": "timestamptz", "left_at": "timestamptz", "wait_ms": "int8", "outcome": "text",
    "agent": "text", "priority": "int4",
}  # fmt: skip
_STEP = {"call_sid": "text", "at": "timestamptz", "menu": "text", "digits": "text", "timed_out": "bool"}

_CALLS, _LEGS = _listed("j.told -> 'calls'", "c", _CALL, "legs"), _listed("c.legs", "l", _LEG, "segments")
TOLD = {
    "calls": Told(_CALL, ("call_sid",)),
    "legs": Told(_LEG, ("call_sid", "leg"), ("call_sid",)),
    "segments": Told(_SEGMENT, ("call_sid", "leg", "n"), ("call_sid", "leg", "n")),
    "queue_visits": Told(_VISIT, ("n",), ("n",)),
    "menu_steps": Told(_STEP, ("n",), ("n",)),
}
_SPENT = dict.fromkeys(("total_ms", "menu_ms", "queue_ms", "ring_ms", "talk_ms", "hold_ms", "bot_ms"), "int8")
_HEAD = {
    "account": "text", "provider": "text", "direction": "text", "caller": "text", "called": "text", **_HEARD, "state": "text",
    "outcome": "text", "ended_by": "text", "complete": "bool", "events": "int4", "labels": "text[]", "attributes": "jsonb", "flow": "text",
}  # fmt: skip
_CODES = """(SELECT coalesce(array_agg(DISTINCT code COLLATE "C" ORDER BY code COLLATE "C"), '{}')
FROM jsonb_to_recordset(j.told -> 'anomalies') AS a (code text))"""


def _typed(shape: dict[str, str]) -> str:
    return ", ".join(f"{name} {type_}" for name, type_ in shape.items())


def _row(*columns: str) -> str:
    """What a row says, as a number: equal rows have equal ones."""
    return f"hash_record_extended(ROW({', '.join(columns)}), 0)"


def _own(of_journey: str, of_durations: str, *rest: str) -> str:
    """A journey's own columns: as they are kept, or as its document tells them."""
    return _row(*(f"{of_journey}.{name}" for name in _HEAD), *(f"{of_durations}.{name}" for name in _SPENT), *rest)


def _says(table: str, own: str, **others: str) -> tuple[str, str, str]:
    """Which table, which row of it and what it says; `own` is the alias of its columns, but for those that `others` have."""
    told = TOLD[table]
    full = {name: f"{others.get(name, own)}.{name}" for name in (*told.given, *told.columns)}
    return f"'{table}'", " || ' ' || ".join(f"{full[name]}::text" for name in told.key), _row(*full.values())


def _kept(table: str) -> str:
    return of(table, "t.journey_id", *_says(table, "t"), "1", "0")


def _told(source: str, *says: str) -> str:
    return f"SELECT {', '.join(says)} FROM {source}"


# A NUL cannot be in a jsonb; the columns have another character instead of it. A backslash may itself be escaped.
_AS_JSON = (
    "(CASE WHEN strpos(j.document, '\\u0000') = 0 THEN j.document "
    "ELSE regexp_replace(j.document, '(?<!\\\\)((?:\\\\\\\\)*)\\\\u0000', '\\1\ufffd', 'g') END)::jsonb"
)
_OWN_TOLD = _own("h", "s", _CODES, "j.told -> 'queue_visits' -> 0 ->> 'queue'", "j.told -> 'menu_path' -> -1 ->> 'menu'")
_HEAD_TOLD = (
    f"SELECT 'journeys', '', {_OWN_TOLD} FROM jsonb_to_record(j.told) AS h ({_typed(_HEAD)}) "
    f"CROSS JOIN LATERAL jsonb_to_record(j.told -> 'durations') AS s ({_typed(_SPENT)})"
)
# A call is read once for itself, its legs and their segments.
_CALLS_TOLD = f"""SELECT x.* FROM {_CALLS} CROSS JOIN LATERAL (SELECT {", ".join(_says("calls", "c"))} UNION ALL
SELECT y.* FROM {_LEGS} CROSS JOIN LATERAL (SELECT {", ".join(_says("legs", "l", call_sid="c"))} UNION ALL
{_told(_listed("l.segments", "s", _SEGMENT), *_says("segments", "s", call_sid="c", leg="l"))}) y) x"""
# Of a charge the document names the lines of its working, and says why only where there is no amount.
_CHARGE = {
    "call_sid": "text", "leg": "text", "plan": "text", "version": "text", "rule": "int4", "amount_minor": "int8", "tax_minor": "int8",
    "currency": "text", "working": "jsonb", "unrated": "text",
}  # fmt: skip
_LINES = """coalesce((SELECT jsonb_agg(jsonb_build_array(w ->> 'what', w ->> 'exact') ORDER BY n)
FROM jsonb_array_elements(q.working) WITH ORDINALITY x (w, n)), '[]')"""
_SAME = [name for name in _CHARGE if name not in ("currency", "working", "unrated")]
_CHARGES_KEPT = of(
    "charges", "t.journey_id", "'charges'", "t.call_sid || ' ' || t.leg",
    _row(*(f"t.{name}" for name in _SAME), "nullif(t.currency, '')", "t.working::jsonb", "t.why"), "1", "0",
)  # fmt: skip
_CHARGES_TOLD = _told(
    _listed("j.told -> 'charges'", "q", _CHARGE),
    "'charges'", "q.call_sid || ' ' || q.leg", _row(*(f"q.{name}" for name in _SAME), "q.currency", _LINES, "coalesce(q.unrated, '')"),
)  # fmt: skip
_OTHERS_TOLD = [
    _CHARGES_TOLD,
    _told(_listed("j.told -> 'queue_visits'", "v", _VISIT), *_says("queue_visits", "v")),
    _told(_listed("j.told -> 'menu_path'", "m", _STEP), *_says("menu_steps", "m")),
]
_DOCUMENTS = journeys("j.journey_id", f"{_AS_JSON} AS told") + " OFFSET 0"  # each is read once
STORY = Asked(
    ("journey_id", "of", "row", "digest"),
    journeys("j.journey_id", "'journeys' AS of", "'' AS row", f"{_own('j', 'j', 'j.anomalies', 'j.queue', 'j.menu')} AS digest", "1 AS l",
             "0 AS r")
    + " UNION ALL " + " UNION ALL ".join([*map(_kept, TOLD), _CHARGES_KEPT])
    + f" UNION ALL SELECT j.journey_id, x.of, x.row, x.digest, 0, 1 FROM ({_DOCUMENTS}) j CROSS JOIN LATERAL ("
    + " UNION ALL ".join([_HEAD_TOLD, _CALLS_TOLD, *_OTHERS_TOLD])
    + ") x (of, row, digest)",
)  # fmt: skip


# ---------------------------------------------------------------- belonging to a journey

_WHEN = {
    "legs": "cohort_at",
    "segments": "cohort_at",
    "queue_visits": "entered_at",
    "charges": "started_at",
}  # what metrics read, and what finds it


# An id that was only named (by a link that is none) has an address without a journey; one that is tied to a large journey has it before
# that is folded (safiri.deferred).
_WITHOUT = """(j.journey_id IS NOT NULL OR EXISTS (SELECT FROM safiri.journal e
WHERE e.tenant = t.tenant AND e.stream = t.call_sid AND e.stream_kind = 'call')
AND NOT EXISTS (SELECT FROM safiri.deferred d JOIN live.call_index i ON i.tenant = d.tenant AND i.call_sid = d.call_sid
WHERE i.tenant = t.tenant AND i.group_id = t.group_id))"""


def _belonging(table: str) -> str:
    """Rows without a journey have a place of their own; the rest only counts."""
    at = _WHEN.get(table)
    timed = f"(t.{at} >= %(since)s AND t.{at} < %(until)s)" if at else "false"
    named = "t.journey_id IS NOT NULL" + (f" AND {_WITHOUT}" if table == "call_index" else "")
    lost = "CASE WHEN j.journey_id IS NULL THEN {} END"
    return (
        f"SELECT {lost.format(repr(table))} AS of, {lost.format('t.journey_id')} AS journey_id, "
        f"count(*) AS l, count(j.journey_id) AS r FROM live.{table} t LEFT JOIN live.journeys j ON {OF_JOURNEY} "
        f"WHERE t.tenant = %(tenant)s AND {named} AND (%(everything)s OR {timed}) GROUP BY 1, 2"
    )


BELONG = Asked(
    ("of", "journey_id"),
    " UNION ALL ".join(map(_belonging, ("calls", "legs", "segments", "queue_visits", "menu_steps", "charges", "labels", "call_index"))),
)


# ---------------------------------------------------------------- nothing negative


def _least(*columns: str) -> str:
    return f"coalesce(least({', '.join(columns)}), 0) < 0"


# Of all shards together: one alone may well be below 0, for it takes off what another has added.
_QUEUES = (
    "(SELECT queue, slot, "
    + ", ".join(f'sum("{name}") AS "{name}"' for name in COLUMNS)
    + " FROM live.queue_slots WHERE tenant = %(tenant)s AND slot >= %(slots_since)s AND slot < %(slots_until)s GROUP BY 1, 2) t"
)
_LENGTHS = [f"j.{name}" for name in (*_SPENT, "max_wait_ms", "events", "visits", "handled")]
_OF_JOURNEYS = f"live.{{}} t JOIN live.journeys j ON {OF_JOURNEY} WHERE {MINE}"
SOUND = [
    sound("journeys", "j.journey_id", fault=_least(*_LENGTHS), source=f"live.journeys j WHERE {MINE}"),
    sound("queue_visits", "t.journey_id", fault=_least("t.wait_ms"), source=_OF_JOURNEYS.format("queue_visits")),
    sound("segments", "t.journey_id", fault=_least("t.duration_ms"), source=_OF_JOURNEYS.format("segments")),
    sound("queue_slots", "t.queue || ' ' || t.slot", fault=_least(*(f't."{name}"' for name in COLUMNS)), source=_QUEUES),
]
