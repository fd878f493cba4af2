"""Every metric of the catalogue on a few stories in Postgres, against numbers that were worked out by hand.

tests/corpus/metrics/*.call tell what happened on 1 September 2026, rated by the plans of tests/given.py; vectors.csv asks: a metric, a time of that day, further parameters
of a query, the numerator and the denominator that they must give (no denominator: a count, a sum, a maximum or a percentile).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
import sqlalchemy as sa
from projecting import Bench, priced, story

from api.analytics.answer import Known, answer
from api.database import reader
from calls.metrics.asked import Scope, query
from calls.metrics.catalogue import METRICS
from calls.metrics.evaluate import Value

CORPUS = Path(__file__).resolve().parents[1] / "corpus" / "metrics"
KNOWN = Known(complete_through="2026-09-01T17:00:00Z", horizon_h=33)
SCOPE = Scope("default", "UTC")


def vectors() -> list[dict[str, str]]:
    with (CORPUS / "vectors.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def engine(database_url: str) -> Iterator[sa.Engine]:
    bench = Bench(database_url)
    priced(bench)
    bench.project(one for path in sorted(CORPUS.glob("*.call")) for one in story(path.read_text()))
    bench.close()
    made = reader(database_url)
    yield made
    made.dispose()


def value(engine: sa.Engine, line: dict[str, str], *, raw: bool) -> tuple[int, int | None]:
    """(numerator, denominator); nothing counted is (0, 0) or (0, None)."""
    asked = {"metrics": line["metric"], "from": f"2026-09-01T{line['from']}:00Z", "to": f"2026-09-01T{line['to']}:00Z"}
    found = answer(engine, query([*asked.items(), *parse_qsl(line["question"])], SCOPE), KNOWN, raw=raw)["rows"]
    assert len(found) <= 1
    nothing = 0 if METRICS[line["metric"]].kind == "ratio" else None
    one: Value = found[0].values[line["metric"]] if found else Value(None, 0, nothing)
    return one.numerator, one.denominator


@pytest.mark.parametrize("line", vectors(), ids=lambda line: f"{line['metric']} {line['from']} {line['question']}".strip())
def test_a_metric_is_what_was_worked_out_by_hand(engine: sa.Engine, line: dict[str, str]) -> None:
    want = (int(line["numerator"]), int(line["denominator"]) if line["denominator"] else None)
    assert value(engine, line, raw=False) == want
    assert value(engine, line, raw=True) == want, "without rollups"


# ---------------------------------------------------------------- what adds up

DAY = {"from": "2026-09-01T00:00:00Z", "to": "2026-09-02T00:00:00Z"}
DIVIDED = [
    {"interval": "15m"}, {"interval": "1h", "tz": "Asia/Kathmandu"}, {"interval": "1d", "tz": "Africa/Nairobi"}, {"group_by": "agent"},
    {"group_by": "hour,weekday", "tz": "America/New_York"}, {"group_by": "agent", "interval": "15m", "fill": "zero"},
    {"group_by": "queue,attr.priority"}, {"group_by": "direction,outcome,menu,flow,account"},
]  # fmt: skip


@pytest.mark.parametrize("raw", [False, True], ids=["rollups", "rows"])
@pytest.mark.parametrize("rule", [None, "start", "end", "emit", "split", "threshold"])
def test_intervals_and_groups_add_up_to_the_whole_by_every_rule(engine: sa.Engine, rule: str | None, raw: bool) -> None:
    allowed = [one for one in METRICS.values() if one.kind in ("sum", "ratio") and (rule is None or rule in one.attributions)]
    for divided in DIVIDED:
        groups = set(divided.get("group_by", "").split(",")) - {"", "hour", "weekday"}
        metrics = [one.id for one in allowed if one.dimensions is None or groups <= set(one.dimensions)]
        asked = DAY | {"metrics": ",".join(metrics)} | ({"attribution": rule} if rule else {})
        if not metrics:
            continue
        (whole,) = answer(engine, query(asked.items(), SCOPE), KNOWN, raw=raw)["rows"]
        parts = answer(engine, query((asked | divided).items(), SCOPE), KNOWN, raw=raw)["rows"]
        assert len(parts) > (0 if divided.get("interval") == "1d" else 1)
        for metric in metrics:
            sums = [sum(getattr(row.values[metric], side) or 0 for row in parts) for side in ("numerator", "denominator")]
            assert sums == [whole.values[metric].numerator, whole.values[metric].denominator or 0], (metric, divided)
