"""`safiri simulate` on a running stack: what the API shows equals what the virtual provider knows, and says so where it cannot."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from forked import FORKED
from whole import Stack

from runtime.addresses import api_url
from runtime.settings import load

SLACK_MS = 2_500  # whole seconds, and one request on a busy machine
MORNING = ("--account", "simline", "--calls", "30", "--seed", "7")


def simulated(stack: Stack, folder: Path, *options: str) -> dict[str, Any]:
    """A morning's truth, when everything that it sent is in the tables."""
    path = folder / "truth.json"
    stack.cli("simulate", *options, "--truth", str(path))
    stack.fresh(120)
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def story(journey: dict[str, Any]) -> dict[str, Any]:
    return {
        "outcome": journey["outcome"], "direction": journey["direction"], "calls": sorted(call["call_sid"] for call in journey["calls"]),
        "menus": [(step["menu"], step["digits"] or "") for step in journey["menu_path"]],
        "visits": [(visit["queue"], visit["outcome"], visit["agent"]) for visit in journey["queue_visits"]],
    }  # fmt: skip


def wishes(truth: dict[str, Any]) -> list[Any]:
    """What its callers wanted: nothing of who served them."""
    return [(story(journey)["direction"], story(journey)["menus"]) for journey in truth["journeys"]]


def compare(stack: Stack, truth: dict[str, Any]) -> None:
    """Every journey of the truth is in the API as it happened, or, where something of it was lost, is said to be incomplete."""
    for want in truth["journeys"]:
        got = stack.get(f"/v1/journeys/{want['calls'][0]['call_sid']}")
        if want["lost"] and not got["complete"]:
            continue
        assert story(got) == story(want), want["calls"][0]["call_sid"]
        assert got["complete"] or want["lost"], got["anomalies"]
        for name in ("total_ms", "queue_ms", "talk_ms", "hold_ms", "menu_ms"):
            assert abs(got["durations"][name] - want["durations"][name]) <= SLACK_MS, (name, got["durations"], want["durations"])


def test_a_morning_with_copies_late_and_out_of_order_is_told_as_it_was(stack: Stack, tmp_path: Path) -> None:
    truth = simulated(stack, tmp_path, *MORNING, "--faults", "duplicates,reorder,delay,skew")
    compare(stack, truth)
    charges_add_up(truth)
    outcomes = Counter(journey["outcome"] for journey in truth["journeys"])
    joined = [journey for journey in truth["journeys"] if journey["queue_visits"] and len(journey["calls"]) > 1]
    handed_over = [journey for journey in truth["journeys"] if journey["durations"]["bot_ms"] and journey["outcome"] == "answered"]
    assert len(outcomes) >= 3 and joined and handed_over, outcomes
    talked = {agent["agent"]: agent["talk_ms"] for agent in truth["agent_time"]}
    assert set(talked) == {"simon", "simba"} and all(talked.values())
    agents = {row["agent"]: row["state"] for row in stack.get("/v1/agents")["agents"]}
    assert (agents["simon"], agents["simba"]) == ("offline", "offline"), "they went home"
    stack.cli("invariants")
    again = simulated(stack, tmp_path, *MORNING)
    compare(stack, again)
    assert wishes(again) == wishes(truth), "one seed, one demand"
    alike = sum(a["outcome"] == b["outcome"] for a, b in zip(truth["journeys"], again["journeys"], strict=True))
    assert alike >= 27, "who answers is decided in real time, what comes of it hardly ever"


def test_what_lost_events_is_said_to_be_incomplete(stack: Stack, tmp_path: Path) -> None:
    truth = simulated(stack, tmp_path, "--account", "simline", "--calls", "24", "--seed", "13", "--faults", "losses")
    lost = [journey for journey in truth["journeys"] if journey["lost"]]
    assert 0 < len(lost) < 12
    compare(stack, truth)
    shown = [stack.get(f"/v1/journeys/{journey['calls'][0]['call_sid']}") for journey in lost]
    assert not all(journey["complete"] for journey in shown)


def charges_add_up(truth: dict[str, Any]) -> None:
    """Every leg that is over was charged once; those of a call come to what the statement has for it."""
    told = {(call["call_sid"], leg["leg"]) for journey in truth["journeys"] for call in journey["calls"] for leg in call["legs"]}
    assert sorted(told) == sorted((charge["call_sid"], charge["leg"]) for charge in truth["charges"])
    sums: Counter[str] = Counter()
    for charge in truth["charges"]:
        sums[charge["call_id"]] += charge["amount_minor"]
    assert +sums == Counter({entry["call_id"]: entry["amount_minor"] for entry in truth["statement"]})


def test_minivoice_calls_are_told_as_they_were_and_charged(stack: Stack, tmp_path: Path) -> None:
    truth = simulated(stack, tmp_path, "--account", "simmini", "--calls", "12", "--seed", "3", "--rate", "3000")
    compare(stack, truth)
    assert any(journey["menu_path"] for journey in truth["journeys"])
    charged = {entry["call_id"] for entry in truth["statement"]}
    outgoing = {
        call["call_sid"]
        for journey in truth["journeys"]
        for call in journey["calls"]
        if call["answered_at"] and call["direction"] == "outbound"
    }
    assert outgoing and outgoing <= charged and all(entry["amount_minor"] > 0 for entry in truth["statement"])
    charges_add_up(truth)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--account", "acme"], 2, "api_url"), (["--faults", "earthquake"], 2, "no fault"), (["--calls", "0"], 2, "--calls"),
        (["--config", "{plain}"], 3, 'api_url = "virtual"'), (["--data-dir", "{empty}"], 3, "nothing runs"),
    ],
)  # fmt: skip
def test_what_cannot_be_simulated_is_said(stack: Stack, tmp_path: Path, options: list[str], code: int, said: str) -> None:
    (tmp_path / "plain.toml").write_text('[accounts.acme]\nprovider = "sautikit"\nsigning_secrets = ["x"]\n')
    named = [option.format(plain=tmp_path / "plain.toml", empty=tmp_path / "empty") for option in options]
    where = [] if "--data-dir" in named else ["--data-dir", str(stack.up.data)]
    done = FORKED.run(["simulate", *named, *where], env=stack.up.env, timeout=60)
    assert (done.returncode, done.stdout) == (code, "") and said in done.stderr


def test_the_address_of_an_accounts_provider(stack: Stack) -> None:
    settings = load(stack.config, stack.up.data)
    virtual = stack.cli("url", "virtual").strip()
    assert api_url(settings, "simline") == f"{virtual}/simline"
    assert (api_url(settings, "acme"), api_url(settings, "nobody")) == ("https://api.sautikit.com", "")
    asked = subprocess.run(
        [sys.executable, "-c", f"import urllib.request as u; print(u.urlopen('{virtual}/simline/v1/wallet').status)"],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert asked.stdout.strip() == "200"
