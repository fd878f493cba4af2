"""The catalogue told to readers: the page docs/metrics.md."""

from __future__ import annotations

from collections.abc import Iterator

from calls.metrics.agent_metrics import AGENT_METRICS
from calls.metrics.call_metrics import CALL_METRICS
from calls.metrics.catalogue import PRESETS
from calls.metrics.evaluate import seconds
from calls.metrics.measures import A_MINUTE_MS, MEASURES, Measure, Test
from calls.metrics.metric import Metric
from calls.metrics.parameters import BRIDGE, EXPLAIN, QUERY, Parameter
from calls.metrics.queue_metrics import QUEUE_METRICS
from calls.metrics.service_levels import SERVICE_LEVELS

_FAMILIES = (
    ("Calls", CALL_METRICS),
    ("Queues", QUEUE_METRICS),
    ("Service levels", SERVICE_LEVELS),
    ("Agents", AGENT_METRICS),
)
_RULES = {
    "start": "all of it where the story began: the entry into the queue, its talk included; the first ring of a call",
    "end": "all of it where it ended",
    "emit": "a count at its own moment (offered at entry, handled at the answer), a duration where it is complete",
    "split": "a duration cut at the borders of the intervals",
    "threshold": "a visit where its service level is decided: at its end, or when it has waited threshold_s",
}
_INTRODUCTION = """# Metrics

Every number has a definition, and the definition travels with the number: `definitions` of an answer says its version, its formula and
every parameter as it was used. `GET /v1/metrics` gives this page as JSON; `GET /v1/metrics/explain` lists the calls behind a value.

- Within a threshold means wait ≤ threshold, to the millisecond.
- A count, a sum, a maximum or a percentile has `numerator` = `value` and no denominator. A ratio over nothing is null.
- Sums are whole numbers of milliseconds. Each instant is taken at its own millisecond, so the parts of a duration add up to it wherever
  it is cut; groups add up to the total and intervals to the whole.
- What is still open counts up to `complete_through`, and `final` is then false.
- A missing queue, agent or attribute is null, and a group of its own.
"""


def document() -> str:
    """The page. It is made from the catalogue and never written by hand."""
    return "\n".join([_INTRODUCTION, *_attributions(), *_presets(), *_families(), *_measures(), *_parameters()]) + "\n"


def _table(head: str, rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {head} |"
    yield "|" + "---|" * (head.count("|") + 1)
    yield from (f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in rows)
    yield ""


def _attributions() -> Iterator[str]:
    yield "## To which interval something belongs\n"
    yield "`attribution=` takes one of these; without it each metric goes by the first of its own.\n"
    yield from _table("rule | what posts where", ((f"`{rule}`", says) for rule, says in _RULES.items()))


def _presets() -> Iterator[str]:
    yield "## Presets\n"
    yield "`preset=` answers with another product's service level and its usual companions. Thresholds can still be given;"
    yield "a queue's own come before the preset's. A preset says what is counted, not when: the product's own rule is told here, and"
    yield "`attribution=` asks for it, so that two products' numbers of one hour are of the same calls.\n"
    rows = (
        (f"`{one.id}`", one.product, f"`{one.service_level}`", f"{seconds(one.threshold_ms)} / {seconds(one.short_abandon_ms)}",
         f"`{one.attribution}`" if one.attribution else "as here", one.says)
        for one in PRESETS.values()
    )  # fmt: skip
    yield from _table("preset | product | service level | threshold_s / short_abandon_s | its own attribution | rules", rows)


def _families() -> Iterator[str]:
    for title, metrics in _FAMILIES:
        yield f"## {title}\n"
        yield from _table("metric | unit | what it is | formula | attribution | parameters | source", (_row(one) for one in metrics))


def _row(one: Metric) -> tuple[str, ...]:
    groups = f" Group by {', '.join(one.dimensions)} only." if one.dimensions else ""
    rules = ", ".join(one.attributions)
    return f"`{one.id}`", one.unit, one.says + groups, one.formula, rules, ", ".join(one.parameters) or "–", one.source


def _measures() -> Iterator[str]:
    yield "## Measures\n"
    yield "What formulas are made of: sums over facts, each of them a row of a table.\n"
    adds = {
        "one": "1", "wait": "its wait", "length": "its length", "charge": "what its legs cost", "unrated": "its unrated legs",
        "charge_by_minute": f"{A_MINUTE_MS:,} × what its legs cost", "talk": "its talk",
    }  # fmt: skip
    rows = ((f"`{one.id}`", one.source, adds[one.adds], _tests(one)) for one in MEASURES.values())
    yield from _table("measure | facts | each adds | which", rows)


def _tests(one: Measure) -> str:
    return " and ".join(_test(test) for test in one.tests) or "all"


def _test(test: Test) -> str:
    if test.within is not None:
        return f"{test.field} ≤ {test.within}"
    if test.is_true is not None:
        return f"{'' if test.is_true else 'not '}{test.field}"
    return f"{test.field} {' or '.join(test.one_of)}"


def _parameters() -> Iterator[str]:
    for title, path, known in (
        ("Questions", "/v1/metrics/query", QUERY),
        ("Explanations", "/v1/metrics/explain", {name: one for name, one in EXPLAIN.items() if name not in QUERY}),
        ("Bridges", "/v1/metrics/bridge", {name: one for name, one in BRIDGE.items() if name not in QUERY}),
    ):
        yield f"## {title}\n"
        more = " Beside `attr.NAME=`:" if known is QUERY else " Beside what a query takes:"
        yield f"`GET {path}`.{more}\n"
        yield from _table("parameter | what it says | values", ((f"`{name}`", one.says, _values(one)) for name, one in known.items()))


def _values(one: Parameter) -> str:
    schema = one.schema
    choices = schema.get("enum")
    if isinstance(choices, list):
        return ", ".join(map(str, choices))
    if "minimum" in schema:
        return f"{schema['minimum']} to {schema['maximum']}"
    return "more than once" if one.many else "–"
