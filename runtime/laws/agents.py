"""The laws of agents' time, as SQL. Instants are taken at their whole millisecond, as calls/agents.py does.

An agent of whom something is still to be folded again (safiri.dirty_days) is left out until that is done. What is open counts up to now.
"""

from __future__ import annotations

from calls.agents import LONGEST, QUARTER, SLOT_COLUMNS, STATES
from runtime.laws.sides import Asked, both, ms, sound, words

_SETTLED = """t.tenant = %(tenant)s AND NOT EXISTS (SELECT FROM safiri.dirty_days d JOIN safiri.generations g ON g.n = d.generation
AND g.state = 'live' WHERE d.tenant = t.tenant AND d.agent = t.agent)"""
_REACH = f"(t.started_at >= %(since)s::timestamptz - interval '{LONGEST} microseconds' OR {{}}) AND t.started_at < %(until)s"
_BEGUN = f"{_SETTLED} AND t.started_at >= %(since)s AND t.started_at < %(until)s"
_DAY = f"{_SETTLED} AND t.day_started_at >= %(since)s AND t.day_started_at < %(until)s"
_REPORTED = ("wrap_up", "paused", "available", "communicating")


# ---------------------------------------------------------------- stretches of time, as milliseconds since 1970


def _clipped(start: str, end: str) -> str:
    """Columns `s` and `e`: what of the stretch lies in the range asked for, and before now."""
    until = f"least(%(until_ms)s, {ms('now()')})"
    return f"greatest({start}, %(since_ms)s) AS s, least(coalesce({end}, {until}), {until}) AS e"


def _intervals(when: str) -> str:
    """agent, s, e of intervals."""
    return (
        f"SELECT t.agent, {_clipped(ms('t.started_at'), ms('t.ended_at'))} FROM live.agent_intervals t "
        f"WHERE {_SETTLED} AND {_REACH.format('NOT t.in_slots')} AND {when}"
    )


def _stretches(*kinds: str) -> str:
    """agent, s, e of the talks and holds of people who answered."""
    long = f"t.ended_at IS NULL OR t.ended_at - t.started_at > interval '{LONGEST // 3_600_000_000} hours'"
    return (
        f"SELECT t.agent, {_clipped(ms('t.started_at'), ms('t.ended_at'))} FROM live.segments t WHERE {_SETTLED} "
        f"AND {_REACH.format(long)} AND t.agent IS NOT NULL AND t.cohort_at IS NOT NULL AND t.kind IN ({words(*kinds)})"
    )


_IN_ORDER = 'PARTITION BY t.agent ORDER BY t.at, t.event_id COLLATE "C", t.account COLLATE "C"'
_OVER = "t.at + t.lasts_ms * interval '1 millisecond'"
# A state holds until the next one; one of known length is followed by being available.
_LOGGED_IN = f"""
SELECT t.agent, {_clipped(ms("t.at"), ms("CASE WHEN t.state = 'offline' THEN t.at ELSE t.next END"))}
FROM (SELECT t.agent, t.at, t.state, lead(t.at) OVER ({_IN_ORDER}) AS next FROM live.agent_states t WHERE {_SETTLED}) t
UNION ALL SELECT t.agent, {_clipped(ms(_OVER), ms("t.next"))}
FROM (SELECT t.agent, t.at, t.state, t.lasts_ms, lead(t.at) OVER ({_IN_ORDER}) AS next FROM live.agent_states t WHERE {_SETTLED}) t
WHERE t.state = 'offline' AND t.lasts_ms IS NOT NULL AND (t.next IS NULL OR {ms("t.next")} > {ms(_OVER)})
UNION ALL {_stretches("talk", "hold")}"""


def _sum(stretches: str) -> str:
    return f"SELECT agent, sum(greatest(0, e - s)) AS amount FROM ({stretches}) x GROUP BY agent"


def _union(stretches: str) -> str:
    """The time in which at least one of an agent's stretches runs."""
    return (
        "SELECT agent, sum(greatest(0, e - greatest(s, ran))) AS amount FROM (SELECT agent, s, e, max(e) OVER "
        "(PARTITION BY agent ORDER BY s, e ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS ran "
        f"FROM ({stretches}) x WHERE e > s) y GROUP BY agent"
    )


LOGGED_IN = both(("agent",), _sum(_intervals("true")), _union(_LOGGED_IN))
BUSY = both(("agent",), _sum(_intervals("t.state = 'talking'")), _union(_stretches("talk")))
TALK = both(("agent",), _sum(_intervals("t.state = 'talking'")), _sum(_stretches("talk")))


# ---------------------------------------------------------------- intervals

_ROW = ("agent", "day", "n")
_BEFORE = "lag(coalesce(t.ended_at, 'infinity')) OVER (PARTITION BY t.agent ORDER BY t.started_at, t.ended_at)"
DISJOINT = Asked(
    ("agent", "started_at"),
    "SELECT CASE WHEN before > started_at THEN agent END AS agent, CASE WHEN before > started_at THEN started_at END AS started_at, "
    "1 AS l, (before IS NULL OR before <= started_at)::int AS r "
    f"FROM (SELECT t.agent, t.started_at, {_BEFORE} AS before FROM live.agent_intervals t WHERE {_BEGUN}) x",
)

_LAST = """CROSS JOIN LATERAL (SELECT s.at, s.state, s.reason, s.lasts_ms FROM live.agent_states s WHERE s.tenant = t.tenant
AND s.agent = t.agent AND s.at < t.started_at + interval '1 millisecond'
ORDER BY s.at DESC, s.event_id COLLATE "C" DESC, s.account COLLATE "C" DESC LIMIT 1) s"""
_PASSED = f"coalesce({ms('t.started_at')} >= {ms('s.at')} + s.lasts_ms, false)"
_MEANT = f"""CASE WHEN {_PASSED} THEN 'available' WHEN s.state = 'talking' THEN 'communicating' ELSE s.state END,
CASE WHEN NOT {_PASSED} THEN nullif(s.reason, '') END"""
_SAID = f"(t.state IN ({words(*_REPORTED)}) OR (t.state = 'ringing' AND t.journey_id IS NULL))"  # a ringing that no leg tells of yet
REPORTED = both(
    (*_ROW, "state", "reason"),
    f"SELECT t.agent, t.day, t.n, t.state, t.reason, 1 AS amount FROM live.agent_intervals t WHERE {_BEGUN} AND {_SAID}",
    f"SELECT * FROM (SELECT t.agent, t.day, t.n, {_MEANT}, 1 FROM live.agent_intervals t {_LAST} WHERE {_BEGUN} AND {_SAID}) "
    "x (agent, day, n, state, reason, amount)",
)

_DELIVERED = """EXISTS (SELECT FROM safiri.journal e WHERE e.tenant = t.tenant AND e.stream = t.agent AND e.account = t.account
AND e.event_id = t.event_id AND e.digest = t.digest AND e.stream_kind = 'agent')"""
HEARD = Asked(
    ("agent", "account", "event_id"),
    f"SELECT t.agent, t.account, t.event_id, 1 AS l, ({_DELIVERED})::int AS r FROM live.agent_states t "
    "WHERE t.tenant = %(tenant)s AND t.at >= %(since)s AND t.at < %(until)s",
)

_KIND = "CASE t.state WHEN 'talking' THEN 'talk' WHEN 'wrap_up' THEN 'talk' WHEN 'ringing' THEN 'ring' ELSE t.state END"
_DURING = (
    f"{ms('s.started_at')} <= {ms('t.started_at')} AND (s.ended_at IS NULL OR coalesce({ms('t.ended_at')} <= {ms('s.ended_at')}, false))"
)
_ITS_SEGMENT = f"""EXISTS (SELECT FROM live.segments s WHERE s.tenant = t.tenant AND s.journey_id = t.journey_id AND s.call_sid = t.call_sid
AND s.leg = t.leg AND s.agent = t.agent AND s.kind = {_KIND} AND s.queue IS NOT DISTINCT FROM t.queue
AND s.cohort_at IS NOT DISTINCT FROM t.cohort_at AND (t.state = 'wrap_up' OR {_DURING}))"""
LEGS = Asked(
    _ROW,
    f"SELECT t.agent, t.day, t.n, 1 AS l, ({_ITS_SEGMENT})::int AS r FROM live.agent_intervals t "
    f"WHERE {_BEGUN} AND (NOT {_SAID} OR t.journey_id IS NOT NULL)",
)


# ---------------------------------------------------------------- days

_WITHIN = """EXISTS (SELECT FROM live.agent_days a WHERE a.tenant = t.tenant AND a.agent = t.agent AND a.day = t.day
AND a.day_started_at <= t.{0} AND coalesce(t.{1}, 'infinity') <= coalesce(a.day_ended_at, 'infinity'))"""
_ACTIVE = """EXISTS (SELECT FROM live.agent_days a WHERE a.tenant = t.tenant AND a.agent = t.agent AND a.day_started_at <= t.at
AND a.day_started_at > t.at - interval '26 hours' AND t.at < coalesce(a.day_ended_at, 'infinity'))"""
_NEXT = "lead(t.day_started_at) OVER (PARTITION BY t.agent ORDER BY t.day)"
DAYS = Asked(
    ("of", "agent", "day"),
    "SELECT 'an interval lies in its day' AS of, t.agent, t.day, 1 AS l, "
    f"({_WITHIN.format('started_at', 'ended_at')})::int AS r FROM live.agent_intervals t WHERE {_BEGUN} "
    "UNION ALL SELECT 'a state lies in a day', t.agent, t.at::date, 1, "
    f"({_ACTIVE})::int FROM live.agent_states t WHERE {_SETTLED} AND t.at >= %(since)s AND t.at < %(until)s "
    "UNION ALL SELECT 'a day ends where the next begins', x.agent, x.day, 1, (x.day_ended_at IS NOT DISTINCT FROM x.next)::int "
    f"FROM (SELECT t.*, {_NEXT} AS next FROM live.agent_days t WHERE {_SETTLED}) x "
    "WHERE x.day_started_at >= %(since)s AND x.day_started_at < %(until)s "
    "UNION ALL SELECT 'a day begins at one instant', NULL, t.day, 1, "
    f"(min(t.day_started_at) = max(t.day_started_at))::int FROM live.agent_days t WHERE {_DAY} GROUP BY t.day",
)
_SHIFT = """min(i.started_at) AS shift_started_at,
CASE WHEN bool_and(i.ended_at IS NOT NULL) THEN max(i.ended_at) END AS shift_ended_at"""
SHIFTS = both(
    ("agent", "day", "shift_started_at", "shift_ended_at"),
    f"SELECT t.agent, t.day, t.shift_started_at, t.shift_ended_at, 1 AS amount FROM live.agent_days t WHERE {_DAY}",
    f"SELECT t.agent, t.day, {_SHIFT}, 1 AS amount FROM live.agent_days t LEFT JOIN live.agent_intervals i USING (tenant, agent, day) "
    f"WHERE {_DAY} GROUP BY t.agent, t.day",
)


# ---------------------------------------------------------------- the sums by quarter of an hour

_SLOTS = f"{_SETTLED} AND t.slot >= %(slots_since)s AND t.slot < %(slots_until)s"
STATES_SUM = Asked(
    ("agent", "day", "slot"),
    f"SELECT t.agent, t.day, t.slot, {' + '.join(f't.{name}' for name in STATES)} AS l, t.logged_in AS r "
    f"FROM live.agent_slots t WHERE {_SLOTS}",
)
_QUARTERS = f"""CROSS JOIN LATERAL (SELECT q, least(x.e, (q + 1) * {QUARTER}) - greatest(x.s, q * {QUARTER}) AS amount
FROM generate_series(floor(greatest(x.s, %(slots_since_ms)s) / {QUARTER}.0)::int8,
                     floor((least(x.e, %(slots_until_ms)s) - 1) / {QUARTER}.0)::int8) q) part"""


def _split(of: str, table: str, when: str) -> str:
    stretches = (
        f"SELECT t.agent, {of} AS of, {ms('t.started_at')} AS s, {ms('t.ended_at')} AS e FROM live.{table} t WHERE {_SETTLED} AND {when}"
    )
    return f"SELECT x.agent, to_timestamp(part.q * {QUARTER // 1000}) AS slot, x.of, part.amount FROM ({stretches}) x {_QUARTERS}"


_REACHING = "t.started_at >= %(slots_since)s::timestamptz - interval '48 hours' AND t.started_at < %(slots_until)s"
_SHORT = f"t.ended_at - t.started_at <= interval '{LONGEST} microseconds'"
_TALKS = f"t.agent IS NOT NULL AND t.cohort_at IS NOT NULL AND t.kind = 'talk' AND {_SHORT} AND {_REACHING}"
SLOTS = both(
    ("agent", "slot", "of"),
    f"SELECT t.agent, t.slot, v.of, v.amount FROM live.agent_slots t CROSS JOIN LATERAL (VALUES "
    f"{', '.join(f'({chr(39)}{name}{chr(39)}, t.{name})' for name in SLOT_COLUMNS)}) v (of, amount) WHERE {_SLOTS} AND v.amount <> 0",
    " UNION ALL ".join([
        _split("t.state", "agent_intervals", f"t.in_slots AND {_REACHING}"),
        _split("'logged_in'", "agent_intervals", f"t.in_slots AND {_REACHING}"),
        _split("'talk'", "segments", _TALKS),
    ]),
)  # fmt: skip
SOUND = [
    sound("agent_intervals", "t.agent || ' ' || t.day || ' ' || t.n", fault="t.ended_at <= t.started_at",
          source=f"live.agent_intervals t WHERE {_BEGUN}"),
    sound("agent_days", "t.agent || ' ' || t.day", source=f"live.agent_days t WHERE {_DAY}",
          fault="t.day_ended_at <= t.day_started_at OR t.shift_ended_at <= t.shift_started_at"),
    sound("agent_slots", "t.agent || ' ' || t.slot", fault=f"least({', '.join(f't.{name}' for name in SLOT_COLUMNS)}) < 0",
          source=f"live.agent_slots t WHERE {_SLOTS}"),
]  # fmt: skip
