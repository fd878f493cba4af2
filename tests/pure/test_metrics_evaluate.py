"""From what was counted to an answer: integers until the last division."""

from __future__ import annotations

import pytest

from calls.clock import parse_time
from calls.faults import Faults
from calls.metrics.catalogue import METRICS
from calls.metrics.cells import grid
from calls.metrics.evaluate import Value, definitions, is_final, rows, value_of
from calls.metrics.plan import Selection, selections
from calls.metrics.question import CURRENCIES, Grid, Parameters, Place, Question, Tally

MIDNIGHT = parse_time("2026-01-01T00:00:00Z") or 0
HOUR = 3_600_000_000
VECTOR = {  # 1,060 calls: 860 of 1,000 answered within 20 s, 20 of 60 abandoned within 20 s, 10 of them within 5 s
    "offered": 1060, "answered": 1000, "answered_within": 860, "abandoned": 60, "abandoned_within": 20, "short_abandoned": 10,
    "wait_answered": 15_300_000, "wait_all": 16_000_000, "wait_abandoned": 700_000,
}  # fmt: skip


def asked(*metrics: str, hours: int = 24, **more) -> Question:
    return Question("default", metrics, MIDNIGHT, MIDNIGHT + hours * HOUR, **more)


def counted(amounts: dict[Place, dict[str, int]]) -> Tally:
    return Tally(amounts)


# ---------------------------------------------------------------- values


@pytest.mark.parametrize(("metric", "percent", "numerator", "denominator"), [
    ("sl.positive", "83.0189", 880, 1060), ("sl.answered_only", "86.0000", 860, 1000), ("sl.negative", "81.1321", 860, 1060),
    ("sl.ignore_in_threshold", "82.6923", 860, 1040), ("sl.credit_short", "82.0755", 870, 1060), ("sl.exclude_short", "81.9048", 860, 1050),
    ("sl.exclude_abandons", "86.0000", 860, 1000), ("sl.with_flowouts", "81.1321", 860, 1060), ("qos.wazo", "86.0000", 860, 1000),
    ("abandonment.rate", "5.6604", 60, 1060), ("abandonment.adjusted", "4.7619", 50, 1050), ("answered_rate.wazo", "94.3396", 1000, 1060),
])  # fmt: skip
def test_the_published_example_gives_every_service_level_to_the_printed_digits(
    metric: str, percent: str, numerator: int, denominator: int
) -> None:
    found = value_of(metric, VECTOR)
    assert (f"{(found.value or 0) * 100:.4f}", found.numerator, found.denominator) == (percent, numerator, denominator)


def test_flow_outs_are_in_one_service_level_only() -> None:
    amounts = {"answered": 3, "answered_within": 2, "abandoned": 3, "flowed_out": 4, "timed_out": 1, "full": 1, "wait_all": 303_000}
    assert value_of("sl.with_flowouts", amounts) == Value(0.2, 2, 10)
    assert value_of("answered_rate.wazo", amounts) == Value(0.375, 3, 8)
    assert value_of("average_wait.wazo", amounts) == Value(303_000 / 7, 303_000, 7)


@pytest.mark.parametrize("metric", METRICS)
def test_nothing_counted_is_nothing_and_never_divided(metric: str) -> None:
    found, kind = value_of(metric, {}), METRICS[metric].kind
    assert found == {"sum": Value(0, 0), "ratio": Value(None, 0, 0)}.get(kind, Value(None, 0))


def test_a_cost_is_one_amount_of_one_currency_or_none() -> None:
    amounts = {"charged": 450, "charged_by_minute": 450 * 60_000, "calls": 4, "talked": 90_000, "unrated": 2}
    metrics = ("cost.charged", "cost.per_call", "cost.per_minute", "cost.unrated")
    assert [value_of(one, amounts | {CURRENCIES: 1}) for one in metrics] == [
        Value(450, 450), Value(112.5, 450, 4), Value(300.0, 27_000_000, 90_000), Value(2, 2),
    ]  # fmt: skip
    for several in (0, 2):  # nothing is rated; amounts that cannot be added
        assert [value_of(one, amounts | {CURRENCIES: several}) for one in metrics] == [
            Value(None, 0), Value(None, 0, 4), Value(None, 0, 90_000), Value(2, 2),
        ]  # fmt: skip


def test_a_cost_says_its_currency_and_warns_of_several() -> None:
    question = asked("cost.charged", "calls.started")
    assert definitions(question, {"KES"})["cost.charged"]["currency"] == "KES"
    told = definitions(question, {"USD", "KES"})
    assert told["cost.charged"]["currency"] is None
    assert "KES and USD" in str(told["cost.charged"]["warning"])
    assert "currency" not in told["calls.started"]


def test_sums_and_maxima_are_their_own_numerators() -> None:
    assert value_of("queue.wait_all", VECTOR) == Value(16_000_000, 16_000_000)
    assert value_of("queue.wait_max", {"queue.wait_max": 94_000, "wait_all": 7}) == Value(94_000, 94_000)
    assert value_of("queue.wait_p90", {"queue.wait_p90": 0}) == Value(0, 0)
    assert value_of("queue.asa", VECTOR) == Value(15_300.0, 15_300_000, 1000)


def test_occupancies_and_utilisations_differ_below_the_line() -> None:
    amounts = {"busy": 30, "held": 5, "wrap_up": 5, "available": 215, "paused": 15, "communicating": 2, "logged_in": 272, "shift": 300}
    found = {metric: value_of(metric, amounts) for metric in METRICS if metric.startswith(("occupancy.", "utilisation."))}
    assert {metric: (one.numerator, one.denominator) for metric, one in found.items()} == {
        "occupancy.aws": (40, 255), "occupancy.genesys": (40, 257), "occupancy.logged_in": (40, 272),
        "utilisation.logged_in": (255, 272), "utilisation.shift": (255, 300),
    }  # fmt: skip


# ---------------------------------------------------------------- rows


def test_rows_come_by_interval_then_group_with_the_missing_value_last() -> None:
    question = asked("queue.offered", interval="1h", group_by=("queue", "agent"))
    tally = counted(
        {
            (2, ("b", None)): {"offered": 1},
            (2, ("b", "a")): {"offered": 2},
            (2, (None, "z")): {"offered": 3},
            (1, ("z", "z")): {"offered": 4},
        }
    )
    found = rows(question, grid(question), tally)
    assert [(row.interval_start[11:13], *row.group.values(), row.values["queue.offered"].value) for row in found] == [
        ("00", "z", "z", 4), ("01", "b", "a", 2), ("01", "b", None, 1), ("01", None, "z", 3),
    ]  # fmt: skip
    assert list(found[0].group) == ["queue", "agent"]


def test_hours_and_weekdays_are_numbers_among_the_groups_in_the_order_asked_for() -> None:
    question = asked("queue.offered", group_by=("weekday", "queue", "hour"))
    cells = grid(question)
    found = rows(question, cells, counted({(cells.keys[7], ("PS",)): {"offered": 1}}))
    assert [list(row.group.items()) for row in found] == [[("weekday", 4), ("queue", "PS"), ("hour", 7)]]


def test_empty_intervals_are_absent_and_present_with_fill() -> None:
    tally = counted({(2, ()): {"offered": 1}, (3, ()): {"offered": 0, "wait_all": 0}})
    plain, filled = (asked("queue.offered", "queue.asa", hours=4, interval="1h", fill=fill) for fill in (False, True))
    assert [row.interval_start[11:13] for row in rows(plain, grid(plain), tally)] == ["01"]
    assert [row.values["queue.offered"].value for row in rows(filled, grid(filled), tally)] == [0, 1, 0, 0]
    assert rows(filled, grid(filled), tally)[0].values["queue.asa"] == Value(None, 0, 0)


def test_fill_gives_each_group_seen_a_row_in_every_interval() -> None:
    question = asked("queue.offered", hours=2, interval="1h", group_by=("queue",), fill=True)
    found = rows(question, grid(question), counted({(1, ("a",)): {"offered": 1}, (2, (None,)): {"offered": 2}}))
    assert [(row.group["queue"], row.values["queue.offered"].value) for row in found] == [("a", 1), (None, 0), ("a", 0), (None, 2)]
    assert rows(question, grid(question), Tally()) == []


def test_fill_does_not_multiply_without_end() -> None:
    question = asked("queue.offered", hours=24, interval="15m", group_by=("agent",), fill=True)
    many = counted({(1, (str(n),)): {"offered": 1} for n in range(3000)})
    with pytest.raises(Faults, match="fill"):
        rows(question, grid(question), many)


def test_a_wait_of_nothing_at_all_is_still_a_wait() -> None:
    question = asked("queue.wait_max")
    (row,) = rows(question, grid(question), counted({(1, ()): {"queue.wait_max": 0}}))
    assert row.values["queue.wait_max"] == Value(0, 0)


# ---------------------------------------------------------------- definitions


def test_a_definition_names_its_parameters_as_they_were_used() -> None:
    found = definitions(asked("sl.negative", "sl.exclude_short", "fcr.window", "queue.asa", parameters=Parameters(17_000, 4_500, 3)))
    assert {name: found["sl.negative"][name] for name in ("threshold_s", "attribution", "version", "unit", "formula")} == {
        "threshold_s": 17, "attribution": "start", "version": 1, "unit": "ratio", "formula": "A_T / (A + B)",
    }  # fmt: skip
    assert isinstance(found["sl.negative"]["threshold_s"], int) and "short_abandon_s" not in found["sl.negative"]
    assert found["sl.exclude_short"]["short_abandon_s"] == 4.5
    assert found["fcr.window"]["window_days"] == 3
    assert "threshold_s" not in found["queue.asa"]


def test_queues_with_thresholds_of_their_own_are_named() -> None:
    own = Parameters(by_queue={"vip": (10_000, 5_000), "slow": (20_000, 9_000)})
    found = definitions(asked("sl.exclude_short", parameters=own))["sl.exclude_short"]
    assert (found["threshold_s"], found["threshold_s_by_queue"]) == (20, {"vip": 10})
    assert (found["short_abandon_s"], found["short_abandon_s_by_queue"]) == (5, {"slow": 9})


def test_under_the_threshold_rule_every_metric_depends_on_the_threshold() -> None:
    assert definitions(asked("queue.offered", attribution="threshold"))["queue.offered"]["threshold_s"] == 20


def test_a_percentile_says_how_it_is_taken() -> None:
    found = definitions(asked("queue.wait_p95"))["queue.wait_p95"]
    assert (found["quantile"], found["rank"]) == ("nearest-rank", 0.95)


@pytest.mark.parametrize(("metric", "hours_later", "open_facts", "final"), [
    ("queue.offered", 33, False, True), ("queue.offered", 32.999, False, False), ("queue.offered", 1000, True, False),
    ("fcr.window", 33, False, False), ("fcr.window", 33 + 7 * 24, False, True),
])  # fmt: skip
def test_an_answer_is_final_when_nothing_can_arrive_any_more(metric: str, hours_later: float, open_facts: bool, final: bool) -> None:
    question = asked(metric)
    through = question.until + int(hours_later * HOUR)
    assert is_final(question, open_facts=open_facts, complete_through=through, horizon_h=33) == final


# ---------------------------------------------------------------- what is read


def plan(*metrics: str, raw: bool = False, **more) -> list[Selection]:
    question = asked(*metrics, **more)
    return selections(question, grid(question), raw=raw)


def paths(*metrics: str, **more) -> list[str]:
    return [one.path for one in plan(*metrics, **more)]


def test_a_queues_usual_numbers_are_read_once_and_from_the_rollup() -> None:
    (one,) = plan("sl.exclude_short", "queue.offered", "queue.asa", interval="15m", group_by=("queue",))
    assert (one.path, one.moment) == ("queue_slots", "start")
    assert one.measures == ("answered_within", "answered", "abandoned", "short_abandoned", "offered", "wait_answered")


@pytest.mark.parametrize("more", [
    {"group_by": ("agent",)}, {"group_by": ("queue", "attr.x")}, {"filters": (("direction", "inbound"),)}, {"attribution": "end"}, {"raw": True},
    {"parameters": Parameters(17_000)}, {"parameters": Parameters(by_queue={"vip": (20_500, 5_000)})},
    {"zone": "Africa/Monrovia", "interval": "1d", "since": (parse_time("1960-01-01T00:00:00Z") or 0), "until": (parse_time("1960-01-03T00:00:00Z") or 0)},
])  # fmt: skip
def test_what_the_rollup_cannot_say_is_read_from_the_rows(more: dict) -> None:
    raw = more.pop("raw", False)
    question = Question("default", ("queue.answered_within",), **({"since": MIDNIGHT, "until": MIDNIGHT + HOUR} | more))
    assert [one.path for one in selections(question, grid(question), raw=raw)] == ["raw"]


def test_a_threshold_matters_only_to_what_depends_on_it() -> None:
    assert paths("queue.offered", parameters=Parameters(17_000)) == ["queue_slots"]
    assert paths("queue.offered", "queue.answered_within", parameters=Parameters(17_000)) == ["queue_slots", "raw"]


def test_hours_of_the_day_are_in_the_rollup_where_they_begin_on_a_quarter() -> None:
    assert paths("queue.offered", group_by=("hour", "queue"), zone="Asia/Kathmandu") == ["queue_slots"]
    assert paths("queue.offered", group_by=("hour", "queue"), zone="Asia/Kathmandu", interval="1d") == ["queue_slots"]


def test_percentiles_and_maxima_are_read_from_the_rows() -> None:
    (one,) = plan("queue.wait_max", "queue.wait_p90", "queue.wait_p50")
    assert (one.path, one.source, one.measures, one.extremes) == (
        "raw",
        "visits",
        (),
        ("queue.wait_max", "queue.wait_p90", "queue.wait_p50"),
    )


def test_answers_outside_every_queue_are_read_beside_the_rollup_of_queues() -> None:
    assert [(one.path, one.source, one.queueless) for one in plan("handle.aht")] == [
        ("queue_slots", "visits", False), ("raw", "stretches", True), ("raw", "agents", False), ("raw", "handles", True),
    ]  # fmt: skip
    assert [one.path for one in plan("handle.talk", filters=(("queue", "PS"),))] == ["queue_slots"]


def test_under_emit_each_measure_posts_at_its_own_moment() -> None:
    assert [(one.moment, one.measures) for one in plan("queue.offered", "queue.answered", attribution="emit")] == [
        ("first", ("offered",)),
        ("last", ("answered",)),
    ]


def test_states_of_agents_are_read_once_from_their_rollup() -> None:
    (states, shifts) = plan("agent.busy", "agent.talk", "utilisation.shift", interval="1d", group_by=("agent",))
    assert (states.path, shifts.path, shifts.source) == ("agent_slots", "raw", "shifts")
    assert states.measures == ("busy", "agent_talk", "held", "wrap_up", "available")
    assert paths("agent.talk", group_by=("queue",)) == ["raw"]


def test_wrap_up_of_handling_is_read_apart_from_wrap_up_as_a_state() -> None:
    assert [one.measures for one in plan("handle.wrap_up", "agent.wrap_up", raw=True)] == [("wrapped_up",), ("wrap_up",)]


def test_what_calls_cost_is_read_with_the_calls() -> None:
    (one,) = plan("cost.charged", "cost.per_call", "cost.per_minute", "cost.unrated", "calls.answered")
    assert (one.source, one.path, one.priced) == ("calls", "raw", True)
    assert not plan("calls.answered")[0].priced


def test_a_grid_of_no_open_hour_is_still_a_grid() -> None:
    question = asked("queue.offered", filters=(("weekday", "7"),))
    assert grid(question) == Grid([question.since, question.until], [0], [])
    assert rows(question, grid(question), Tally()) == []
