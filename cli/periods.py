"""An account's period by options: --account with --from and --to, or --month, by the calendar of the tenant."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from calls.periods import instant, month, stretch
from cli.options import Function
from runtime.problems import invalid
from runtime.settings import Settings

if TYPE_CHECKING:
    from api.money.periods import Period

Found = TypeVar("Found")
_OPTIONS = (
    click.option("--account", required=True, metavar="NAME", help="Whose legs."),
    click.option("--from", "begin", metavar="TIME", help="Legs that began then or later: 2026-05, 2026-05-01 or RFC 3339."),
    click.option("--to", "end", metavar="TIME", help="Legs that began before then. Left out: the whole month or day of --from."),
    click.option("--month", "month_", metavar="MONTH", help="Instead of both: a whole month, such as 2026-05."),
)


def of_an_account(function: Function) -> Function:
    """Adds --account, --from, --to and --month; the command hands them to `period` as `account`, `begin`, `end` and `month_`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def period(settings: Settings, tenant: str, given: dict[str, str | None]) -> Period:
    """Days and months are those of the tenant's zone. Refused 422 where the options name no period."""
    from api.money import periods

    zone, month_ = settings.tenant(tenant).timezone, given["month_"]
    if month_ is not None and (given["begin"] is not None or given["end"] is not None):
        raise invalid("month", "give --month, or --from and --to")
    if month_ is not None:
        begin, end = _read("month", month_, zone=zone, reader=month)
    elif given["end"] is None:
        begin, end = _read("from", given["begin"], zone=zone, reader=stretch)
    elif given["end"] == given["begin"] and "T" not in given["end"]:
        raise invalid("to", f"--to is where it ends and no part of it: for all of {given['end']} leave --to out")
    else:
        begin, end = _read("from", given["begin"], zone=zone, reader=instant), _read("to", given["end"], zone=zone, reader=instant)
    return periods.period(given["account"] or "", begin, end)


def _read(name: str, text: str | None, *, zone: str, reader: Callable[[str, str], Found]) -> Found:
    if text is None:
        raise invalid(name, f"--{name} is missing: give --month, or --from and --to")
    try:
        return reader(text, zone)
    except ValueError as why:
        raise invalid(name, f"--{name}: {why}") from None
