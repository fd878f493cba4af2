"""`safiri flows check|show|try`: what is wrong with the flows, what they are, and what a caller would hear."""

from __future__ import annotations

import json

import click

from calls.voice import trial
from calls.voice.flow import Flow, shown
from calls.voice.trial import Tried, try_step
from cli.options import as_json, common
from runtime import clock
from runtime.flows import faults_of, flows_of
from runtime.problems import Refused
from runtime.settings import Settings

PUBLIC = "https://example.com"
WAITS = {"": "gone elsewhere", "over": "over", "menu": "waits for keys", "dial": "waits for the far side", "actions": "waits"}


@click.group("flows")
def command() -> None:
    """Check, show and walk the flows that answer calls."""


@command.command("check")
@as_json
@common
def check(settings: Settings, as_json: bool) -> int:
    """Exit 0 where every flow holds; 1 and every fault, by step and field, where one does not."""
    faults = faults_of(settings)
    if as_json:
        listed = [{"flow": one.flow, "step": one.step, "field": one.field, "detail": one.detail} for one in faults]
        click.echo(json.dumps({"flows": sorted(settings.flows), "faults": listed}, indent=2))
        return 1 if faults else 0
    for fault in faults:
        click.echo(str(fault))
    if not faults:
        click.echo(f"ok: {_counted(len(settings.flows), 'flow')}: {', '.join(sorted(settings.flows)) or 'none'}")
    return 1 if faults else 0


@command.command("show")
@click.argument("flow", required=False)
@as_json
@common
def show(settings: Settings, flow: str | None, as_json: bool) -> None:
    """All flows, or the steps of one."""
    flows = flows_of(settings)
    chosen = [_of(flows, flow)] if flow else list(flows.values())
    if as_json:
        click.echo(json.dumps({one.name: _told(one) for one in chosen}, indent=2, ensure_ascii=False))
        return
    for one in chosen:
        click.echo(f"{one.name}  account {one.account}, {_counted(len(one.steps), 'step')}, starts at {one.start}")
        for name, step in one.steps.items() if flow else ():
            fields = {field: value for field, value in shown(step).items() if field != "kind"}
            click.echo(f"  {name}: {step.kind}")
            for field, value in fields.items():
                click.echo(f"    {field} = {json.dumps(value, ensure_ascii=False)}")


@command.command("try")
@click.argument("flow")
@click.option("--digits", "pressed", multiple=True, metavar="KEYS", help="Keys of the next request, in order; empty for no input.")
@click.option("--agent", is_flag=True, help="An agent is free in every queue.")
@click.option("--answered", is_flag=True, help="Whoever is dialled answers.")
@as_json
@common
def try_(settings: Settings, flow: str, *, pressed: tuple[str, ...], agent: bool, answered: bool, as_json: bool) -> None:
    """Walk a flow without a phone: the first answer, then one for each --digits."""
    found = _of(flows_of(settings), flow)
    state = None
    answers: list[Tried] = []
    for digits in (None, *pressed):
        tried = try_step(
            found, state, digits, now=clock.now(), public=settings.public_url or PUBLIC, agent=agent, answered=answered
        )  # fmt: skip
        answers.append(tried)
        state = tried.state
    if as_json:
        click.echo(json.dumps([trial.as_json(found, one) for one in answers], indent=2, ensure_ascii=False))
        return
    for digits, tried in zip((None, *pressed), answers, strict=True):
        _say(found, digits, tried)


def _say(flow: Flow, digits: str | None, tried: Tried) -> None:
    """One request and its answer, for people."""
    click.echo("> the call begins" if digits is None else f"> {digits}" if digits else "> (nothing pressed)")
    for note in tried.notes:
        click.echo(f"  # {note}")
    actions = trial.as_json(flow, tried)["actions"]
    for action in actions if isinstance(actions, list) else ():
        click.echo(f"  {json.dumps(action, ensure_ascii=False)}")
    click.echo(f"  = {tried.state.step}: {WAITS.get(tried.state.waits, f'waits for {tried.state.waits}')}")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _told(flow: Flow) -> dict[str, object]:
    steps = {name: shown(step) for name, step in flow.steps.items()}
    return {"account": flow.account, "start": flow.start, "format": flow.form, "timezone": flow.timezone, "steps": steps}


def _of(flows: dict[str, Flow], name: str) -> Flow:
    if name not in flows:
        raise Refused(404, "Unknown flow", f"there is no flow {name!r}; there are {', '.join(sorted(flows)) or 'none'}")
    return flows[name]
