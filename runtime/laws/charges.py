"""The laws of charges, as SQL: each is of a leg, its working comes to its amount, and journeys cost what their legs do."""

from __future__ import annotations

from runtime.laws.sides import MINE, agreeing, both, length, of

_PLACE = ("journey_id", "call_sid", "leg")
_ROW = ("t.journey_id", "t.call_sid", "t.leg")

# A dialled leg goes to its address in the one writing of a number; what is no number yet has been read with the country's rules.
_TO = (
    """CASE WHEN t.leg = 'caller' THEN t."to" IS NOT DISTINCT FROM c.called ELSE (t."to" IS NULL) = (nullif(g.address, '') IS NULL) """
    r"""AND (t."to" = g.address OR g.address !~ '^\+[1-9][0-9]{6,14}$' OR g.address IS NULL) END"""
)
_SAME = " AND ".join(
    f"t.{name} IS NOT DISTINCT FROM g.{name}" for name in ("kind", "queue", "agent", "started_at", "answered_at", "ended_at")
)
_SPENT = (
    f"t.ring_ms = {length('g.started_at', 'coalesce(g.answered_at, g.ended_at)')} AND t.talk_ms IS NOT DISTINCT FROM "
    f"CASE WHEN g.answered_at IS NOT NULL THEN {length('g.answered_at', 'g.ended_at')} END"
)
_ITS_LEG = f"""EXISTS (SELECT FROM live.legs g JOIN live.calls c USING (tenant, journey_id, call_sid)
WHERE g.tenant = t.tenant AND g.journey_id = t.journey_id AND g.call_sid = t.call_sid AND g.leg = t.leg AND c.account = t.account
AND t.direction IS NOT DISTINCT FROM CASE WHEN t.leg = 'caller' THEN c.direction ELSE 'outbound' END
AND t.own IS NOT DISTINCT FROM CASE WHEN c.direction = 'inbound' THEN c.called ELSE c.caller END AND {_SAME} AND {_SPENT} AND {_TO})"""
LEGS = agreeing(_PLACE, of("charges", *_ROW, "1 AS l", f"({_ITS_LEG})::int AS r"))

# Rationals as text; cut at the twentieth decimal, far below what two of them can differ by.
_EXACT = "split_part(w ->> 1, '/', 1)::numeric * 1.00000000000000000000 / coalesce(nullif(split_part(w ->> 1, '/', 2), '')::numeric, 1)"
_ADDED = f"(SELECT coalesce(sum({_EXACT}), 0) FROM jsonb_array_elements(t.working::jsonb) x (w))"
WORKING = agreeing(
    _PLACE, of("charges", *_ROW, "1 AS l", f"coalesce(abs({_ADDED} - t.amount_minor) < 0.000000001, t.working = '[]')::int AS r")
)

_LARGEST = 2**63 - 1
_SUMS = of(
    "charges", "t.journey_id", "count(*) FILTER (WHERE t.amount_minor IS NULL) AS unrated", "sum(t.amount_minor) AS charged",
    "string_agg(DISTINCT t.currency COLLATE \"C\", '+') FILTER (WHERE t.amount_minor IS NOT NULL) AS currency", "count(*) AS legs",
    group="t.journey_id",
)  # fmt: skip
_HELD = f"strpos(s.currency, '+') > 0 OR s.charged BETWEEN -{_LARGEST} AND {_LARGEST}"  # one amount, if it is one, is not too large
_SAID = ("('charged', j.currency, coalesce(j.charged_minor, 0)), ('unrated', NULL, coalesce(j.unrated, 0)), ('rated', j.currency, "
         "(j.currency IS NOT NULL)::int)")  # fmt: skip
_KNOWN = (
    "('charged', held, CASE WHEN strpos(held, '+') = 0 THEN charged ELSE 0 END), ('rated', held, (held IS NOT NULL)::int), "
    "('unrated', NULL, CASE WHEN held IS NULL AND currency IS NOT NULL THEN legs ELSE unrated END)"
)
SUMS = both(
    ("journey_id", "of", "currency"),
    f"SELECT j.journey_id, v.* FROM live.journeys j CROSS JOIN LATERAL (VALUES {_SAID}) v (of, currency, amount) WHERE {MINE}",
    f"SELECT s.journey_id, v.* FROM (SELECT s.*, CASE WHEN {_HELD} THEN s.currency END AS held FROM ({_SUMS}) s) s "
    f"CROSS JOIN LATERAL (VALUES {_KNOWN}) v (of, currency, amount)",
)
