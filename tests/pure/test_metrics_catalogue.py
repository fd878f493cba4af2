"""The registry of metrics is whole: every id has a definition that can be counted, and a page that says it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from calls.metrics.catalogue import METRICS, PRESETS, attribution_of, lacks
from calls.metrics.described import document
from calls.metrics.measures import MEASURES
from calls.metrics.metric import CALL, HANDLE, LENGTH, STATE, VISIT, WAIT, Metric, Term, terms
from calls.metrics.parameters import THRESHOLDS
from calls.metrics.question import Question

ROOT = Path(__file__).resolve().parents[2]
IDS = [
    "calls.started", "calls.answered", "calls.failed", "calls.abandoned_in_menu", "calls.transferred", "callers.repeat",
    "queue.offered", "queue.answered", "queue.answered_within", "queue.abandoned", "queue.abandoned_within",
    "queue.short_abandoned", "queue.flowed_out", "queue.refused", "queue.waiting", "queue.wait_answered",
    "queue.wait_abandoned", "queue.wait_all", "queue.wait_max", "queue.wait_p50", "queue.wait_p90", "queue.wait_p95",
    "queue.wait_p99", "queue.asa", "queue.average_time_to_abandon", "sl.positive", "sl.answered_only", "sl.negative",
    "sl.ignore_in_threshold", "sl.credit_short", "sl.exclude_short", "sl.exclude_abandons", "sl.with_flowouts",
    "abandonment.rate", "abandonment.adjusted", "answered_rate.wazo", "average_wait.wazo", "qos.wazo", "handle.count",
    "handle.talk", "handle.hold", "handle.wrap_up", "handle.aht", "agent.talk", "agent.busy", "agent.logged_in",
    "agent.available", "agent.paused", "agent.wrap_up", "agent.ringing", "agent.hold", "agent.communicating",
    "occupancy.aws", "occupancy.genesys", "occupancy.logged_in", "utilisation.logged_in", "utilisation.shift",
    "fcr.window", "bot.calls", "bot.contained", "bot.handed_over", "bot.containment", "cost.charged", "cost.per_call",
    "cost.per_minute", "cost.unrated",
]  # fmt: skip
LEVELS = {
    "genesys": {"sl.negative"}, "aws": {"sl.positive"}, "cisco-positive": {"sl.positive"}, "cisco-negative": {"sl.negative"},
    "cisco-ignore": {"sl.ignore_in_threshold"}, "wazo": {"sl.answered_only"}, "ringcentral": {"sl.exclude_short"},
    "twilio-flex": {"sl.exclude_short"},
}  # fmt: skip
ALLOWED = {
    **{("calls", adds): set(CALL) for adds in ("one", "charge", "charge_by_minute", "unrated", "talk")}, ("visits", "one"): set(VISIT), ("visits", "wait"): set(WAIT), ("handles", "one"): set(HANDLE),
    ("stretches", "length"): set(LENGTH), ("agents", "length"): set(LENGTH), ("shifts", "length"): set(STATE),
}  # fmt: skip


def test_every_promised_metric_is_there() -> None:
    assert sorted(set(IDS) - set(METRICS)) == []


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_metric_is_made_of_measures_and_parameters_that_exist(metric: Metric) -> None:
    assert set(metric.measures) <= set(MEASURES)
    assert set(metric.parameters) <= set(THRESHOLDS)
    assert metric.name and metric.says and metric.formula and metric.source and metric.version >= 1
    within = {test.within for name in metric.measures for test in MEASURES[name].tests if test.within}
    assert within == {name for name in metric.parameters if name != "window_days"}


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_a_metric_is_shaped_as_its_kind(metric: Metric) -> None:
    assert metric.numerator
    assert bool(metric.denominator) == (metric.kind == "ratio")
    assert (metric.quantile is not None) == (metric.kind == "quantile")
    assert metric.kind not in ("max", "quantile") or len(metric.numerator) == 1


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_every_rule_that_a_metric_allows_has_a_moment_in_each_of_its_facts(metric: Metric) -> None:
    assert len(set(metric.attributions)) == len(metric.attributions) >= 1
    for name in metric.measures:
        assert set(metric.attributions) <= ALLOWED[MEASURES[name].source, MEASURES[name].adds]


@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_no_measure_is_counted_by_two_rules_in_one_answer(preset: str | None) -> None:
    question = Question("default", tuple(METRICS), 0, 1, preset=preset)
    rules: dict[str, set[str]] = {}
    for metric in METRICS.values():
        for measure in metric.measures:
            rules.setdefault(measure, set()).add(attribution_of(metric.id, question))
    assert {measure: found for measure, found in rules.items() if len(found) > 1} == {}


def test_a_preset_shows_its_products_service_level_and_no_other() -> None:
    assert {name: {one for one in preset.metrics if one.startswith("sl.")} for name, preset in PRESETS.items()} == LEVELS
    assert {"qos.wazo", "answered_rate.wazo", "average_wait.wazo"} <= set(PRESETS["wazo"].metrics)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_a_presets_metrics_exist_and_can_be_grouped_by_queue(preset) -> None:
    assert set(preset.metrics) <= set(METRICS)
    assert not any(lacks(metric, "queue") for metric in preset.metrics)
    assert len(set(preset.metrics)) == len(preset.metrics)


def test_a_formula_is_written_as_it_is_read() -> None:
    assert terms("answered + abandoned - short_abandoned") == (Term(1, "answered"), Term(1, "abandoned"), Term(-1, "short_abandoned"))


def test_every_metric_has_a_vector() -> None:
    with (ROOT / "tests/corpus/metrics/vectors.csv").open() as file:
        tested = {row["metric"] for row in csv.DictReader(file)}
    assert sorted(set(METRICS) - tested) == [], "write a line for each into tests/corpus/metrics/vectors.csv"


def test_the_page_is_what_the_catalogue_says() -> None:
    again = "from calls.metrics.described import document; print(document(), end='')"
    assert (ROOT / "docs/metrics.md").read_text() == document(), f'run `.venv/bin/python -c "{again}" > docs/metrics.md`'
