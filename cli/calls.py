"""`safiri calls`: the list of `GET /v1/journeys` with the same filters, as a table or as the same JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from cli.options import Function, as_json, common
from cli.reading import complete_through, connected, known_tenant, tenant_option
from runtime.settings import Settings

FILTERS = {
    "from": "Started at this time or later (RFC 3339).", "to": "Started before this time.", "caller": "Who called, in any writing.",
    "called": "Who was called.", "number": "Caller or called.", "agent": "An agent who took part.", "queue": "A queue the caller was in.",
    "outcome": "What became of the caller.", "direction": "inbound, outbound or internal.", "state": "open, ended or presumed_ended.",
    "min_wait_ms": "The longest wait was at least this.", "min_duration_ms": "The whole lasted at least this.",
    "anomaly": "Something of this kind is odd.", "account": "Of this account.", "limit": "Rows, at most 500 (default 50).",
    "cursor": "next_cursor of the page before.",
}  # fmt: skip
COLUMNS = (("started", 19), ("caller", 16), ("called", 16), ("outcome", 18), ("total", 12), ("queue", 12), ("talk", 12))


def _filters(function: Function) -> Function:
    for name, says in reversed(FILTERS.items()):
        function = click.option(f"--{name.replace('_', '-')}", f"filter_{name}", metavar="VALUE", help=says)(function)
    return function


@click.command("calls")
@_filters
@click.option("--attr", "attributes", multiple=True, metavar="NAME=VALUE", help="An attribute has this text; may be repeated.")
@tenant_option
@as_json
@common
def command(settings: Settings, tenant: str, attributes: tuple[str, ...], as_json: bool, **filters: str | None) -> None:
    """List journeys, newest first."""
    from api import read
    from api.params import parse

    known_tenant(settings, tenant)
    asked = parse(_items(filters, attributes), tenant=tenant, country=settings.tenant(tenant).country)
    with connected(settings) as engine:
        through = complete_through(settings, engine) if as_json else None
        with engine.connect() as connection:
            page = read.page(connection, asked, tenant=tenant, accounts=read.accounts_of(settings, tenant), complete_through=through)
    if as_json:
        click.echo(page.decode())
    else:
        _table(page, settings.tenant(tenant).timezone)


def _items(filters: dict[str, str | None], attributes: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for name, value in filters.items():
        if value is not None:
            yield name.removeprefix("filter_"), value
    for attribute in attributes:
        name, _, value = attribute.partition("=")
        yield f"attr.{name}", value


def _table(page: bytes, timezone: str) -> None:
    import json
    from zoneinfo import ZoneInfo

    found: dict[str, Any] = json.loads(page)
    if not found["journeys"]:
        click.echo("no journeys", err=True)
        return
    click.echo("  ".join(f"{name:<{width}}" for name, width in COLUMNS) + "  call")
    for journey in found["journeys"]:
        click.echo(_row(journey, ZoneInfo(timezone)))
    if found["next_cursor"]:
        click.echo(f"more: add --cursor {found['next_cursor']}", err=True)


def _row(journey: dict[str, Any], zone: Any) -> str:
    from calls.ladder import moment, plain, spoken

    spent = journey["durations"]
    cells = (
        moment(journey["started_at"], zone)[:19], plain(journey["caller"] or "-"), plain(journey["called"] or "-"), journey["outcome"],
        spoken(spent["total_ms"]), spoken(spent["queue_ms"]), spoken(spent["talk_ms"]),
    )  # fmt: skip
    sid = journey["calls"][0]["call_sid"] if journey["calls"] else journey["journey_id"]
    return "  ".join(f"{cell:<{width}}" for cell, (_, width) in zip(cells, COLUMNS, strict=True)) + f"  {plain(sid)}"
