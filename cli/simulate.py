"""`safiri simulate`: the virtual provider rings this stack's flows, serves its agents, and writes down the truth."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from calls.simulator_faults import FAULTS
from cli.options import as_json, common
from runtime.problems import Missing, Refused
from runtime.settings import Settings

LOOK_S = 0.25
TELL_S = 5.0


class Faults(click.ParamType[list[str]]):
    """`duplicates,reorder,…`"""

    name = "FAULT,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        if isinstance(value, list):
            return value
        named = [name.strip() for name in str(value).split(",") if name.strip()]
        for name in named:
            if name not in FAULTS:
                self.fail(f"{name!r} is no fault; there are {', '.join(FAULTS)}", param, ctx)
        return named


@click.command("simulate")
@click.option("--calls", type=click.IntRange(1, 100_000), default=200, show_default=True, help="How many callers ring, or are rung.")
@click.option("--seed", type=int, default=7, show_default=True, help="One seed is one demand: the same callers doing the same things.")
@click.option(
    "--rate", type=click.FloatRange(min=0, min_open=True), metavar="N", help="Calls a minute (default: what the agents can serve)."
)
@click.option("--faults", type=Faults(), default="", help=f"What goes wrong with deliveries: {', '.join(FAULTS)}.")
@click.option("--truth", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write what really happened, as JSON.")
@click.option("--account", "accounts", multiple=True, metavar="NAME", help="Only this account; may be said again.")
@click.option(
    "--retries", type=click.Choice(["short", "published"]), default="short", show_default=True, help="How long a failed delivery waits."
)
@as_json
@common
def command(
    settings: Settings, *, calls: int, seed: int, rate: float | None, faults: list[str], truth: Path | None, accounts: tuple[str, ...],
    retries: str, as_json: bool,
) -> int:  # fmt: skip
    """Ring the flows of accounts with api_url = "virtual", set their agents, and tell what came of it. Exit 1 if an answer was refused."""
    named = chosen(settings, accounts)
    order = {"accounts": named, "calls": calls, "seed": seed, "rate": rate, "faults": faults, "published_retries": retries == "published"}
    told = simulate(settings, order, say=lambda line: click.echo(line, err=True))
    if truth:
        truth.write_text(json.dumps(told["truth"], ensure_ascii=False, indent=1))
    shown = summary(told)
    click.echo(json.dumps(shown) if as_json else line_of(shown))
    for why in told["refused"]:
        click.echo(f"safiri: refused: {why}", err=True)
    return 1 if told["refused"] else 0


def chosen(settings: Settings, accounts: Sequence[str]) -> list[str]:
    """The accounts to ring, all of one tenant. Raises Missing where none is with the virtual provider, Refused where one is wrong."""
    from runtime.addresses import virtual_accounts

    virtual = virtual_accounts(settings)
    wrong = [name for name in accounts if name not in virtual]
    if wrong:
        raise Refused(422, "Unknown account", f'--account {wrong[0]}: no account of that name has api_url = "virtual"')
    flowing = {flow.get("account") for flow in settings.flows.values() if isinstance(flow, dict)}
    found = [name for name in accounts or virtual if name in flowing]
    if not found:
        raise Missing('no account with flows has api_url = "virtual": give one of them that and a flow, and start `safiri up` again')
    tenants = {settings.accounts[name].tenant for name in found}
    if len(tenants) > 1:
        raise Refused(422, "Several tenants", f"these accounts belong to {', '.join(sorted(tenants))}: name those of one with --account")
    return found


def simulate(settings: Settings, order: dict[str, Any], *, say: Any) -> dict[str, Any]:
    """Runs a morning; returns what the virtual provider tells at its end. Raises Missing where nothing runs."""
    import httpx

    from runtime.addresses import find

    virtual = find(settings)["virtual"]
    if not virtual:
        raise Missing("this stack was started without a virtual provider: start `safiri up` again with the present configuration")
    tenant = settings.accounts[order["accounts"][0]].tenant
    with _key(settings, tenant) as key, httpx.Client(base_url=virtual, timeout=30) as client:
        try:
            reply = client.post("/~mornings", json={**order, "key": key})
        except httpx.HTTPError as error:
            raise Missing(f"the virtual provider does not answer on {virtual}: {type(error).__name__}") from None
        if reply.status_code == 409:
            raise Refused(409, "Busy", reply.json()["detail"])
        if not reply.is_success:
            raise Missing(reply.json()["detail"])
        begun = reply.json()
        say(f"{order['calls']} calls to {', '.join(begun['flows'])} with {len(begun['agents'])} agents, seed {order['seed']}")
        return _followed(client, begun["id"], say=say)


def _followed(client: Any, name: str, *, say: Any) -> dict[str, Any]:
    began = told_at = time.monotonic()
    try:
        while True:
            told: dict[str, Any] = client.get(f"/~mornings/{name}").raise_for_status().json()
            if told["done"]:
                break
            if time.monotonic() - told_at > TELL_S:
                told_at = time.monotonic()
                say(f"{told_at - began:6.1f} s  {told['ended']} of {told['calls']} calls are over")
            time.sleep(LOOK_S)
    except KeyboardInterrupt:
        client.delete(f"/~mornings/{name}")
        raise
    if told["failed"]:
        raise Missing(told["failed"])
    return told


@contextmanager
def _key(settings: Settings, tenant: str) -> Iterator[str]:
    """An API key for the agents' doings, revoked at the end."""
    from cli.keys import transaction
    from runtime import keys

    with transaction(settings) as connection:
        key = keys.create(connection, name="safiri simulate", tenant=tenant, scope="write")
    try:
        yield key
    finally:
        with transaction(settings) as connection:
            keys.revoke(connection, key.split("_")[1])


def summary(told: dict[str, Any]) -> dict[str, Any]:
    """What a morning came to, in numbers."""
    journeys = told["truth"]["journeys"]
    return {
        "calls": len(journeys), "took_s": told["took_s"], "calls_per_minute": round(60 * len(journeys) / max(told["took_s"], 0.001), 1),
        "outcomes": dict(Counter(journey["outcome"] for journey in journeys).most_common()),
        "with_losses": sum(bool(journey["lost"]) for journey in journeys), "counts": told["counts"], "refused": len(told["refused"]),
    }  # fmt: skip


def line_of(shown: dict[str, Any]) -> str:
    """The same as one line of text."""
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in shown["outcomes"].items())
    return f"{shown['calls']} calls in {shown['took_s']:.1f} s ({shown['calls_per_minute']:.0f} a minute): {outcomes}"
