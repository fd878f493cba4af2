"""The laws of queues, as SQL. Which word belongs to which count is read from the measures themselves."""

from __future__ import annotations

from calls.metrics.measures import MEASURES
from calls.metrics.slots import COLUMNS, WITHIN
from runtime.laws.sides import SLOT, Asked, agreeing, both, of, words

PARTS = ("answered", "abandoned", "flowed_out", "refused", "waiting")
_HERE = "t.tenant = %(tenant)s AND t.entered_at >= %(since)s AND t.entered_at < %(until)s"
_PLACE = ("queue", "quarter")
_QUARTER = SLOT.format("t.entered_at")


def _is(measure: str) -> str:
    """Whether a visit counts into that measure; its tests are all about the outcome."""
    return " AND ".join(f"t.outcome IN ({words(*test.one_of)})" for test in MEASURES[measure].tests) or "true"


def _visits(left: str, right: str) -> Asked:
    """Both counts in one pass over the visits."""
    return Asked(
        _PLACE, f"SELECT t.queue, {_QUARTER} AS quarter, ({left})::int AS l, ({right})::int AS r FROM live.queue_visits t WHERE {_HERE}"
    )


_ADDED = " + ".join(f"(coalesce({_is(name)}, false))::int" for name in PARTS)
OFFERED = _visits("1", _ADDED)
WAITING = _visits("(t.left_at IS NULL)", "(t.outcome IS NOT DISTINCT FROM 'waiting')")

_ANSWERED = "t.outcome = 'answered' AND t.agent IS NOT NULL"
_TAKEN = "t.cohort_at IS NOT NULL AND t.agent IS NOT NULL"
ANSWERED_BY = both(
    ("journey_id", "entered_at", "agent"),
    of("queue_visits", "t.journey_id", "t.entered_at", "t.agent", "1 AS amount", when=_ANSWERED),
    of(
        "legs",
        "t.journey_id",
        "t.cohort_at AS entered_at",
        "t.agent",
        "1 AS amount",
        when=_TAKEN,
    ),
)


# ---------------------------------------------------------------- the sums by quarter of an hour


def _column(name: str) -> str:
    """One column's sum over `t`, which are visits, people's answers and their segments, one below the other."""
    if name in ("talk", "hold", "handled"):
        return f"sum(t.{name})"
    if name.startswith("wait_"):
        return f"coalesce(sum(t.wait_ms) FILTER (WHERE t.visit AND {_is(name)}), 0)"
    measure, _, edge = name.rpartition("_")
    if measure in WITHIN:
        return f"count(*) FILTER (WHERE t.visit AND {_is(measure)} AND t.wait_ms <= {edge} * 1000)"
    return f"count(*) FILTER (WHERE t.visit AND {_is(name)})"


def _between(at: str) -> str:
    return f"t.tenant = %(tenant)s AND {at} >= %(slots_since)s AND {at} < %(slots_until)s"


_FACTS = f"""
SELECT queue, entered_at AS at, true AS visit, outcome, wait_ms, 0 AS handled, 0 AS talk, 0 AS hold
FROM live.queue_visits t WHERE {_between("t.entered_at")}
UNION ALL SELECT queue, cohort_at, false, NULL, NULL, 1, 0, 0 FROM live.legs t WHERE {_between("t.cohort_at")} AND queue IS NOT NULL
UNION ALL SELECT queue, cohort_at, false, NULL, NULL, 0, CASE WHEN kind = 'talk' THEN coalesce(duration_ms, 0) ELSE 0 END,
  CASE WHEN kind = 'hold' THEN coalesce(duration_ms, 0) ELSE 0 END
FROM live.segments t WHERE {_between("t.cohort_at")} AND queue IS NOT NULL"""


def _slots() -> Asked:
    columns = sorted(COLUMNS)
    pairs = ", ".join(f'(\'{name}\', coalesce(k."{name}", 0)::int8, coalesce(c."{name}", 0)::int8)' for name in columns)
    kept = ", ".join(f'sum("{name}")::int8 AS "{name}"' for name in columns)
    computed = ", ".join(f'{_column(name)} AS "{name}"' for name in columns)
    return agreeing(
        ("queue", "slot", "of"),
        "SELECT queue, slot, of, l, r FROM "
        f"(SELECT t.queue, t.slot, {kept} FROM live.queue_slots t WHERE {_between('t.slot')} GROUP BY 1, 2) k "
        f"FULL JOIN (SELECT t.queue, {SLOT.format('t.at')} AS slot, {computed} FROM ({_FACTS}) t GROUP BY 1, 2) c USING (queue, slot) "
        f"CROSS JOIN LATERAL (VALUES {pairs}) v (of, l, r)",
    )


SLOTS = _slots()
