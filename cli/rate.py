"""`safiri rate`: what legs cost under a plan, with the working; nothing is stored."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path
from typing import Any

import click

from calls.faults import Faults
from calls.rating.answer import as_json as shown
from calls.rating.charge import Charge, RatedLeg
from calls.rating.legs import read_legs
from calls.rating.rate import rate
from calls.rating.terms import DIRECTIONS, KINDS, Plan
from cli.options import as_json, common
from cli.reading import plan_named, tenant_option
from runtime.plans import plan_in, refused
from runtime.problems import Refused, invalid
from runtime.settings import Settings


@click.command("rate")
@click.argument("file", required=False, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--plan", metavar="NAME", help="A plan by its name (safiri plans lists them).")
@click.option("--plan-file", type=click.Path(path_type=Path), metavar="TOML", help="Or a plan in a file.")
@click.option("--direction", type=click.Choice(DIRECTIONS), default="outbound", show_default=True, help="Of a single leg.")
@click.option("--kind", type=click.Choice(KINDS), default="external", show_default=True, help="Of a single leg.")
@click.option("--to", metavar="NUMBER", help="Of a single leg: E.164 or a SIP address.")
@click.option("--talk-s", metavar="SECONDS", help="Of a single leg: from the answer to the end.")
@click.option("--ring-s", metavar="SECONDS", help="Of a single leg: before that.")
@click.option("--started-at", metavar="TIME", help="Of a single leg: RFC 3339 with a zone.")
@tenant_option
@as_json
@common
def command(
    settings: Settings, file: Path | None, *, plan: str | None, plan_file: Path | None, tenant: str, as_json: bool, **leg: str | None
) -> int:
    """Rate the legs in FILE (JSON or CSV, - for standard input), or one leg given by options.

    CSV has the columns direction, kind, to, started_at, answered_at, ended_at or talk_s, ring_s, call_sid; JSON a list of objects
    with the same names. Exit 1 where a leg is unrated.
    """
    chosen = _plan(settings, tenant, name=plan, file=plan_file)
    try:
        legs = read_legs(_legs(file, leg))
        charges = rate(chosen, legs, zone=settings.tenant(tenant).timezone)
    except Faults as faults:
        raise refused(faults, "Invalid legs") from None
    if as_json:
        click.echo(json.dumps(shown(chosen, charges), indent=2, ensure_ascii=False))
    else:
        _table(chosen, legs, charges)
    return 1 if any(one.amount_minor is None for one in charges) else 0


def _plan(settings: Settings, tenant: str, *, name: str | None, file: Path | None) -> Plan:
    if (name is None) == (file is None):
        raise invalid("plan", "give --plan NAME (safiri plans lists them) or --plan-file FILE")
    return plan_in(file) if file is not None else plan_named(settings, tenant, name or "")


def _legs(file: Path | None, leg: dict[str, str | None]) -> object:
    """What FILE holds, else the one leg of the options."""
    if file is None:
        if leg["talk_s"] is None and leg["ring_s"] is None:
            raise invalid("file", "give a FILE of legs, or one leg by --to and --talk-s")
        return [leg | {"talk_s": leg["talk_s"] or "0"}]
    if any(leg[name] is not None for name in ("to", "talk_s", "ring_s", "started_at")):
        raise invalid("file", "give a FILE of legs or one leg by options, not both")
    try:
        body = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        text = body.decode("utf-8-sig")
    except OSError as error:
        raise Refused(422, "Unreadable", f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Refused(422, "Unreadable", f"{file}: is no UTF-8 text") from None
    return _of_json(text) if text.lstrip()[:1] in ("[", "{") else _of_csv(text)


def _of_json(text: str) -> object:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as why:
        raise Refused(422, "No JSON", f"the legs are no JSON: {why}") from None
    return found.get("legs") if isinstance(found, dict) else found


def _of_csv(text: str) -> list[dict[str, Any]]:
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as why:
        raise Refused(422, "No CSV", f"the legs are no CSV: {why}") from None
    for number, row in enumerate(rows, 2):
        if None in row:
            raise Refused(422, "No CSV", f"line {number} has more columns than the header")
    return rows


def _table(plan: Plan, legs: list[RatedLeg], charges: list[Charge]) -> None:
    for leg, one in zip(legs, charges, strict=True):
        amount = "unrated" if one.amount_minor is None else f"{one.amount_minor}"
        by = f"{plan.id or 'plan'} {one.version}, rules[{one.rule}]" if one.amount_minor is not None else one.why
        click.echo(f"{amount:>12}  {leg.direction} {leg.kind} {leg.to or '-'}  {by}")
        for line in one.lines:
            click.echo(f"{line.text():>24}  {line.what}")
    total = sum(one.amount_minor for one in charges if one.amount_minor is not None)
    unrated = sum(one.amount_minor is None for one in charges)
    click.echo(f"{total:>12}  {plan.currency} in minor units, {len(charges) - unrated} rated{f', {unrated} unrated' if unrated else ''}")
