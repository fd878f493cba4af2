"""`safiri reconcile`: whether the provider's bill is right, to the minor unit, and why not."""

from __future__ import annotations

from typing import Any

import click

from cli.options import as_json, common
from cli.reading import connected, database, known_tenant, tenant_option
from runtime.settings import Settings

SHOWN = 5


@click.command("reconcile")
@click.option("--account", required=True, metavar="NAME", help="Whose calls and whose statement.")
@click.option("--from", "begin", required=True, metavar="TIME", help="A month (2026-05) or day of the tenant's zone, or RFC 3339.")
@click.option(
    "--to", "end", metavar="TIME", help="The same; what begins then is no longer in it. Left out: the whole month or day of --from."
)
@click.option(
    "--differences", "shown", type=click.IntRange(0), default=SHOWN, show_default=True, metavar="N", help="The N largest differences."
)
@tenant_option
@as_json
@common
def command(settings: Settings, account: str, tenant: str, as_json: bool, *, begin: str, end: str | None, shown: int) -> int:
    """Compare our legs with the provider's call records and its ledger, and name one cause for every difference.

    Exit 1 where something stays unexplained.
    """
    import msgspec

    from api.money import reconciling
    from api.money.periods import period
    from api.read import known_account

    zone = settings.tenant(known_tenant(settings, tenant)).timezone
    asked = period(account, *_period(begin, end, zone))
    with connected(settings) as engine:
        known_account(engine, settings, tenant=tenant, account=account)
    found = reconciling.run(database(settings), settings, tenant, period=asked)
    document = msgspec.json.decode(found.document) | {"changed": found.changed}
    if as_json:
        click.echo(msgspec.json.encode(document).decode())
    else:
        _told(document, zone)
        if shown and document["differences"]:
            _largest(settings, tenant, document, shown=shown)
    return 1 if found.unexplained_minor else 0


def _period(begin: str, end: str | None, zone: str) -> tuple[int, int]:
    """[begin, end) of what is written. Refused 422 (exit 2) where it is no time."""
    from calls.periods import instant
    from runtime.problems import invalid

    found = []
    for name, text in (("from", begin), ("to", end if end is not None else _next(begin))):
        try:
            found.append(instant(text, zone))
        except ValueError as why:
            raise invalid(name, f"--{name}: {why}") from None
    return found[0], found[1]


def _next(begin: str) -> str:
    """The month after a month, the day after a day. What is neither is told as it was written."""
    from datetime import date, timedelta

    from runtime.problems import invalid

    text = begin.strip()
    try:
        if len(text) == len("2026-05"):
            year, month = (int(part) for part in text.split("-"))
            return (date(year, month, 28) + timedelta(days=4)).isoformat()[:7]
        return (date.fromisoformat(text) + timedelta(days=1)).isoformat()
    except (ValueError, OverflowError):
        raise invalid("to", "--to is missing: it may be left out where --from is a month (2026-05) or a day (2026-05-01)") from None


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
        f"matched {kpis['matched_calls']} of {kpis['calls']} calls ({document['match_rate']:.2%})",
        f"matched {kpis['money_match_rate']:.2%} of the money",
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
    lines.append(
        "every difference is explained"
        if not document["unexplained_minor"]
        else f"UNEXPLAINED: {money(document['unexplained_minor'], sign=True)}"
    )
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


def money(minor: int, *, sign: bool = False) -> str:
    """`1,234.56`; with `sign` a plus where it is more than nothing."""
    from calls.money import money as number

    return ("+" if sign and minor > 0 else "") + number(minor, None)
