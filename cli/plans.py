"""`safiri plans list|show|check`: the rate plans that come with Safiri or were posted, and whether one of your own holds."""

from __future__ import annotations

import json
from pathlib import Path

import click

from calls.clock import rfc3339
from calls.faults import Faults
from calls.rating.answer import plan_as_json
from calls.rating.plan import parse, written
from cli.options import as_json, common
from cli.reading import plan_named, plans, tenant_option
from runtime.plans import shipped, shipped_text, text_of
from runtime.settings import Settings


@click.group("plans")
def command() -> None:
    """List, show and check rate plans."""


@command.command("list")
@tenant_option
@as_json
@common
def list_(settings: Settings, tenant: str, as_json: bool) -> None:
    """The plans that come with Safiri, and where a stack runs, those posted to it, with their versions."""
    known = plans(settings, tenant)
    if as_json:
        click.echo(json.dumps({"plans": [plan_as_json(plan) for plan in known.values()]}, indent=2, ensure_ascii=False))
        return
    for plan in known.values():
        for version in plan.versions:
            rules = f"rules: {len(version.rules)}" if version.rules else "no rates: every leg is unrated"
            click.echo(f"{plan.id:<22} {plan.currency}  {version.version:<10} from {rfc3339(version.valid_from)}  {rules}")


@command.command("show")
@click.argument("name")
@tenant_option
@as_json
@common
def show(settings: Settings, name: str, tenant: str, as_json: bool) -> None:
    """A plan as it is written, to read or to copy."""
    plan = plan_named(settings, tenant, name)
    if as_json:
        click.echo(json.dumps(plan_as_json(plan), indent=2, ensure_ascii=False))
    else:
        click.echo(shipped_text(name) if plan == shipped().get(name) else written(plan), nl=False)


@command.command("check")
@click.argument("file", nargs=-1, required=True, type=click.Path(path_type=Path))
@as_json
@common
def check(settings: Settings, file: tuple[Path, ...], as_json: bool) -> int:
    """Exit 0 where every FILE is a plan; 1 and every fault, by its field, where one is not."""
    faults: list[dict[str, str]] = []
    for one in file:
        try:
            parse(text_of(one), name=one.stem)
        except Faults as wrong:
            faults += [{"file": str(one), "field": field, "detail": detail} for field, detail in wrong.faults]
    if as_json:
        click.echo(json.dumps({"faults": faults}, indent=2, ensure_ascii=False))
    for fault in faults if not as_json else ():
        click.echo(f"{fault['file']}: {fault['field']}: {fault['detail']}")
    if not faults and not as_json:
        click.echo("ok")
    return 1 if faults else 0
