"""Exports without a database: what can be had, what is asked for, which bytes are wanted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sqlalchemy as sa

from api.exports.datasets import DATASETS, INTERNAL
from api.exports.formats import FORMATS
from api.exports.ranges import has_it, wanted
from api.exports.statements import Asked, asked_for, copying, parameters, state
from api.params import period_of
from projections.generations import TABLES
from runtime.problems import Refused

TAG = '"abc"'
DOCUMENTED = (Path(__file__).parents[2] / "docs" / "exports.md").read_text()


@pytest.mark.parametrize("table", [one for one in TABLES if one.name in DATASETS], ids=lambda one: one.name)
def test_every_column_is_exported_or_internal(table: sa.Table) -> None:
    exported = {column.name for column in DATASETS[table.name].columns}
    assert exported == {str(column.name) for column in table.columns} - INTERNAL


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_and_column_is_documented(name: str) -> None:
    section = re.search(rf"^### {name}\n(.*?)(?=^##|\Z)", DOCUMENTED, re.MULTILINE | re.DOTALL)
    assert section, f"docs/exports.md has no section {name}"
    words = set(re.findall(r"`([^`]+)`", section[1]))
    assert {column.name for column in DATASETS[name].columns} - words == set()


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", DATASETS)
def test_statements_ask_for_one_tenant_and_hold_no_value(name: str, form: str) -> None:
    asked = Asked(DATASETS[name], FORMATS[form], "o'brien", 0, 1)
    for statement in (copying(asked, "g7"), state(asked, "g7")):
        assert "t.tenant = %(tenant)s" in statement
        assert "o'brien" not in statement
        assert "{" not in statement
    assert set(parameters(asked)) == {"tenant", "begin", "end"}
    assert set(parameters(Asked(DATASETS[name], FORMATS[form], "x"))) == {"tenant"}


@pytest.mark.parametrize(
    ("given", "size", "part"),
    [
        ("bytes=0-", 10, (0, 10)), ("bytes=4-", 10, (4, 10)), ("bytes=4-6", 10, (4, 7)), ("bytes=4-99", 10, (4, 10)), ("bytes=-3", 10, (7, 10)),
        ("bytes=-30", 10, (0, 10)), ("BYTES= 9-", 10, (9, 10)), ("bytes=10-", 10, None), ("bytes=0-", 0, None), ("bytes=-0", 10, None),
    ],
)  # fmt: skip
def test_a_range_of_bytes(given: str, size: int, part: tuple[int, int] | None) -> None:
    found = wanted({"range": given}, TAG)
    assert found is not None
    assert found.within(size) == part


@pytest.mark.parametrize(
    "given", ["", "bytes=", "bytes=-", "bytes=5-4", "bytes=0-1,4-5", "rows=1-2", "bytes=x-", f"bytes={'9' * 5000}-", "bytes=٣-"]
)
def test_a_range_that_is_not_understood_is_none(given: str) -> None:
    assert wanted({"range": given}, TAG) is None


def test_a_range_is_of_the_bytes_that_the_client_has() -> None:
    asked = {"range": "bytes=4-"}
    assert wanted(asked | {"if-range": TAG}, TAG)
    for other in ('"abd"', f"W/{TAG}", "Tue, 01 Sep 2026 12:00:00 GMT", ""):
        assert wanted(asked | {"if-range": other}, TAG) is None
    assert has_it({"if-none-match": f'"x", W/{TAG}'}, TAG)
    assert has_it({"if-none-match": "*"}, TAG)
    assert not has_it({"if-none-match": '"x"'}, TAG)
    assert not has_it({}, TAG)


def test_what_is_asked_for_wrongly_is_refused_with_what_there_is() -> None:
    with pytest.raises(Refused, match=r"no dataset 'x'; there are journeys, calls, ") as refused:
        asked_for("x", "csv", tenant="default", period=(None, None))
    assert refused.value.status == 404
    with pytest.raises(Refused, match=r"no format 'xls'; there are csv, ndjson, parquet"):
        asked_for("calls", "xls", tenant="default", period=(None, None))
    assert period_of([("from", "1970-01-01T00:00:01Z")]) == (1_000_000, None)
    bad = [("from", "monday"), ("to", "2026-01-01"), ("limit", "5"), ("from", "")]
    for name, text in bad:
        with pytest.raises(Refused) as refused:
            period_of([(name, text)])
        assert [one["field"] for one in refused.value.errors] == [name]
    with pytest.raises(Refused, match="from is later than to"):
        period_of([("from", "2026-01-02T00:00:00Z"), ("to", "2026-01-01T00:00:00Z")])
