"""A question's answer: rows, definitions, how far it is complete and whether it can still change. One for routes, commands and tests."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa

from api.analytics.tally import snapshot, tally
from calls.clock import Micros, parse_time, rfc3339
from calls.faults import Faults
from calls.metrics.cells import grid
from calls.metrics.evaluate import AnswerRow, definitions, is_final, rows
from calls.metrics.plan import selections
from calls.metrics.question import Question, Tally
from runtime.problems import refusal

Document = dict[str, Any]


class Known(msgspec.Struct, frozen=True):
    """What is known of the tables, read before they are. `complete_through`: RFC 3339; None: nobody can say.

    `horizon_h`: how long providers of the tenant's accounts send again what was not acknowledged.
    """

    complete_through: str | None
    horizon_h: float

    @property
    def through(self) -> Micros | None:
        return parse_time(self.complete_through)


def answer(engine: sa.Engine, question: Question, known: Known, *, raw: bool = False) -> Document:
    """The document of `GET /v1/metrics/query`. `raw`: leave the rollups aside; the answer is the same."""
    with snapshot(engine) as connection:
        found, counted = counted_rows(connection, question, known, raw=raw)
        before = previous(question)
        earlier = counted_rows(connection, before, known, raw=raw)[0] if question.compare else []
    document: Document = {
        "definitions": definitions(question, counted.currencies), "complete_through": known.complete_through,
        "final": final(question, counted, known),
        "rows": found,
    }  # fmt: skip
    if question.compare:
        document["previous"] = {"from": rfc3339(before.since), "to": rfc3339(before.until), "rows": earlier}
    return document


def counted_rows(connection: sa.Connection, question: Question, known: Known, *, raw: bool = False) -> tuple[list[AnswerRow], Tally]:
    cells = grid(question)
    counted = tally(connection, question, plan=selections(question, cells, raw=raw), grid=cells, through=known.through)
    try:
        return rows(question, cells, counted), counted
    except Faults as error:
        raise refusal(error) from None


def previous(question: Question) -> Question:
    """The same of the period of equal length before."""
    return msgspec.structs.replace(question, since=2 * question.since - question.until, until=question.since)


def final(question: Question, counted: Tally, known: Known) -> bool:
    if known.through is None:
        return False
    return is_final(question, open_facts=counted.open, complete_through=known.through, horizon_h=known.horizon_h)
