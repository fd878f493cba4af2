"""How much of the server's own no-op is left when a menu step is answered, and how long a caller waits at half of that load.

Every request is another call in the middle of its menu: its opening was answered before, the address it now asks at came with that
answer. Positions are kept in Postgres and two records a request in Kafka, or the result counts as zero.
"""

from __future__ import annotations

import re
import time
import uuid
from contextlib import ExitStack
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from benchmarks.asking import Asked, ask, http
from benchmarks.measuring import Meter, Result, Round, Size, Target, eventually, medians, noisy, rounds
from benchmarks.stack import CONFIG, SECRET, Stack, serving
from calls.providers.signatures import sign_sautikit
from calls.voice.actions import GetDigits
from calls.voice.answers import read_body
from runtime.embedded.home import is_free
from runtime.kafka import Watcher

SERVER, REST = 0, 1  # cores
TARGET, WAIT = Target("≥", 0.25), Target("≤", 50)
PORTS = range(24000, 25000)
CONNECTIONS = 64
LIVE = http("GET", "/health/live")
FLOW = """
[flows.line]
account = "acme"
start = "menu"
[flows.line.steps.menu]
kind = "menu"
prompt = "Karibu. For your account, press 1. For an agent, press 2."
choices = { "1" = "account", "2" = "agent" }
[flows.line.steps.account]
kind = "menu"
prompt = "For your balance, press 1. For your last payments, press 2."
choices = { "1" = "agent", "2" = "agent" }
[flows.line.steps.agent]
kind = "dial"
to = "+254720000001"
"""
ONWARD = re.compile(rb'"(http[^"]*/voice/line/menu\?[^"]*)"')
KEPT = "SELECT count(*) FROM safiri.voice_calls WHERE call_sid LIKE '{}%' AND visit = 2 AND state::jsonb ->> 'step' = 'account'"


class Arms(NamedTuple):
    stack: Stack
    watcher: Watcher
    port: int
    pid: int
    bare: int  # the port of a server that does nothing


class Callers:
    """Calls in the middle of their menu: `steps` are the requests that press a key there, one a call."""

    def __init__(self, arms: Arms, amount: int):
        self.mark = f"HD_{uuid.uuid4().hex[:12]}_"
        sids = [f"{self.mark}{n}" for n in range(amount)]
        began = [_request("/voice/line", _said(sid, "Ringing")) for sid in sids]
        opened = _asked(arms, began)
        onward = [ONWARD.search(one.body) for one in opened.answers]
        assert all(onward), "an opening was answered without a menu"
        addresses = [urlsplit(found[1].decode()) for found in onward if found]
        self.steps = [
            _request(f"{address.path}?{address.query}", _said(sid, "Answered", dtmfDigits="1"))
            for sid, address in zip(sids, addresses, strict=True)
        ]


def run(size: Size) -> list[Result]:
    with ExitStack() as opened:
        arms = _start(opened)
        amount, bare = size.of(12_000, 4_000), size.of(24_000, 8_000)
        wrong: list[str] = []
        _asked(arms, [LIVE] * bare)
        _answered(arms, Callers(arms, amount // 4), wrong)  # warm: statements are prepared, the broker has met its producer
        empty = ask(arms.bare, [LIVE] * bare, folder=arms.stack.path, connections=CONNECTIONS, core=REST)
        found = rounds(size, lambda _: _ratio(arms, amount, bare, wrong))
        half = medians(found)["voice"] / 2
        wrong_then: list[str] = []
        waited = rounds(size, lambda _: _half(arms, half, wrong_then, seconds=size.of(8, 4)))
    return [_told(found, empty, wrong), _told_half(waited, half, wrong_then)]


def _told(found: list[Round], empty: Asked, wrong: list[str]) -> Result:
    middle = medians(found)
    shown = {
        "voice": f"{middle['voice']:,.0f}/s, p50 {middle['voice p50']:.1f} p99 {middle['voice p99']:.1f} ms",
        "no-op (GET /health/live)": f"{middle['no-op']:,.0f}/s",
        "a server that does nothing": f"{empty.rate:,.0f}/s",
        "CPU µs/request": _cpu(middle),
        "load": f"{CONNECTIONS} connections",
    }
    ratios = [one.ratio for one in found]
    return Result("voice", "menu steps answered ÷ no-op of the same server", ratios, TARGET, "", shown, noisy(found), "; ".join(wrong[:1]))


def _told_half(found: list[Round], rate: float, wrong: list[str]) -> Result:
    middle = medians(found)
    shown = {
        "at": f"{rate:,.0f}/s",
        "voice": f"p50 {middle['p50']:.1f}, p90 {middle['p90']:.1f}, longest {middle['longest']:.0f} ms",
        "no-op's p99 at this rate": f"{middle['no-op']:.1f} ms",
        "CPU µs/request": _cpu(middle),
    }
    return Result("voice p99", "a menu step's p99 at half of that load", [one.ratio for one in found], WAIT, "ms", shown, noisy(found),
                  "; ".join(wrong[:1]))  # fmt: skip


def _start(opened: ExitStack) -> Arms:
    stack = opened.enter_context(Stack(core=REST))
    (stack.path / "safiri.toml").write_text(CONFIG + FLOW)
    ports = (port for port in PORTS if is_free(port))
    port, bare = next(ports), next(ports)
    served = stack.role("http", env=stack.env(stack.database_url, SAFIRI_HTTP_PORT=str(port)), core=SERVER)
    nothing = stack.program("benchmarks.noop", str(bare), env={}, core=SERVER)
    serving(f"http://127.0.0.1:{port}", served)
    serving(f"http://127.0.0.1:{bare}", nothing)
    watcher = Watcher(stack.kafka)
    opened.callback(watcher.close)
    return Arms(stack, watcher, port, served.pid, bare)


def _said(sid: str, state: str, **more: str) -> bytes:
    who = {"sessionId": sid, "callerNumber": f"+2547{hash(sid) % 10**8:08}", "destinationNumber": "+254711000100", "direction": "Inbound"}
    return urlencode(who | {"callSessionState": state, "isActive": "1"} | more).encode()


def _request(path: str, body: bytes) -> bytes:
    signed = sign_sautikit(body, SECRET, int(time.time()), "")
    return http("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded", **signed})


def _asked(arms: Arms, requests: list[bytes], *, rate: float | None = None) -> Asked:
    return ask(arms.port, requests, folder=arms.stack.path, connections=CONNECTIONS * (4 if rate else 1), rate=rate, core=REST)


def _answered(arms: Arms, callers: Callers, wrong: list[str], *, rate: float | None = None) -> Asked:
    """Every caller presses their key. What was answered, kept and recorded is looked through afterwards."""
    before = sum(arms.watcher.ends().values())
    found = _asked(arms, callers.steps, rate=rate)
    amount = len(callers.steps)
    records = eventually(lambda: (sum(arms.watcher.ends().values()) - before) or None, "records in Kafka")
    ((kept,),) = arms.stack.execute(KEPT.format(callers.mark.replace("_", r"\_")))
    if found.other_than(200):
        wrong.append(f"{found.other_than(200)} answers were not 200")
    if bad := sum(not _is_menu(one.body) for one in found.answers):
        wrong.append(f"{bad} answers were not the second menu")
    if not amount == kept == records / 2:
        wrong.append(f"{amount} answers, {kept} positions in Postgres, {records} records in Kafka")
    return found


def _pids(arms: Arms) -> dict[str, int]:
    return {"server": arms.pid, "kafka": arms.stack.pids["kafka"], "postgres": arms.stack.pids["postgres"]}


def _cpu(figures: dict[str, float]) -> str:
    return ", ".join(f"{name[4:]} {value:.0f}" for name, value in figures.items() if name.startswith("cpu "))


def _is_menu(document: bytes) -> bool:
    actions, _ = read_body(document, "application/json", "sautikit")  # raises where the provider would refuse it
    return bool(actions) and isinstance(actions[0], GetDigits) and b"/voice/line/account?" in document


def _ratio(arms: Arms, amount: int, bare: int, wrong: list[str]) -> Round:
    pids = _pids(arms)
    with Meter(pids) as limit:
        nothing = _asked(arms, [LIVE] * bare)
    callers = Callers(arms, amount)
    with Meter(pids) as meter:
        voice = _answered(arms, callers, wrong)
    if nothing.other_than(200):
        wrong.append("the no-op failed")
    figures = {"voice": voice.rate, "voice p50": voice.wait_ms(0.5), "voice p99": voice.wait_ms(0.99), "no-op": nothing.rate,
               **{f"cpu {name}": used for name, used in meter.micros(amount).items()}, "cpu no-op": limit.micros(bare)["server"]}  # fmt: skip
    return Round(voice.rate / nothing.rate, figures, max(limit.others, meter.others))


def _half(arms: Arms, rate: float, wrong: list[str], *, seconds: float) -> Round:
    nothing = _asked(arms, [LIVE] * int(rate * seconds / 2), rate=rate)
    callers = Callers(arms, int(rate * seconds))
    with Meter(_pids(arms)) as meter:
        found = _answered(arms, callers, wrong, rate=rate)
    figures = {"p50": found.wait_ms(0.5), "p90": found.wait_ms(0.9), "longest": found.wait_ms(1.0), "no-op": nothing.wait_ms(0.99),
               **{f"cpu {name}": used for name, used in meter.micros(len(callers.steps)).items()}}  # fmt: skip
    return Round(found.wait_ms(0.99), figures, meter.others)
