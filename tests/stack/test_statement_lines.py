"""Lines of statements in Postgres: in any order and often the same rows, versions, another zone, rebuilt and compared."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
import psycopg
import pytest
from projecting import Bench, copy, cut, patiently, settle, traffic

from api.money.lines import LATEST
from calls.clock import parse_time
from calls.envelope import Envelope, digest
from calls.statements import written
from calls.statements.line import LineKind
from projections import rebuild as rebuilding
from projections import schema
from projections.account_streams import BATCH
from projections.rebuild import rebuild
from runtime.settings import Settings
from tests.given import NOON, SECOND

DEBIT = {"id": "e1", "entry_type": "debit", "amount_minor": "600", "created_at": "2026-09-01T12:00:00Z", "call_id": "call-1"}


def line(kind: LineKind, fields: dict[str, str], *, n: int = 0, received: int = NOON, account: str = "acme", tenant: str = "default",
         source: str = "statement") -> Envelope:  # fmt: skip
    """A line as it is imported: known by its id, else by what it says."""
    body = written.body(kind, fields)
    event_id = written.event_id(kind, fields["id"]) if "id" in fields else written.nameless(kind, digest(body), n)
    return Envelope(
        tenant=tenant, account=account, provider="sautikit", stream_kind="account", stream=account, event_id=event_id,
        receipt=digest(f"{account} {event_id} {received}".encode()), received_at=received, digest=digest(body), source=source,
        content_type="application/json", body=body.decode(),
    )  # fmt: skip


def many(count: int) -> list[Envelope]:
    """Ledger lines and call records of two accounts, each tenth in two versions, each seventh twice, out of order."""
    made = []
    for n in range(count):
        said = {"id": f"e{n}", "Date": f"2026-09-01 12:{n % 60:02}:00", "Cost (KES)": f"{n}.05"}
        made.append(line("ledger", said, account=("acme", "bank")[n % 2], received=NOON + n * SECOND))
        record = {"id": f"c{n}", "started_at": "2026-09-01T09:00:00Z", "duration_seconds": str(n), "cost_minor": str(5 * n)}
        made.append(line("call_record", record, received=NOON + n * SECOND))
        if n % 10 == 0:
            made.append(line("ledger", said | {"Cost (KES)": "7"}, account=("acme", "bank")[n % 2], received=NOON + (n + 5) * SECOND))
        if n % 7 == 0:
            made.append(copy(made[-1], later=random.Random(n).choice([-5, 5]) * SECOND))
    random.Random(count).shuffle(made)
    return made


def stood(bench: Bench, *columns: str) -> list[tuple[Any, ...]]:
    return bench.rows(f"SELECT {', '.join(columns)} FROM {LATEST} l ORDER BY kind, row_id")


# ---------------------------------------------------------------- a line is a row


def test_a_line_is_a_row(bench: Bench) -> None:
    record = {
        "id": "call-1", "session_id": "HD_1", "direction": "outbound", "local_e164": "+254711000100", "remote_e164": "0712 345678",
        "started_at": "2026-09-01T12:00:00Z", "duration_seconds": "61", "status": "completed", "cost_minor": "305", "cost_currency": "KES",
    }  # fmt: skip
    bench.project(
        [
            line("call_record", record, source="poll"),
            line("ledger", DEBIT),
            line("balance", {"balance_minor": "12", "at": "2026-09-01T12:00:00Z"}),
        ]
    )
    assert bench.rows("SELECT kind, row_id, call_id, caller, called, duration_ms, amount_minor, balance_minor FROM live.statement_lines WHERE kind <> 'balance' ORDER BY 1") == [
        ("call_record", "call-1", "call-1", "+254711000100", "+254712345678", 61_000, 305, None),
        ("ledger", "e1", "call-1", None, None, None, 600, None),
    ]  # fmt: skip
    assert bench.rows("SELECT balance_minor FROM live.statement_lines WHERE kind = 'balance'") == [(12,)]
    bench.true()


def test_what_nobody_can_read_is_seen_and_not_counted(bench: Bench) -> None:
    odd = line("ledger", DEBIT | {"amount_minor": "six"})
    bench.project([odd, msgspec.structs.replace(odd, event_id="x", body="nonsense", digest=digest(b"nonsense"))])
    assert bench.rows("SELECT kind, row_id, amount_minor FROM live.statement_lines ORDER BY 2") == [
        ("unread", "ledger:e1", None),
        ("unread", "x", None),
    ]
    assert "amount_minor: 'six' is no amount" in bench.rows("SELECT description FROM live.statement_lines WHERE row_id = 'ledger:e1'")[0][0]
    bench.true()


def test_what_else_an_account_is_told_is_no_line(bench: Bench) -> None:
    bench.project([line("ledger", DEBIT, source="hook")])
    assert bench.rows("SELECT count(*) FROM live.statement_lines") == [(0,)]
    bench.true()


def test_two_lines_that_say_the_same_are_two(bench: Bench) -> None:
    said = {"Date": "2026-09-01 12:00:00", "Amount": "5.00"}
    bench.project([line("ledger", said, n=0), line("ledger", said, n=1), line("ledger", said, n=1, received=NOON + SECOND)])
    assert stood(bench, "amount_minor") == [(500,), (500,)]


# ---------------------------------------------------------------- any order, versions, copies


def test_any_order_and_any_number_of_copies_are_the_same_rows(another: Callable[[], Bench]) -> None:
    told = many(80)
    first, second = another(), another()
    first.project(told)
    second.project([*reversed(told), *told[::3]], batches=9)
    assert first.tables()["statement_lines"] == second.tables()["statement_lines"]
    second.true()


def test_the_latest_version_stands_and_all_are_kept(bench: Bench) -> None:
    """By the provider's own time of change, then by ours; a copy that was received earlier moves a version back."""
    bench.project([
        line("call_record", {"id": "a", "started_at": "2026-09-01T12:00:00Z", "cost_minor": "1", "updated_at": "2026-09-01T12:05:00Z"}),
        line("call_record", {"id": "a", "started_at": "2026-09-01T12:00:00Z", "cost_minor": "0", "updated_at": "2026-09-01T12:01:00Z"}, received=NOON + SECOND),
        line("call_record", {"id": "a", "started_at": "2026-09-01T12:00:00Z", "cost_minor": "9"}, received=NOON + 9 * SECOND),
        line("ledger", DEBIT | {"amount_minor": "1"}, received=NOON),
        line("ledger", DEBIT | {"amount_minor": "2"}, received=NOON + SECOND),
    ])  # fmt: skip
    assert stood(bench, "row_id", "amount_minor") == [("a", 1), ("e1", 2)]
    assert bench.rows("SELECT count(*) FROM live.statement_lines") == [(5,)]
    bench.project([line("ledger", DEBIT | {"amount_minor": "2"}, received=NOON - SECOND)])
    assert stood(bench, "row_id", "amount_minor") == [("a", 1), ("e1", 1)]
    bench.true()


def test_tenants_never_meet(bench: Bench) -> None:
    bench.project([line("ledger", DEBIT), line("ledger", DEBIT | {"amount_minor": "7"}, tenant="other", received=NOON + SECOND)])
    assert bench.rows(f"SELECT tenant, amount_minor FROM {LATEST} l ORDER BY 1") == [("default", 600), ("other", 7)]


# ---------------------------------------------------------------- rebuilt


@pytest.mark.parametrize("projection", [None, "statement_lines"])
def test_a_rebuild_fills_it_from_the_journal(bench: Bench, projection: str | None) -> None:
    bench.project([*many(40), *traffic(1, 5)])
    before = bench.tables()
    with psycopg.connect(bench.url) as connection:
        connection.execute("DELETE FROM g1.statement_lines WHERE amount_minor > 100")
    (*found,) = rebuild(bench.url, verify=True).differences
    assert {(one.table, one.live, one.rebuilt) for one in found} == {("statement_lines", None, "row")}
    rebuild(bench.url, projection=projection)
    assert bench.tables() == before
    bench.project(many(45))
    bench.true()


def test_lines_that_come_while_it_is_rebuilt(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its pages and its last step: new lines, and a copy received earlier of one that it had read."""
    bench.project(many(20))
    settled = rebuilding.Rebuild._settle
    earlier = line("ledger", DEBIT, received=NOON - 900 * SECOND)
    bench.project([line("ledger", DEBIT)])

    def meanwhile(self: rebuilding.Rebuild) -> None:
        bench.project([earlier, *many(25)])
        settled(self)

    with monkeypatch.context() as patched:
        patched.setattr(rebuilding.Rebuild, "_settle", meanwhile)
        assert rebuild(bench.url, verify=True).differences == []
        bench.project([line("ledger", DEBIT | {"id": "e2"})])
        earlier = line("ledger", DEBIT | {"id": "e2"}, received=NOON - SECOND)
        assert rebuild(bench.url).switched
    bench.true()


def test_pages(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert BATCH > 7
    monkeypatch.setattr("projections.account_streams.BATCH", 7)
    bench.project(many(30))
    bench.true()


def test_a_projector_that_dies_half_way_leaves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    log = bench.log(many(30))
    with monkeypatch.context() as patched:
        patched.setattr("projections.bookkeeping.count", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            bench.projector().project(log)
    assert bench.rows("SELECT (SELECT count(*) FROM live.statement_lines), (SELECT count(*) FROM safiri.journal)") == [(0, 0)]
    for batch in cut(log, 5):
        patiently(bench.projector(), batch)
    settle(bench.made[0])
    assert bench.rows("SELECT count(DISTINCT (account, kind, row_id)) FROM live.statement_lines") == [(60,)]
    bench.true()


# ---------------------------------------------------------------- another zone


def test_where_a_zone_is_corrected_its_lines_are_read_anew(bench: Bench) -> None:
    local = line("ledger", {"id": "e1", "Date": "2026-09-01 12:00:00", "Amount": "5.00"})
    bench.project([local, line("ledger", DEBIT | {"id": "e2"}), line("ledger", DEBIT, tenant="other")])
    assert (
        bench.rows("SELECT at FROM live.statement_lines WHERE tenant = 'default' AND row_id = 'e1'")[0][0].isoformat()
        == "2026-09-01T09:00:00+00:00"
    )
    moved = Settings.model_validate({"tenants": {"default": {"timezone": "Europe/Paris"}}})
    schema.migrate(moved, bench.url, now=parse_time("2026-10-01T00:00:00Z") or 0)
    assert (
        bench.rows("SELECT at FROM live.statement_lines WHERE tenant = 'default' AND row_id = 'e1'")[0][0].isoformat()
        == "2026-09-01T10:00:00+00:00"
    )
    assert bench.rows("SELECT count(*) FROM safiri.rereads") == [(0,)]
    bench.project([copy(local)])
    bench.true()
