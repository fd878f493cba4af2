"""`safiri bill`: what an account's month cost, for a person to read; `--json` is what `GET /v1/bills` answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from cli.options import as_json, common
from cli.reading import complete_through, connected, known_tenant, tenant_option
from runtime.settings import Settings

NAMELESS = {"number": "unknown", "queue": "no queue", "agent": "no agent", "destination": "no destination", "direction": "unknown"}
FIRST_REASONS = 3


@click.command("bill")
@click.option("--account", required=True, metavar="NAME", help="Whose bill.")
@click.option("--month", required=True, metavar="YYYY-MM", help="The month, in the tenant's time zone.")
@tenant_option
@as_json
@common
def command(settings: Settings, account: str, month: str, *, tenant: str, as_json: bool) -> None:
    """Show what the calls of a month cost: in all, by number, queue, agent and destination, and the ten dearest with the working."""
    import msgspec

    from api import read
    from api.money.bills import asked_for, bill, fresh

    known_tenant(settings, tenant)
    asked = asked_for([("account", account), ("month", month)], settings=settings, tenant=tenant)
    with connected(settings) as engine:
        read.known_account(engine, settings, tenant=tenant, account=account)
        written = msgspec.json.encode(bill(engine, asked, fresh(settings, account, complete_through(settings, engine))))
    click.echo(written.decode() if as_json else "\n".join(lines(msgspec.json.decode(written))))


def lines(document: dict[str, Any]) -> Iterator[str]:
    """The bill as text."""
    yield from _head(document)
    for name, rows in document["by"].items():
        if rows:
            yield from _section(f"by {name}", NAMELESS[name], rows, document["currency"])
    if document["dearest"]:
        yield from ("", "the dearest calls")
        for call in document["dearest"]:
            yield from _call(call, document)
    if document["ledger"]["lines"]:
        yield from _ledger(document)


def _head(document: dict[str, Any]) -> Iterator[str]:
    from calls.ladder import plain
    from calls.money import money

    currency = document["currency"]
    begin, end = (_when(document[name], document)[:10] for name in ("from", "to"))
    yield f"{plain(document['account'])}, {document['month']}: from {begin} to before {end}, {document['timezone']}"
    yield ""
    legs = f"{_many(document['calls'], 'call')}, {_many(document['charges'] - document['unrated'], 'leg')}"
    yield f"charged  {money(document['total_minor'], currency)}  for {legs}"
    if document["tax_minor"]:
        yield f"tax      {money(document['tax_minor'], currency)}  of it"
    if document["unrated"]:
        yield f"unrated  {_many(document['unrated'], 'leg')}, which no rule covers and the sums leave out:"
        reasons = document["reasons"]
        yield from (f"         {one['unrated']} × {plain(one['why'])}" for one in reasons[:FIRST_REASONS])
        if len(reasons) > FIRST_REASONS:
            yield "         and others"
    yield f"state    {_state(document)}"


def _state(document: dict[str, Any]) -> str:
    if document["closed"]:
        return "closed: these charges stand"
    if document["final"]:
        return "final: nothing is open and nothing more can come"
    through = (
        f"complete through {_when(document['complete_through'], document)}" if document["complete_through"] else "nobody can say how far"
    )
    return f"not final: {_many(document['open'], 'call')} still open; {through}"


def _many(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _section(title: str, nameless: str, rows: list[dict[str, Any]], currency: str | None) -> Iterator[str]:
    from calls.ladder import plain
    from calls.money import money
    from cli.asking import table

    shown = [
        [
            plain(next(iter(row["group"].values())) or nameless),
            money(row["amount_minor"], currency),
            str(row["charges"]),
            str(row["unrated"]),
        ]
        for row in rows
    ]
    sums = [sum(row[name] for row in rows) for name in ("amount_minor", "charges", "unrated")]
    yield ""
    yield from table([title, "amount", "legs", "unrated"], [*shown, ["total", money(sums[0], currency), *map(str, sums[1:])]], left=1)


def _call(call: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    from calls.ladder import plain, spoken
    from calls.money import amount, money

    currency, when = document["currency"], _when(call["started_at"], document)
    to = plain(call["to"] or "unknown")
    yield f"{money(call['amount_minor'], currency):>12}  {when[:19]}  to {to}, {spoken(call['talk_ms'])}  {plain(call['call_sid'])}"
    for leg in call["legs"]:
        who = plain(leg["agent"] or leg["leg"])
        why = f": {plain(leg['why'])}" if leg["why"] else ""
        yield f"{'':12}  {amount(leg['amount_minor'], currency)}  {who}, {plain(leg['plan'])} {plain(leg['version'] or '')}".rstrip() + why
        yield from (f"{'':12}    {line['exact']:>12}  {plain(line['what'])}" for line in leg["working"])


def _ledger(document: dict[str, Any]) -> Iterator[str]:
    from calls.ladder import plain
    from calls.money import money
    from cli.asking import table

    ledger = document["ledger"]
    rows = [
        [_when(one["at"], document)[:10], plain(one["entry_type"] or "-"), plain(one["description"] or "-"),
         "-" if one["amount_minor"] is None else money(one["amount_minor"], one["currency"])]
        for one in ledger["listed"]
    ]  # fmt: skip
    more = ledger["lines"] - len(rows)
    total = ["total", "", f"with {more} more" if more else "", money(ledger["amount_minor"], ledger["currency"])]
    yield ""
    yield from table(["beside the calls", "", "", "amount"], [*rows, total], left=3)


def _when(text: str | None, document: dict[str, Any]) -> str:
    from zoneinfo import ZoneInfo

    from calls.ladder import moment

    return moment(text, ZoneInfo(document["timezone"]))
