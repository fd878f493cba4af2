"""`safiri reconcile`: whether the provider's bill is right, to the minor unit, and why not."""

from __future__ import annotations

from typing import Any

import click

from cli.options import as_json, common
from cli.periods import of_an_account, period
from cli.reading import connected, database, known_tenant, tenant_option
from runtime.settings import Settings

SHOWN = 5


@click.command("reconcile")
@of_an_account
@click.option(
    "--differences", "shown", type=click.IntRange(0), default=SHOWN, show_default=True, metavar="N", help="The N largest differences."
)
@tenant_option
@as_json
@common
def command(settings: Settings, tenant: str, *, shown: int, as_json: bool, **given: str | None) -> int:
    """Compare our legs with the provider's call records and its ledger, and name one cause for every difference.

    Exit 1 where something stays unexplained.
    """
    import msgspec

    from api.money import reconciling
    from api.read import known_account

    asked = period(settings, known_tenant(settings, tenant), given)
    with connected(settings) as engine:
        known_account(engine, settings, tenant=tenant, account=asked.account)
    found = reconciling.run(database(settings), settings, tenant, period=asked)
    document = msgspec.json.decode(found.document) | {"changed": found.changed}
    if as_json:
        click.echo(msgspec.json.encode(document).decode())
    else:
        _told(document, settings.tenant(tenant).timezone)
        if shown and document["differences"]:
            _largest(settings, tenant, document, shown=shown)
    return 1 if found.unexplained else 0


# ---------------------------------------------------------------- for people


def _told(document: dict[str, Any], zone: str) -> None:
    from zoneinfo import ZoneInfo

    from calls.ladder import moment
    from cli.asking import table

    kpis, currency = document["kpis"], document["kpis"]["currency"]
    days = [moment(document[name], ZoneInfo(zone))[:16] for name in ("from", "to")]
    click.echo(f"{document['account']}, {days[0]} to {days[1]} ({zone}), {currency}\n")
    rows = [["ours", "", money(document["ours_minor"])]]
    rows += [[f"  {cause}", str(one["count"]), money(one["amount_minor"], sign=True)] for cause, one in document["causes"].items()]
    rows += [[f"theirs (by their {kpis['theirs_by']})", "", money(document["theirs_minor"])]]
    for line in table(["", "differences", currency], rows, left=1):
        click.echo(line)
    click.echo("")
    for line in _figures(document):
        click.echo(line)


def _figures(document: dict[str, Any]) -> list[str]:
    """The KPIs that a person asks for first; --json has them all."""
    kpis = document["kpis"]
    apart = kpis["duration_difference"]
    lines = [
        f"matched {kpis['matched_calls']} of {kpis['calls']} calls ({_share(document['match_rate'])})",
        f"matched {_share(kpis['money_match_rate'])} of the money",
        f"leakage net {money(kpis['net_leakage_minor'], sign=True)}, gross {money(kpis['gross_leakage_minor'])}",
    ]
    if apart["compared"]:
        lines.append(f"durations differ by {apart['mean_ms']} ms on average, 95 % by at most {apart['p95_ms']} ms")
    if kpis["clock_offset_ms"] is not None:
        lines.append(f"their clock is {kpis['clock_offset_ms']:+} ms from ours")
    if kpis["oldest_open"]["at"]:
        lines.append(f"the oldest open difference is of {kpis['oldest_open']['at']}")
    if kpis["unrated_legs"]:
        lines.append(f"{kpis['unrated_legs']} legs are unrated: no rule of the plan covers them")
    if kpis["changed_lines"]["count"]:
        lines.append(
            f"{kpis['changed_lines']['count']} ledger lines say something else than before: {', '.join(kpis['changed_lines']['ids'][:3])}"
        )
    if document["changed"]:
        moved = document["moved"]
        lines.append(f"changed since the last run: {moved['came']['count']} differences came, {moved['went']['count']} went")
    left = document["causes"].get("unexplained")
    lines.append(f"UNEXPLAINED: {left['count']}, {money(left['amount_minor'], sign=True)}" if left else "every difference is explained")
    return lines


def _largest(settings: Settings, tenant: str, document: dict[str, Any], *, shown: int) -> None:
    import sqlalchemy as sa

    from calls.ladder import plain
    from cli.asking import table

    statement = sa.text(
        "SELECT at, cause, amount_minor, call_sid, content FROM safiri.differences WHERE tenant = :tenant AND reconciliation = :id "
        "ORDER BY cause <> 'unexplained', abs(amount_minor) DESC, n LIMIT :shown"
    )  # fmt: skip
    with connected(settings) as engine, engine.connect() as connection:
        found = connection.execute(statement, {"tenant": tenant, "id": document["id"], "shown": shown}).all()
    rows = [[one[0].isoformat()[:19] if one[0] else "-", one[1], plain(one[3] or _line(one[4])), money(one[2], sign=True)] for one in found]
    click.echo("")
    for line in table(["at (UTC)", "cause", "call or line", document["kpis"]["currency"]], rows, left=3):
        click.echo(line)


def _line(content: str) -> str:
    """The ledger line of a difference without a call."""
    import json

    entries = (json.loads(content)["theirs"] or {"ledger": []})["ledger"]
    return f"{entries[0]['id']} {entries[0]['description'] or ''}".strip() if entries else "-"


def _share(rate: float) -> str:
    """Cut, not rounded: 100.00 % is all of it."""
    return f"{round(rate * 1_000_000) // 100 / 100:.2f} %"


def money(minor: int, *, sign: bool = False) -> str:
    """`1,234.56`; with `sign` a plus where it is more than nothing."""
    from calls.money import money as number

    return ("+" if sign and minor > 0 else "") + number(minor, None)
