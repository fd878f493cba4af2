"""What each action does to a call. A verb returns where the call goes on, or nothing: then the next action's turn comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from calls.clock import milliseconds, rfc3339
from calls.simulator import press
from calls.simulator_answers import BadAnswer, Do
from calls.simulator_trees import place
from calls.simulator_truth import Menu
from virtual.audio import stream
from virtual.lifecycle import DOCUMENTED, edge, mini_webhook, recording
from virtual.line import Gone, Line
from virtual.people import dial_fields, kind_of
from virtual.voice import Next

if TYPE_CHECKING:
    from virtual.engine import Engine

SAY_S, PLAY_S, RECORD_MS = 0.05, 0.08, (250, 900)
RING_S = 30.0


class Scene(msgspec.Struct, frozen=True):
    """One action's turn: whose call, what, and what would come after it."""

    engine: Engine
    line: Line
    do: Do
    rest: list[Do]

    @property
    def onward(self) -> Do | None:
        """The redirect that follows."""
        return next((do for do in self.rest if do.verb == "redirect"), None)

    @property
    def step(self) -> str | None:
        """The flow's step that this action belongs to: that of the redirect after it, else of the address that was asked."""
        return place(self.onward.text("url") or "")[1] if self.onward else self.line.step


Verb = Callable[[Scene], Awaitable[Next | None]]


async def perform(engine: Engine, line: Line, actions: list[Do]) -> Next | None:
    """The actions in order. None: they are over, and so is the call. Raises Gone, BadAnswer."""
    _arrive(engine, line, actions)
    verbs = MINIVOICE if line.dialect == "minivoice" else SAUTIKIT
    for n, do in enumerate(actions):
        line.check()
        following = await verbs[do.verb](Scene(engine, line, do, actions[n + 1 :]))
        if following:
            return following
    return None


def _arrive(engine: Engine, line: Line, actions: list[Do]) -> None:
    """Whether this answer puts the caller into a queue, keeps them in it, or sends them away from it."""
    tree = line.wish.tree
    connecting = [n for n, do in enumerate(actions) if do.verb in ("dial", "conference", "transfer")]
    if line.lived.agent:
        return
    if connecting:
        step = Scene(engine, line, actions[connecting[0]], actions[connecting[0] + 1 :]).step
        queue = tree.queue(step)
        if queue:
            line.enter_queue(queue)
            return
    if line.visit:
        line.leave_queue("timeout")


# ---------------------------------------------------------------- saying and asking


async def _say(scene: Scene) -> None:
    await scene.line.wait(SAY_S * max(1.0, scene.do.number("loop", 1)))


async def _play(scene: Scene) -> None:
    await scene.line.wait(PLAY_S * max(1.0, scene.do.number("loop", 1)))


async def _get_digits(scene: Scene) -> Next | None:
    """Keys go to the action's address, or to the voice URL; after silence the next action is taken, or the address is told of none."""
    line, do = scene.line, scene.do
    url = do.text("action") or line.voice_url
    digits = await _keys(scene, step=place(url)[1] or line.step, timeout_s=do.number("timeout", 5.0))
    if digits is None:
        return None if scene.rest and line.nth_menu % 2 else Next(url, more={"dtmfDigits": ""})
    return Next(url, more={"dtmfDigits": digits})


async def _gather(scene: Scene) -> None:
    """MiniVoice tells the digits by webhook only, and goes on with the next action."""
    line, do = scene.line, scene.do
    digits = await _keys(scene, step=scene.step, timeout_s=do.number("timeout_seconds", 5.0))
    told: dict[str, object] = {
        "digits": digits or "", "status": "completed" if digits else "timeout", "timed_out": not digits,
        "min_digits": int(do.number("min_digits", 1)), "max_digits": int(do.number("num_digits", 1)),
        "timeout_seconds": int(do.number("timeout_seconds", 5)), "finish_on_key": do.text("finish_on_key") or "#",
    }  # fmt: skip
    await scene.engine.courier.send(
        line, mini_webhook(line, scene.engine.hooks, event="call.gathered", at=line.now(), lossable=False, said=told)
    )


async def _keys(scene: Scene, *, step: str | None, timeout_s: float) -> str | None:
    """What the caller presses in one menu, None for nothing. Raises Gone where they hang up instead."""
    line = scene.line
    menu = Menu(step, line.now())
    line.lived.menus.append(menu)
    nested = scene.do.fields.get("nested")
    await line.wait(SAY_S * (len(nested) if isinstance(nested, list) else 1))
    pressed = press(line.wish, nth=line.nth_menu, menu=line.wish.tree.menu(step))
    line.nth_menu += 1
    await line.wait(pressed.after_ms / 1000 if pressed.digits or pressed.leaves else timeout_s)
    if pressed.leaves:
        line.hang_up("caller")
        raise Gone
    menu.left_at, menu.digits, menu.timed_out = line.now(), pressed.digits or None, not pressed.digits
    return pressed.digits or None


# ---------------------------------------------------------------- connecting


async def _dial(scene: Scene) -> None:
    """Rings, talks, and says with an edge what became of it."""
    numbers = scene.do.fields.get("numbers")
    targets = [str(one) for one in numbers] if isinstance(numbers, list) else []
    single = scene.do.text("number", "sip", "destination", "to")
    await _connect(scene, targets or [single or ""], timeout_s=scene.do.number("timeout", RING_S))


async def _connect(scene: Scene, targets: list[str], *, timeout_s: float) -> None:
    engine, line = scene.engine, scene.line
    pickup = engine.people.ring(targets, wish=line.wish, timeout_s=timeout_s, nth=line.nth_dial)
    line.nth_dial += 1
    if line.dialect == "minivoice" and not pickup.phone:
        pickup = msgspec.structs.replace(pickup, status="answered")
    agent = pickup.phone.agent if pickup.phone else engine.agent_at(pickup.address)
    far = line.far(kind_of(pickup.address, agent), address=pickup.address, agent=agent, queue=line.visit.queue if line.visit else None)
    far.status = "canceled"
    try:
        await line.wait(pickup.ms / 1000)
        far.status = pickup.status
        if pickup.answered:
            far.answered_at = line.now()
            line.leave_queue("answered", agent)
            await line.wait(line.wish.talk_ms / 1000)
            if line.wish.ends == "caller":
                line.hang_up("caller")
    finally:
        far.ended_at = line.lived.ended_at or line.now()
        if pickup.phone:
            pickup.phone.free()
        talked = milliseconds(far.answered_at, far.ended_at) if far.answered_at else 0
        started = rfc3339(far.answered_at or far.started_at) or ""
        line.dial = dict(dial_fields(pickup.address, started=started, seconds=-(-talked // 1000), status=far.status))
        if line.dialect == "sautikit":
            await engine.courier.send(line, edge(line, "DialCompleted", line.dial, lossable=agent is None))
    line.check()


async def _transfer(scene: Scene) -> None:
    """MiniVoice's last word: when the far side is gone, so is the call. It tells nobody what became of a transfer, so everybody answers."""
    await _dial(scene)
    scene.line.hang_up("platform")


async def _conference(scene: Scene) -> None:
    name = scene.do.text("name", "room") or ""
    await scene.engine.room(scene.line.account, name).stay(scene.line, scene.do)


# ---------------------------------------------------------------- the rest


async def _record(scene: Scene) -> Next | None:
    """The caller speaks, then falls silent or presses the key that ends it; the recording goes to the action's address."""
    line, do = scene.line, scene.do
    length_ms = min(max(line.wish.talk_ms, RECORD_MS[0]), RECORD_MS[1], int(do.number("maxLength", 60) * 1000))
    await line.wait(length_ms / 1000)
    url = f"https://storage.example.com/recordings/{line.session}-{line.sent}.wav"
    if line.shape in DOCUMENTED:
        await scene.engine.courier.send(line, recording(line, scene.engine.hooks, url=url, length_ms=length_ms))
    action = do.text("action")
    if action is None:
        return None
    line.lived.recorded = True
    more = {"recordingUrl": url, "recordingSid": f"RE{line.session[3:]}", "recordingDuration": str(-(-length_ms // 1000))}
    return Next(action, method=do.text("method") or "POST", more=more | {"recordingStatus": "completed"})


async def _redirect(scene: Scene) -> Next:
    default = "GET" if scene.line.dialect == "minivoice" else "POST"
    dial = scene.line.dial if scene.line.dialect == "sautikit" else {}
    return Next(scene.do.text("url") or "", method=(scene.do.text("method") or default).upper(), more=dict(dial))


async def _reject(scene: Scene) -> None:
    reason = scene.do.text("reason") or "rejected"
    scene.line.hang_up("platform", cause="user_busy" if reason == "busy" else "call_rejected", failure=reason)
    raise Gone


async def _hangup(scene: Scene) -> None:
    scene.line.hang_up("platform")
    raise Gone


async def _ai_agent(scene: Scene) -> None:
    raise BadAnswer("this provider has no AI agents")


async def _nothing(scene: Scene) -> None:
    await asyncio.sleep(0)


SAUTIKIT: Mapping[str, Verb] = {
    "say": _say, "play": _play, "getDigits": _get_digits, "dial": _dial, "conference": _conference, "record": _record,
    "redirect": _redirect, "reject": _reject, "hangup": _hangup, "stream": stream, "aiAgent": _ai_agent,
}  # fmt: skip
MINIVOICE: Mapping[str, Verb] = {
    "say": _say, "gather": _gather, "redirect": _redirect, "transfer": _transfer, "bridge": _transfer, "conference": _conference,
    "start_recording": _nothing, "stop_recording": _nothing, "start_stream": _nothing, "stop_stream": _nothing, "send_digits": _nothing,
    "hold": _nothing, "resume": _nothing, "mute": _nothing, "unmute": _nothing,
}  # fmt: skip
