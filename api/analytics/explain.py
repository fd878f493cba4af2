"""Which calls are in a number: every fact behind one cell of an answer, adding up to it exactly, and why another call is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from api import read
from api.analytics.answer import Document, Known, final
from api.analytics.contributions import Contribution, Part, listed, parts
from api.analytics.learned import Learned, learned
from api.analytics.missing import Cell, why_not
from api.analytics.tally import scope_of, snapshot, tally
from api.cursors import Place, decode, encode, filters_digest
from calls.clock import rfc3339
from calls.metrics.asked import Explanation
from calls.metrics.catalogue import METRICS
from calls.metrics.cells import grid
from calls.metrics.evaluate import Value, definitions, value_of
from calls.metrics.plan import selections
from calls.metrics.question import CURRENCIES, OF_CELLS, Amounts, Grid, Question, Row, Tally
from calls.metrics.reasons import Telling, why

_NOTHING_LISTED: Document = {"contributions": [], "next_cursor": None, "why": "amounts of several currencies are never added"}
_LENGTH = {"visits": "wait_ms", "stretches": "duration_ms", "agents": "duration_ms", "shifts": "duration_ms"}
_BEGIN = {"visits": "entered_at", "handles": "answered_at"}
_TEXTS = {
    "calls": ("queue", "agent", "outcome", "direction", "bot", "currency"), "visits": ("queue", "agent", "outcome"),
    "handles": ("queue", "agent", "leg"),
    "stretches": ("queue", "agent", "leg", "state"), "agents": ("queue", "agent", "state", "reason"), "shifts": ("agent",),
}  # fmt: skip


class _Asked(msgspec.Struct, frozen=True):
    """One cell: the explanation, the whole grid, the cell's part of it, and the values of its groups."""

    explanation: Explanation
    whole: Grid
    cell: Grid
    keys: frozenset[int]
    group: tuple[tuple[str, str | None], ...]
    known: Known

    @property
    def question(self) -> Question:
        return self.explanation.question

    @property
    def telling(self) -> Telling:
        return Telling(self.question.zone, self.question.parameters)


def explain(engine: sa.Engine, explanation: Explanation, known: Known) -> Document:
    """The document of `GET /v1/metrics/explain`. Refused 404 and 409 for an id as api.read.find, 422 for a cursor that is not ours."""
    asked = _asked(explanation, known)
    with snapshot(engine) as connection:
        name = explanation.journey_id
        journey_id = read.find(connection, name, explanation.question.tenant) if name is not None else None
        counted = tally(
            connection,
            asked.question,
            plan=selections(asked.question, asked.cell),
            grid=asked.cell,
            through=known.through,
            cell=asked.group,
        )
        amounts = _amounts(counted)
        value = value_of(explanation.metric, amounts)
        listed = _listed(connection, asked, value, journey_id=journey_id) if _adds_up(explanation, amounts) else _NOTHING_LISTED
        return _head(asked, value, counted) | listed


def _adds_up(explanation: Explanation, amounts: Amounts) -> bool:
    """Amounts of several currencies are no number: there is nothing that its contributions could add up to."""
    return METRICS[explanation.metric].unit != "minor" or explanation.side == "denominator" or amounts.get(CURRENCIES, 0) <= 1


def _asked(explanation: Explanation, known: Known) -> _Asked:
    question = explanation.question
    wanted = {name: None if text in (None, "") else text for name, text in explanation.group}
    whole = grid(question)
    keys = frozenset(n + 1 for n, row in enumerate(whole.rows) if _is(row, explanation, wanted))
    group = tuple((name, text) for name, text in wanted.items() if name not in OF_CELLS)
    return _Asked(explanation, whole, _part_of(whole, keys), keys, group, known)


def _is(row: Row, explanation: Explanation, group: dict[str, str | None]) -> bool:
    start = explanation.interval_start
    marks = {"hour": row.hour, "weekday": row.weekday}
    return start in (None, row.interval_start) and all(str(marks[name]) == text for name, text in group.items() if name in OF_CELLS)


def _part_of(whole: Grid, keys: frozenset[int]) -> Grid:
    """The grid of one row: its cells have key 1, neighbours of a kind are one cell, and nothing stands before or after."""
    at = [n for n, key in enumerate(whole.keys) if key in keys]
    if not at:
        return Grid([whole.edges[0], whole.edges[-1]], [0], [Row(whole.edges[0])])
    found = Grid([], [], [Row(whole.edges[at[0]])])
    for n in range(at[0], at[-1] + 1):
        key = int(whole.keys[n] in keys)
        if not found.keys or found.keys[-1] != key:
            found.edges.append(whole.edges[n])
            found.keys.append(key)
    found.edges.append(whole.edges[at[-1] + 1])
    return found


def _amounts(counted: Tally) -> Amounts:
    return next(iter(counted.amounts.values()), {})


def _head(asked: _Asked, value: Value, counted: Tally) -> Document:
    explanation, question = asked.explanation, asked.question
    until_then = msgspec.structs.replace(question, until=asked.cell.edges[-1])
    return {
        "metric": explanation.metric, **msgspec.to_builtins(value), "side": explanation.side,
        "definition": definitions(question, counted.currencies)[explanation.metric], "complete_through": asked.known.complete_through,
        "final": final(until_then, counted, asked.known),
    }  # fmt: skip


# ---------------------------------------------------------------- contributions


def _listed(connection: sa.Connection, asked: _Asked, value: Value, *, journey_id: str | None) -> Document:
    explanation = asked.explanation
    digest = _digest(explanation)
    after = decode(explanation.cursor, digest) if explanation.cursor is not None else None
    sides = parts(explanation.metric, asked.question, denominator=explanation.side == "denominator")
    found = _page(connection, asked, sides, value=value, after=after, journey_id=journey_id)
    page, more = found[: explanation.limit], len(found) > explanation.limit
    tenant = asked.question.tenant
    known = learned(connection, [one.fact for one in page], tenant=tenant, since=explanation.known_since)
    sids = _first_calls(connection, [one.fact.journey_id for one in page if one.fact.call_sid is None], tenant)
    last = encode(Place(*page[-1].place, digest)) if more else None
    document: Document = {"contributions": [_shown(one, asked, sids=sids, known=known) for one in page], "next_cursor": last}
    if journey_id is not None and not page and after is None:
        scope = scope_of(asked.question, asked.whole, through=asked.known.through, cell=asked.group)
        cell = Cell(asked.whole, asked.keys)
        extreme = value.numerator if METRICS[explanation.metric].kind in ("max", "quantile") and value.value is not None else None
        document["why"] = why_not(connection, sides, scope, journey_id=journey_id, cell=cell, telling=asked.telling, extreme=extreme)
    return document


def _page(
    connection: sa.Connection, asked: _Asked, sides: list[Part], *, value: Value, after: Place | None, journey_id: str | None
) -> list[Contribution]:
    """One more than the page has, where there are more."""
    explanation = asked.explanation
    extreme = METRICS[explanation.metric].kind in ("max", "quantile")
    if extreme and (value.value is None or after is not None):
        return []
    found: list[Contribution] = []
    for part in sides:
        scope = scope_of(asked.question, asked.cell, through=asked.known.through, cell=asked.group)
        found += listed(
            connection, part, scope, limit=1 if extreme else explanation.limit + 1, after=after,
            exactly=value.numerator if extreme else None, journey_id=journey_id, known_since=explanation.known_since,
        )  # fmt: skip
    return sorted(found, key=lambda one: one.place)


def _digest(explanation: Explanation) -> str:
    same = msgspec.structs.replace(explanation, limit=0, cursor=None)
    return filters_digest(explanation.question.tenant, same)


def _first_calls(connection: sa.Connection, journeys: Sequence[str | None], tenant: str) -> dict[str, str]:
    """Journey -> the SID of its first call."""
    if not any(journeys):
        return {}
    wanted = sa.text(
        "SELECT DISTINCT ON (journey_id) journey_id, call_sid FROM live.calls WHERE tenant = :tenant AND journey_id = ANY(:journeys) "
        "ORDER BY journey_id, started_at, call_sid"
    )
    return {row[0]: row[1] for row in connection.execute(wanted, {"tenant": tenant, "journeys": [one for one in journeys if one]})}


def _shown(one: Contribution, asked: _Asked, *, sids: dict[str, str], known: Learned) -> dict[str, Any]:
    fact = one.fact
    document: dict[str, Any] = {
        "journey_id": fact.journey_id, "call_sid": fact.call_sid or sids.get(fact.journey_id or ""), "amount": one.amount,
        "why": why(fact, one.shares, asked.telling), "at": rfc3339(one.place[0]), "known_at": known.last(fact), "open": fact.open,
        **{name: getattr(fact, name) for name in _TEXTS[fact.source]},
        _BEGIN.get(fact.source, "started_at"): rfc3339(fact.begins),
        "left_at" if fact.source == "visits" else "ended_at": rfc3339(fact.ends),
    }  # fmt: skip
    if fact.source in _LENGTH:
        document[_LENGTH[fact.source]] = fact.ms
    if asked.explanation.known_since is not None:
        document["events"] = known.events(fact)
    return document
