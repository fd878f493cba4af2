"""The laws of journeys and their rows, as SQL."""

from __future__ import annotations

from calls.journey import DIRECTIONS, OUTCOMES, STATES
from runtime.laws.sides import MINE, OF_JOURNEY, SLOT, Asked, agreeing, both, journeys, length, of, words

KINDS = ("menu", "queue", "ring", "talk", "hold", "bot")
_HANDLED = "t.cohort_at IS NOT NULL"

_KNOWN = f"j.outcome IN ({words(*OUTCOMES)}) AND j.state IN ({words(*STATES)}) AND coalesce(j.direction IN ({words(*DIRECTIONS)}), true)"
OUTCOME = Asked(("quarter",), journeys(f"{SLOT.format('j.started_at')} AS quarter", "1 AS l", f"({_KNOWN})::int AS r"))

_OPEN_CALL = (
    "coalesce((SELECT bool_or(c.ended_at IS NULL) FROM live.calls c WHERE c.tenant = j.tenant AND c.journey_id = j.journey_id), true)"
)
OPEN = Asked(("journey_id",), journeys("j.journey_id", "(j.state = 'open')::int AS l", f"{_OPEN_CALL}::int AS r"))

_IDS = of("calls", "t.tenant", "t.journey_id", "unnest(t.aliases || t.call_sid) AS call_sid")
INDEXED = both(
    ("journey_id", "call_sid"),
    f"SELECT journey_id, call_sid, 1 AS amount FROM ({_IDS}) k",
    f"SELECT journey_id, call_sid, 1 AS amount FROM ({_IDS}) k JOIN live.call_index i USING (tenant, call_sid, journey_id)",
)

COUNTS = both(
    ("journey_id", "of"),
    journeys("j.journey_id", "'visits' AS of", "coalesce(j.visits, 0) AS amount")
    + " UNION ALL " + journeys("j.journey_id", "'handled'", "coalesce(j.handled, 0)"),
    of("queue_visits", "t.journey_id", "'visits' AS of", "1 AS amount")
    + " UNION ALL " + of("legs", "t.journey_id", "'handled'", "1", when=_HANDLED),
)  # fmt: skip

_SPENT = ", ".join(f"('{kind}', coalesce(j.{kind}_ms, 0)::int8, coalesce(s.{kind}_ms, 0)::int8)" for kind in KINDS)
_SUMS = ", ".join(f"sum(t.duration_ms) FILTER (WHERE t.kind = '{kind}') AS {kind}_ms" for kind in KINDS)
TIMES = agreeing(
    ("journey_id", "kind"),
    "SELECT j.journey_id, v.kind, v.l, v.r "
    f"FROM live.journeys j LEFT JOIN ({of('segments', 't.journey_id', _SUMS, group='t.journey_id')}) s ON s.journey_id = j.journey_id "
    f"CROSS JOIN LATERAL (VALUES {_SPENT}) v (kind, l, r) WHERE {MINE}",
)

FIRST = both(
    ("journey_id", "agent"),
    journeys("j.journey_id", "j.agent", "1 AS amount", when="j.agent IS NOT NULL"),
    "SELECT journey_id, agent, 1 AS amount FROM ("
    + of("legs", "DISTINCT ON (t.journey_id) t.journey_id", "t.agent", when=f"{_HANDLED} AND t.agent <> ''")
    + ' ORDER BY t.journey_id, t.answered_at, t.leg COLLATE "C") f',
)  # fmt: skip

# After its first bot the caller came to a queue or to a person; or the bot said that it handed over, which only the journey's own word
# tells; but one whose outcome is `contained` was not handed over.
_AFTER = """
EXISTS (SELECT FROM live.queue_visits v WHERE v.tenant = j.tenant AND v.journey_id = j.journey_id AND v.entered_at >= b.since)
OR EXISTS (SELECT FROM live.legs h WHERE h.tenant = j.tenant AND h.journey_id = j.journey_id AND h.cohort_at IS NOT NULL
           AND h.answered_at >= b.since)"""
_BOTS = of("legs", "t.tenant", "t.journey_id", "min(t.started_at) AS since", when="t.kind = 'bot'", group="t.tenant, t.journey_id")
BOTS = both(
    ("journey_id", "bot"),
    journeys("j.journey_id", "j.bot", "1 AS amount", when="j.bot IS NOT NULL"),
    f"SELECT j.journey_id, CASE WHEN {_AFTER} OR (j.bot = 'handed_over' AND j.outcome <> 'contained') THEN 'handed_over' "
    f"WHEN j.state = 'open' THEN 'open' ELSE 'contained' END AS bot, 1 AS amount FROM ({_BOTS}) b "
    "JOIN live.journeys j USING (tenant, journey_id)",
)

_LONGEST = of("queue_visits", "t.journey_id", f"max({length('t.entered_at', 't.left_at')}) AS longest", group="t.journey_id")
LENGTHS = agreeing(
    ("journey_id", "of"),
    journeys("j.journey_id", "'journey' AS of", "coalesce(j.total_ms, 0) AS l", f"{length('j.started_at', 'j.ended_at')} AS r"),
    of("queue_visits", "t.journey_id", "'waits'", "coalesce(t.wait_ms, 0)", length("t.entered_at", "t.left_at")),
    of("segments", "t.journey_id", "'segments'", "coalesce(t.duration_ms, 0)", length("t.started_at", "t.ended_at")),
    "SELECT j.journey_id, 'longest wait', coalesce(j.max_wait_ms, 0), coalesce(v.longest, 0) "
    f"FROM live.journeys j LEFT JOIN ({_LONGEST}) v ON v.journey_id = j.journey_id WHERE {MINE}",
)

# Menus, waits and holds are told by the provider and by the switchboard, each with its own clock; holds count within the answered leg.
_OVER = "t.started_at <= coalesce(t.answered_at, t.started_at) AND coalesce(t.answered_at, t.started_at) <= t.ended_at"
_WITHIN = length("greatest(s.started_at, t.started_at, t.answered_at)", "least(s.ended_at, t.ended_at)")
PARTS = both(
    ("journey_id", "call_sid", "leg"),
    f"SELECT t.journey_id, t.call_sid, t.leg, CASE WHEN s.kind = 'hold' THEN {_WITHIN} ELSE coalesce(s.duration_ms, 0) END AS amount "
    "FROM live.legs t JOIN live.segments s USING (tenant, journey_id, call_sid, leg) "
    f"JOIN live.journeys j USING (tenant, journey_id) WHERE {MINE} AND {_OVER} AND s.kind IN ('ring', 'talk', 'hold', 'bot')",
    of("legs", "t.journey_id", "t.call_sid", "t.leg", f"{length('t.started_at', 't.ended_at')} AS amount", when=_OVER),
)

_ITS_ENTRY = """t.answered_at IS NOT NULL AND (t.cohort_at = t.answered_at OR EXISTS (
SELECT FROM live.queue_visits v WHERE v.tenant = t.tenant AND v.journey_id = t.journey_id AND v.entered_at = t.cohort_at
AND v.outcome = 'answered' AND v.queue = t.queue))"""
COHORTS = Asked(("journey_id",), of("legs", "t.journey_id", "1 AS l", f"({_ITS_ENTRY})::int AS r", when=_HANDLED))
_LEG = ("t.journey_id", "t.call_sid", "t.leg")
SEGMENTS = both(
    ("journey_id", "call_sid", "leg", "cohort_at", "menu"),
    of("segments", *_LEG, "t.cohort_at", "t.menu", "1 AS amount", when=_HANDLED),
    "SELECT s.journey_id, s.call_sid, s.leg, l.cohort_at, l.menu, 1 AS amount FROM ("
    + of("legs", "t.tenant", *_LEG, "t.cohort_at", "t.menu", when=_HANDLED)
    + ") l JOIN live.segments s USING (tenant, journey_id, call_sid, leg)",
)

_LAST = """CROSS JOIN LATERAL (SELECT m.menu FROM live.menu_steps m WHERE m.tenant = t.tenant AND m.journey_id = t.journey_id
AND m.at <= t.{at} ORDER BY m.n DESC LIMIT 1) last"""


def _last_menu(table: str, row: str, at: str) -> str:
    return (
        f"SELECT t.journey_id, '{table}', {row}, last.menu, 1 FROM live.{table} t JOIN live.journeys j ON {OF_JOURNEY} "
        f"{_LAST.format(at=at)} WHERE {MINE} AND last.menu IS NOT NULL"
    )


_ROW_OF = {"queue_visits": "t.n::text", "legs": "t.call_sid || ' ' || t.leg"}
MENUS = both(
    ("journey_id", "of", "row", "menu"),
    " UNION ALL ".join(
        of(table, "t.journey_id", f"'{table}' AS of", f"{row} AS row", "t.menu", "1 AS amount", when="t.menu IS NOT NULL")
        for table, row in _ROW_OF.items()
    ),
    f"SELECT * FROM ({_last_menu('queue_visits', _ROW_OF['queue_visits'], 'entered_at')}) v (journey_id, of, row, menu, amount) UNION ALL "
    + _last_menu("legs", _ROW_OF["legs"], "cohort_at"),
)
