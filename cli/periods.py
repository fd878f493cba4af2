"""An account's period by options: --account with --from and --to, or --month, by the calendar of the tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from calls.periods import instant, month
from cli.options import Function
from runtime.problems import invalid
from runtime.settings import Settings

if TYPE_CHECKING:
    from api.money.periods import Period

_OPTIONS = (
    click.option("--account", required=True, metavar="NAME", help="Whose legs."),
    click.option("--from", "begin", metavar="TIME", help="Legs that began then or later: 2026-05, 2026-05-01 or RFC 3339."),
    click.option("--to", "end", metavar="TIME", help="Legs that began before then."),
    click.option("--month", "month_", metavar="MONTH", help="Instead of both: 2026-05."),
)


def of_an_account(function: Function) -> Function:
    """Adds --account, --from, --to and --month; the command hands them to `period` as `account`, `begin`, `end` and `month_`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def period(settings: Settings, tenant: str, given: dict[str, str | None]) -> Period:
    """Days and months are those of the tenant's zone. Refused 422 where the options name no period."""
    from api.money import periods

    zone, named = settings.tenant(tenant).timezone, given["month_"]
    if named is not None:
        if given["begin"] is not None or given["end"] is not None:
            raise invalid("month", "give --month, or --from and --to")
        begin, end = _read("month", named, zone=zone, month_too=True)
    else:
        begin, end = (_read(name, given[key], zone=zone)[0] for name, key in (("from", "begin"), ("to", "end")))
    return periods.period(given["account"] or "", begin, end)


def _read(name: str, text: str | None, *, zone: str, month_too: bool = False) -> tuple[int, int]:
    if text is None:
        raise invalid(name, f"--{name} is missing: give --from and --to, or --month")
    try:
        return month(text, zone) if month_too else (instant(text, zone), 0)
    except ValueError as why:
        raise invalid(name, f"--{name}: {why}") from None
