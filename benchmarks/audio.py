"""How many frames of speech a second go through /audio and an engine and back, beside a socket that echoes; and what a socket holds.

Every frame that is sent must come back, in its order and with its bytes, or the result counts as zero.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from typing import NamedTuple

import msgspec

from benchmarks.measuring import Meter, Result, Round, Size, Target, medians, memory_mb, noisy, pinned, rounds
from benchmarks.stack import ROOT, Folder, serving, start, stop
from benchmarks.talking import FRAME, Talked
from runtime.embedded.home import is_free

SERVER, REST = 0, 1  # cores
TARGET, HOLDS = Target("≥", 0.5), Target("≤", 200)
PORTS = range(25000, 26000)
SOCKETS, MANY = 100, 500
BURST = 20  # frames on their way at a time, where a socket sends in bursts


class Server(NamedTuple):
    port: int
    pid: int


def run(size: Size) -> list[Result]:
    wrong: list[str] = []
    with ExitStack() as opened:
        relay, bare = _start(opened, "relay"), _start(opened, "bare")
        for one in (relay, bare):
            _talk(one, wrong, seconds=1)
        seconds = size.of(6.0, 3.0)
        found = rounds(size, lambda _: _round(relay, bare, wrong, seconds=seconds))
        bursts = _talk(relay, wrong, seconds=seconds, window=BURST).rate, _talk(bare, wrong, seconds=seconds, window=BURST).rate
    middle = medians(found)
    shown = {
        "relay": f"{middle['relay']:,.0f} frames/s, {middle['relay cpu']:.0f} µs of CPU each",
        "bare echo": f"{middle['bare']:,.0f} frames/s, {middle['bare cpu']:.0f} µs each",
        f"bursts of {BURST}": f"{bursts[0]:,.0f} and {bursts[1]:,.0f} frames/s",
        "load": f"{SOCKETS} sockets, {FRAME} bytes a frame, one on its way",
    }
    ratios = [one.ratio for one in found]
    relayed = Result("audio", "frames relayed ÷ bare websocket echo", ratios, TARGET, "", shown, noisy(found), "; ".join(wrong[:1]))
    return [relayed, _memory(size)]


def _start(opened: ExitStack, which: str) -> Server:
    folder = opened.enter_context(Folder())
    port = next(port for port in PORTS if is_free(port))
    process = start([sys.executable, "-m", "benchmarks.echoing", str(port), which], errors=folder / "errors.log", core=SERVER)
    opened.callback(stop, process)
    serving(f"http://127.0.0.1:{port}", process)
    return Server(port, process.pid)


def _round(relay: Server, bare: Server, wrong: list[str], *, seconds: float) -> Round:
    with Meter({"server": bare.pid}) as limit:
        echoed = _talk(bare, wrong, seconds=seconds)
    with Meter({"server": relay.pid}) as meter:
        relayed = _talk(relay, wrong, seconds=seconds)
    figures = {"relay": relayed.rate, "relay cpu": meter.micros(relayed.returned)["server"], "bare": echoed.rate,
               "bare cpu": limit.micros(echoed.returned)["server"]}  # fmt: skip
    return Round(relayed.rate / echoed.rate, figures, max(meter.others, limit.others))


def _talk(server: Server, wrong: list[str], *, seconds: float, window: int = 1) -> Talked:
    command = [sys.executable, "-m", "benchmarks.talking", str(server.port), "--sockets", str(SOCKETS), "--window", str(window)]
    with pinned(REST):
        said = subprocess.run([*command, "--seconds", str(seconds)], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    return _checked(msgspec.json.decode(said, type=Talked), wrong)


def _checked(talked: Talked, wrong: list[str]) -> Talked:
    if talked.lost or talked.wrong:
        wrong.append(f"{talked.lost} frames lost, {talked.wrong} times other bytes than were sent")
    return talked


# ---------------------------------------------------------------- memory


def _memory(size: Size) -> Result:
    """What MANY sockets add to a server that has served before, while they are open and after each has talked."""
    wrong: list[str] = []
    relays = [_holds("relay", wrong, seconds=size.of(5.0, 3.0)) for _ in range(size.of(3, 1))]
    bare = _holds("bare", wrong, seconds=size.of(5.0, 3.0))
    shown = {
        "PSS": f"{sorted(one['pss'] for one in relays)[len(relays) // 2]:.0f} kB",
        "bare echo": f"RSS {bare['rss']:.0f} kB",
        "sockets": f"{MANY}, all talking for some seconds before",
    }
    values = [one["rss"] for one in relays]
    return Result("audio memory", "RSS of a server ÷ its open sockets", values, HOLDS, "kB", shown, 0, "; ".join(wrong[:1]))


def _holds(which: str, wrong: list[str], *, seconds: float) -> dict[str, float]:
    """kB a socket, by kind."""
    with ExitStack() as opened:
        server = _start(opened, which)
        _talk(server, wrong, seconds=1)
        before = memory_mb(server.pid)
        command = [
            sys.executable,
            "-m",
            "benchmarks.talking",
            str(server.port),
            "--sockets",
            str(MANY),
            "--seconds",
            str(seconds),
            "--stay",
        ]
        with pinned(REST):
            talking = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        opened.callback(talking.wait)
        assert talking.stdin
        assert talking.stdout
        opened.callback(talking.stdin.close)
        _checked(msgspec.json.decode(talking.stdout.readline(), type=Talked), wrong)
        after = memory_mb(server.pid)
    return {kind: (after[kind] - before[kind]) * 1024 / MANY for kind in ("rss", "pss")}
