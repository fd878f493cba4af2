"""How many calls a minute the virtual provider drives through the whole product, beside an application that answers it at once.

The same seeded callers and the same number of agents; what they want takes the time it takes (keys, ringing, talking), so both arms
have a limit of their own: `at most` says what the agents could serve. An answer that the provider cannot use, or a journey that
Safiri does not show as it was, makes the result count as zero.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from contextlib import ExitStack
from typing import Any, NamedTuple

import httpx

from benchmarks.measuring import Meter, Result, Round, Size, Target, eventually, medians, noisy, rounds
from benchmarks.stack import SECRET, Folder, first_line, start, stop
from benchmarks.whole import Whole
from runtime.embedded.home import is_free
from virtual.run import HANDLING_S

TARGET = Target("≥", 0.3)
AGENTS = 60
PORTS = range(26000, 27000)
WITHIN_S = 300.0
CONFIG = f"""
[accounts.acme]
provider = "sautikit"
signing_secrets = ["{SECRET}"]
numbers = ["+254711000100"]
api_key = "measured"
api_url = "virtual"
[queues.support]
announce = "Please hold."
[flows.line]
account = "acme"
start = "menu"
[flows.line.steps.menu]
kind = "menu"
prompt = "For sales, press 1. For an agent, press 2. For our hours, press 3."
choices = {{ "1" = "sales", "2" = "support", "3" = "hours" }}
timeout_s = 1
[flows.line.steps.sales]
kind = "dial"
to = "+254720999999"
[flows.line.steps.support]
kind = "queue"
queue = "support"
[flows.line.steps.hours]
kind = "say"
text = "We are open from eight to five."
""" + "".join(f'[agents.a{n}]\nnumber = "+2547200{n:05}"\nqueues = ["support"]\n' for n in range(AGENTS))


class Arm(NamedTuple):
    virtual: str
    key: str


def run(size: Size) -> list[Result]:
    calls = size.of(1500, 500)
    wrong: list[str] = []
    with ExitStack() as opened:
        whole = opened.enter_context(Whole(CONFIG))
        product, stub = Arm(str(whole.where["virtual"]), whole.key), _stub(opened)
        _morning(product, seed=1, calls=50, wrong=wrong)
        _morning(stub, seed=1, calls=50, wrong=wrong)
        found = rounds(size, lambda n: _round(whole, product, stub, seed=10 + n, calls=calls, wrong=wrong))
    middle = medians(found)
    shown = {
        "whole product": f"{middle['product']:,.0f} calls a minute",
        "answered at once": f"{middle['stub']:,.0f} calls a minute",
        "at most": f"{60 * AGENTS / HANDLING_S:,.0f} for {AGENTS} agents",
        "CPU ms/call": ", ".join(f"{name[4:]} {value:.0f}" for name, value in middle.items() if name.startswith("cpu ")),
        "of": f"{calls:,} calls a round",
    }
    ratios = [one.ratio for one in found]
    return [Result("simulating", "calls driven through the product ÷ answered at once", ratios, TARGET, "", shown, noisy(found),
                   "; ".join(wrong[:1]))]  # fmt: skip


def _stub(opened: ExitStack) -> Arm:
    """The same virtual provider before the application that answers at once."""
    folder = opened.enter_context(Folder())
    config, errors = folder / "safiri.toml", folder / "errors.log"
    config.write_text(CONFIG)
    application = start([sys.executable, "-m", "benchmarks.answering", str(config)], errors=errors)
    opened.callback(stop, application)
    port, here = int(first_line(application, errors)), next(port for port in PORTS if is_free(port))
    virtual = f"http://127.0.0.1:{here}"
    env = {"SAFIRI_CONFIG": str(config), "SAFIRI_DATA_DIR": str(folder / "data"), "SAFIRI_VIRTUAL_URL": virtual,
           "SAFIRI_PUBLIC_URL": f"http://127.0.0.1:{port}", "SAFIRI_DATABASE_URL": "postgresql://nowhere",
           "SAFIRI_KAFKA_BOOTSTRAP": "127.0.0.1:9"}  # fmt: skip
    provider = start([sys.executable, "-P", "-m", "cli", "serve", "virtual"], env=env, errors=errors)
    opened.callback(stop, provider)
    eventually(lambda: _is_there(virtual), "the virtual provider is there", every_s=0.1)
    return Arm(virtual, "any")


def _is_there(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health/ready").is_success
    except httpx.HTTPError:
        return False


def _round(whole: Whole, product: Arm, stub: Arm, *, seed: int, calls: int, wrong: list[str]) -> Round:
    with Meter({}) as limit:
        at_once = _morning(stub, seed=seed, calls=calls, wrong=wrong)
    with Meter(whole.pids) as meter:
        ours = _morning(product, seed=seed, calls=calls, wrong=wrong)
    wrong += _unlike(whole, ours["truth"]["journeys"])
    rates = [60 * calls / one["took_s"] for one in (ours, at_once)]
    used = {f"cpu {name}": micros / 1000 for name, micros in meter.micros(calls).items()}
    return Round(rates[0] / rates[1], {"product": rates[0], "stub": rates[1], **used}, max(limit.others, meter.others))


def _morning(arm: Arm, *, seed: int, calls: int, wrong: list[str]) -> dict[str, Any]:
    with httpx.Client(base_url=arm.virtual, timeout=30) as client:
        begun = (
            client.post("/~mornings", json={"accounts": ["acme"], "key": arm.key, "calls": calls, "seed": seed}).raise_for_status().json()
        )
        end = time.monotonic() + WITHIN_S
        while time.monotonic() < end:
            told: dict[str, Any] = client.get(f"/~mornings/{begun['id']}").raise_for_status().json()
            if told["done"]:
                wrong += [*([told["failed"]] if told["failed"] else []), *told["refused"][:3]]
                return told
            time.sleep(0.1)
    raise TimeoutError(f"the morning was not over within {WITHIN_S:.0f} s")


def _unlike(whole: Whole, truth: list[dict[str, Any]]) -> list[str]:
    """How the outcomes that Safiri shows differ from the truth."""
    with httpx.Client(base_url=str(whole.where["http"]), headers={"Authorization": f"Bearer {whole.key}"}, timeout=30) as client:

        def projected() -> bool:
            reply = client.get("/v1/freshness")
            return bool(reply.is_success and reply.json()["unprojected"] == 0)

        eventually(projected, "everything is projected", every_s=0.1)
    shown: dict[str, str] = {}
    for outcome, document in whole.execute("SELECT outcome, document FROM live.journeys"):
        for call in json.loads(document)["calls"]:
            shown |= dict.fromkeys([call["call_sid"], *call["aliases"]], outcome)
    unlike = Counter((one["outcome"], shown.get(one["calls"][0]["call_sid"])) for one in truth)
    return [f"{count} journeys that were {real} are shown as {seen}" for (real, seen), count in unlike.items() if real != seen]
