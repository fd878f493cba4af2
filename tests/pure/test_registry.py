"""Walks the registries: every projection, event type and provider is complete, so that a new one cannot be half added."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from calls import events, fold_call
from calls.configuration import Configuration
from calls.envelope import TOPICS
from calls.events import RANK, TYPES, Event
from calls.journey import ANOMALIES, OUTCOMES
from calls.providers import PROVIDERS, Delivered, neutral
from projections import ACCOUNT_TABLES, AGGREGATES, PROJECTIONS, generations
from projections.account_streams import KEEPERS
from projections.shape import AccountTable, Aggregate, Projection, Stated, clean
from projections.store import WRITERS
from tests.given import NOON, given

CORPUS = Path(__file__).parents[1] / "corpus" / "providers"
STORY = """
    +0 call.started direction=inbound from=+254712345678 to=+254711000100 client_request_id=order-7 attr.line=1
    +1 menu.entered menu=main
    +2 menu.digits menu=main digits=1
    +3 queue.entered queue=support priority=2
    +9 queue.left queue=support reason=answered
    +9 leg.answered leg=a kind=agent agent=amina
    +12 hold.started leg=a
    +15 hold.ended leg=a
    +20 leg.ended leg=a
    +20 call.ended ended_by=caller
"""

LINES = [
    b'{"kind": "call_record", "fields": {"id": "c1", "Start Time": "2026-09-01 12:00:00", "Duration (s)": "61", "Cost (KES)": "3.05"}}',
    b'{"kind": "ledger", "fields": {"created_at": "2026-09-01T12:00:00Z", "amount_minor": "305", "entry_type": "debit"}}',
    b'{"kind": "balance", "fields": {"balance_minor": "5"}}', b'{"kind": "stats", "fields": {"spend_minor": "5", "total": "--1"}}',
    b'{"kind": "ledger", "fields": {"amount_minor": "305"}}', b'{"kind": "ledger", "fields": {"a\\u0000": "\\u0000"}}',
    b'{"kind": "rumour", "fields": {}}', b'{"kind": "ledger", "fields": [1]}', b"nonsense", b"\xff", b"", b"{" * 10_000,
]  # fmt: skip


# ---------------------------------------------------------------- projections


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda one: one.name)
def test_a_projection_is_one_table_whose_key_begins_with_tenant_and_journey(projection: Projection) -> None:
    keys = [column.name for column in projection.table.primary_key.columns]
    assert keys[:2] == ["tenant", "journey_id"]
    assert [column.name for column in projection.table.columns][: len(keys)] == keys
    assert projection.table in generations.TABLES


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda one: one.name)
def test_rows_match_the_columns(projection: Projection) -> None:
    rows = list(projection.rows(given(STORY)))
    assert rows, "this story has a row in every table"
    for row in rows:
        for column, value in zip(projection.table.columns, row, strict=True):
            _fits(column, value)


def _fits(column: sa.Column[Any], value: Any) -> None:
    if value is None:
        assert column.nullable, column
        return
    kinds: dict[type, type | tuple[type, ...]] = {
        sa.Text: str, sa.TIMESTAMP: int, sa.BigInteger: int, sa.Integer: int, sa.Boolean: bool, sa.ARRAY: list, sa.LargeBinary: bytes,
    }  # fmt: skip
    kind = next((python for known, python in kinds.items() if isinstance(column.type, known)), str)
    assert isinstance(value, kind), (column, value)


def test_every_projection_is_written_and_named_once() -> None:
    assert [writer.name for _, writer in WRITERS] == [one.name for one in PROJECTIONS]
    assert len({table.name for table in generations.TABLES}) == len(generations.TABLES)


@pytest.mark.parametrize("aggregate", AGGREGATES, ids=lambda one: one.name)
def test_an_aggregate_is_keys_a_shard_and_sums(aggregate: Aggregate) -> None:
    keys = [column.name for column in aggregate.table.primary_key.columns]
    assert (keys[0], keys[-1], generations.key(aggregate.table)) == ("tenant", "shard", keys[:-1])
    assert [column.name for column in aggregate.table.columns] == [*keys, *aggregate.sums]
    assert all(isinstance(aggregate.table.columns[name].type, sa.Integer) for name in aggregate.sums)
    assert aggregate.table in generations.TABLES


@pytest.mark.parametrize("table", ACCOUNT_TABLES, ids=lambda one: one.name)
def test_a_table_of_accounts_has_rows_of_one_delivery(table: AccountTable) -> None:
    keys = [column.name for column in table.table.primary_key.columns]
    assert (keys[:2], keys[-1]) == (["tenant", "account"], "digest")
    assert [column.name for column in table.table.columns][: len(keys)] == keys
    assert "received_at" in table.table.columns and table.table in generations.TABLES
    assert [keeper.rows for keeper in KEEPERS] == [one.rows for one in ACCOUNT_TABLES]
    for body in LINES:
        for source in ("statement", "poll"):
            said = Stated("default", "acme", source, "ledger:e1", bytes(16), NOON, body)
            (row,) = table.rows(said, Configuration())
            for column, value in zip(table.table.columns, row, strict=True):
                _fits(column, value)
        assert list(table.rows(msgspec.structs.replace(said, source="hook"), Configuration())) == []


def test_the_fingerprint_follows_the_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    before = generations.fingerprint()
    assert before == generations.fingerprint()
    monkeypatch.setattr(generations, "VERSION", 10**6)
    assert generations.fingerprint() != before


@pytest.mark.parametrize(("text", "kept"), [(None, None), ("a", "a"), ("a\0b", "a\ufffdb"), ("\ud800x", "?x"), ("é😀", "é😀"), ("", "")])
def test_text_is_kept_as_a_column_can_hold_it(text: str | None, kept: str | None) -> None:
    assert clean(text) == kept


# ---------------------------------------------------------------- events


@pytest.mark.parametrize("kind", TYPES)
def test_every_event_type_survives_writing_and_parsing(kind: str) -> None:
    about = msgspec.inspect.type_info(TYPES[kind])
    assert isinstance(about, msgspec.inspect.StructType)
    whole = TYPES[kind](**{one.name: _example(one) for one in about.fields})
    least = TYPES[kind](at=NOON, call_sid="c", **{one.name: _example(one) for one in about.fields if one.required})
    for event in (whole, least):
        if isinstance(event, events.CallLinked | events.CallUnlinked) and event is least:
            continue  # one of its two names is needed
        read = neutral.parse(Delivered(neutral.write(event), "application/json", {}, NOON + 5, "acme"))
        if kind == "unrecognised":
            assert [type(one) for one in read] == [events.Unrecognised]
        else:
            assert read == [event]


def _example(field: msgspec.inspect.Field) -> Any:
    if field.name in ("at", "call_sid"):
        return NOON if field.name == "at" else "c"
    options = field.type.types if isinstance(field.type, msgspec.inspect.UnionType) else (field.type,)
    examples: dict[type, Any] = {
        msgspec.inspect.IntType: 7, msgspec.inspect.BoolType: True, msgspec.inspect.StrType: "x", msgspec.inspect.DictType: {"a": "b"},
            msgspec.inspect.ListType: ["x"],
    }  # fmt: skip
    words = [word for one in options if isinstance(one, msgspec.inspect.LiteralType) for word in one.values]
    return words[0] if words else next(example for known, example in examples.items() if any(isinstance(one, known) for one in options))


def test_every_type_has_a_tag_of_its_own_and_a_rank() -> None:
    known = {cls for cls in vars(events).values() if isinstance(cls, type) and issubclass(cls, Event) and cls is not Event}
    assert set(TYPES.values()) == known
    assert all(0 <= rank < 100 for rank in RANK.values())


def test_what_the_fold_reads_are_event_types() -> None:
    assert set(fold_call.HANDLERS) <= set(TYPES.values())


def test_starts_come_before_ends_at_the_same_instant() -> None:
    order = ["call.started", "call.answered", "menu.digits", "menu.left", "menu.entered", "queue.left", "queue.entered", "leg.started",
             "leg.answered", "leg.ended", "call.ended", "call.presumed_ended"]  # fmt: skip
    assert [RANK[kind] for kind in order] == sorted({RANK[kind] for kind in order})


# ---------------------------------------------------------------- providers


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_provider_is_complete(name: str) -> None:
    provider = PROVIDERS[name]
    assert provider.name == name
    assert provider.starts <= set(TYPES)
    assert provider.ends <= set(TYPES)
    assert all(word == word.lower() for word in provider.exempt | provider.kept_headers)
    assert provider.sid_rank("x") >= 0
    assert list(CORPUS.joinpath(name).glob("*.json")), f"no samples under tests/corpus/providers/{name}"


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"\xff", b"a=b", b'{"kind": 5}', b'{"call_id": {}}', b"{" * 10_000])
def test_a_provider_raises_nothing_but_that_it_does_not_understand(name: str, body: bytes) -> None:
    from calls.providers import NotUnderstood

    delivered = Delivered(body, "application/json", {}, NOON, "acme")
    try:
        PROVIDERS[name].identify(delivered)
    except NotUnderstood as why:
        assert str(why).endswith(".")
    assert PROVIDERS[name].parse(delivered)


def test_words_have_no_doubles() -> None:
    assert len(set(OUTCOMES)) == len(OUTCOMES)
    assert len(set(ANOMALIES)) == len(ANOMALIES)
    assert set(TOPICS) == {"call", "agent", "account", "quarantine"}
