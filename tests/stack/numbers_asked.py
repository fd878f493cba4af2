"""A bench whose numbers are asked as the API asks them: parameters as in a query, documents as in an answer."""

from __future__ import annotations

from typing import Any

import msgspec
from projecting import Bench, story

from api.analytics.answer import Known, answer
from api.analytics.bridge import bridge
from api.analytics.explain import explain
from api.database import reader
from calls.clock import parse_time, rfc3339
from calls.metrics import asked
from tests.given import NOON, SECOND

KNOWN = Known(complete_through="2026-09-30T00:00:00Z", horizon_h=33)
HOUR = 3600 * SECOND


def clock(text: str) -> str:
    """`12:30` on the day of the stories as RFC 3339."""
    hours, _, minutes = text.partition(":")
    return rfc3339(NOON + (int(hours) - 12) * HOUR + int(minutes or 0) * 60 * SECOND) or ""


class Numbers:
    """`told` may be told more. Every question is of 12:00 to 16:00 UTC unless it says otherwise; `known` is what is complete."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.engine, self.known = bench, reader(bench.url), KNOWN
        self.scope = asked.Scope("default", "UTC")

    def told(self, text: str, *, tenant: str = "default") -> None:
        self.bench.project(msgspec.structs.replace(one, tenant=tenant) for one in story(text))

    def ask(self, metrics: str, *, raw: bool = False, **query: Any) -> Any:
        return _plain(answer(self.engine, asked.query(_items(metrics, query), self.scope), self.known, raw=raw))

    def explain(self, metric: str, **query: Any) -> Any:
        return _plain(explain(self.engine, asked.explain(_items(metric, query), self.scope), self.known))

    def bridge(self, start: str, end: str, **query: Any) -> Any:
        items = _items("", query | {"from_preset": start, "to_preset": end})
        return _plain(bridge(self.engine, asked.bridge(items, self.scope), self.known))

    def total(self, metric: str, **query: Any) -> tuple[int, int | None]:
        """(numerator, denominator) of an answer without groups or intervals."""
        rows = self.ask(metric, **query)["rows"]
        assert len(rows) <= 1
        value = rows[0]["values"][metric] if rows else {"numerator": 0, "denominator": 0}
        return value["numerator"], value["denominator"]

    def by(self, metric: str, **query: Any) -> dict[tuple[Any, ...], int]:
        """{(minutes after 12:00, group values…): numerator}, zeros left out."""
        rows = self.ask(metric, **query)["rows"]
        found = {(_minutes(row["interval_start"]), *row["group"].values()): row["values"][metric]["numerator"] for row in rows}
        return {place: amount for place, amount in found.items() if amount}

    def close(self) -> None:
        self.engine.dispose()
        self.bench.close()


def _items(metrics: str, query: dict[str, Any]) -> list[tuple[str, str]]:
    """Names of parameters as keywords: `from_` is from, `group__queue` is group.queue, `attr__x` is attr.x."""
    given = {"from": clock("12"), "to": clock("16"), "tz": "UTC"} | ({"metrics": metrics} if metrics else {})
    given |= {name.rstrip("_").replace("__", "."): str(value) for name, value in query.items() if value is not None}
    return list(given.items())


def _minutes(text: str) -> int:
    return ((parse_time(text) or 0) - NOON) // (60 * SECOND)


def _plain(document: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(document))


def visit(
    sid: str, after: str, wait: float, *, queue: str = "support", agent: str = "amina", reason: str = "answered", talk: float = 30
) -> str:
    """A whole call of one queue visit, as lines of a story. `after` 12:00: `+mm:ss`."""
    start = int(after[1:].partition(":")[0]) * 60 + float(after.partition(":")[2] or 0)
    left, end = start + wait, start + wait + (talk if reason == "answered" else 0)
    answered = f"""
        +{left} leg.answered @{sid} leg=a kind=agent agent={agent} queue={queue}
        +{end} leg.ended @{sid} leg=a agent={agent}""" if reason == "answered" else ""  # fmt: skip
    return f"""
        +{start} call.started @{sid} direction=inbound from=+254712000001 to=+254711000100
        +{start} queue.entered @{sid} queue={queue}
        +{left} queue.left @{sid} queue={queue} reason={reason} {answered}
        +{end} call.ended @{sid} ended_by=caller"""
