"""What a decision is made of: what was asked (Request), where the call stands (State), what is known of the outside (Known), what
must be found out first (Ask), and what came of it (Decision).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

from calls.clock import Micros
from calls.events import Direction, Event
from calls.voice.actions import Action

Waits: TypeAlias = Literal["", "menu", "queue", "dial", "bot", "record", "delegate", "actions", "over"]


class Request(msgspec.Struct, kw_only=True):
    """What a provider asks, in one shape whatever its dialect (`requests.read`).

    `digits` None: the request has no such field (it may be the first); "": nothing was pressed. `step`, `visit`, `tries` come
    from the address that we handed out, None from a bare one. `kind`: `ask` wants actions; `edge` only tells something
    (DialCompleted, StreamStopped, …); `over` says that the call has ended. `doubtful`: an ask whose word for the state is
    not known, or may be an end; of a call that has had its answer it only tells something.
    """

    call_sid: str
    at: Micros
    kind: Literal["ask", "edge", "over"] = "ask"
    state: str = ""  # the sender's word
    caller: str | None = None
    called: str | None = None
    direction: Direction | None = None
    digits: str | None = None
    timed_out: bool | None = None
    step: str | None = None
    visit: int | None = None
    tries: int | None = None
    aliases: list[str] = []  # other ids of the same call in the body
    label: str | None = None  # clientRequestId
    dial_answered: bool | None = None  # what the request itself says of the last dial
    dial_to: str | None = None  # the number to which that was
    recording: bool = False  # it brings a recording
    doubtful: bool = False


class State(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Where a call stands in a flow: JSON in one operational row, and (step, visit, tries) in every address we hand out.

    `visit` counts answers that moved the call; `tries` the replays of a menu, or how often the caller was put into a queue's
    room. `since` is when the step was entered (a queue's entry, a dial's start, a gather's asking). `agent`, `offer`: who is
    dialled for the caller out of a queue (`waits` is then "dial"); `rings_until` is when that or any other dial gives up.
    """

    step: str = ""
    visit: int = 0
    tries: int = 0
    waits: Waits = ""
    since: Micros = 0
    queue: str | None = None
    agent: str | None = None
    offer: str | None = None
    to: str | None = None
    dial_answered: bool | None = None
    bot: Literal["", "open", "handed_over", "ended", "failed"] = ""
    served: bool = False  # an agent joined the caller in the queue's room
    heard: tuple[str, ...] = ()  # MiniVoice: the event ids of the last call.gathered that were used
    rings_until: Micros = 0
    dialled_at: Micros = 0  # when somebody was last dialled, in whichever step
    bot_told: bool = False  # a bot of ours told of itself in an earlier step: what the provider says of its stream is nothing new


def of_another_dial(asked: Request, state: State) -> bool:
    """The request tells of a dial to another number than the one that was dialled last: late, or once more."""
    numbers = (asked.dial_to or "", state.to or "")
    return all(number.startswith("+") for number in numbers) and numbers[0] != numbers[1]


class FreeAgent(msgspec.Struct, frozen=True):
    """An agent reserved for this caller: dial `address` (a number or sip:) for `ring_s`."""

    agent: str
    address: str
    ring_s: int
    offer: str


class InQueue(msgspec.Struct, frozen=True):
    """What became of entering the queue: an agent to dial, a place in the room, or no room at all."""

    agent: FreeAgent | None = None
    full: bool = False
    position: int | None = None


class Delegated(msgspec.Struct, frozen=True):
    """What the user's own application said: actions, or why it cannot be used."""

    actions: list[Action] | None = None
    xml: bool = False
    fault: str = ""


class Ask(msgspec.Struct, frozen=True):
    """What must be known before the decision. `queue`: enter it (Known.queue); `url`: forward the request (Known.delegated);
    `digits`: MiniVoice's call.gathered for this visit, waited for within the deadline (Known.gathered).

    What is found goes into Known by `told`. `dialled`: the dial of a reserved agent is over, answered or not; the call centre
    must hear it before the queue is entered again."""

    what: Literal["queue", "delegate", "digits"]
    step: str = ""
    queue: str = ""
    url: str = ""
    timeout_ms: int = 0
    since: Micros = 0
    dialled: bool | None = None


class Gathered(msgspec.Struct, frozen=True):
    """MiniVoice's digits. `digits` "" and `timed_out`: nothing was pressed; `event_id` None: no webhook came in time."""

    digits: str = ""
    timed_out: bool = True
    event_id: str | None = None


class Known(msgspec.Struct, kw_only=True):
    """The outside, as far as it has been asked. `address(step, visit, tries)` makes the absolute, tokened address of a step;
    `events` is that of status callbacks, `audio(step)` that of the audio socket."""

    now: Micros
    address: Callable[[str, int, int], str]
    events: str
    audio: Callable[[str], str]
    caller_id: str = ""  # the number called; used where a dial names none
    queue: InQueue | None = None
    delegated: Delegated | None = None
    gathered: Gathered | None = None
    queues: dict[str, InQueue] = {}  # by step, where one decision enters several (the first is full)
    delegates: dict[str, Delegated] = {}  # likewise


def told(known: Known, ask: Ask, found: InQueue | Delegated | Gathered) -> Known:
    """`known` and what `ask` asked for. What earlier questions of the same decision found stays."""
    match found:
        case InQueue():
            return msgspec.structs.replace(known, queue=found, queues=known.queues | {ask.step: found})
        case Delegated():
            return msgspec.structs.replace(known, delegated=found, delegates=known.delegates | {ask.step: found})
    return msgspec.structs.replace(known, gathered=found)


class Decision(msgspec.Struct, kw_only=True):
    """`actions` in order; `xml` where they must be rendered so; `state` to keep; `facts` are of the answer (MenuEntered, …).

    `menu`: the menu whose input the request is taken for (its digits belong to it); `masked`: its digits are sensitive.
    `replay`: the request is behind: send the stored answer instead. `anomaly`: `code: what happened`, to be shown on the journey.
    `dialled`: the dial of a reserved agent is over, answered or not (where no Ask has said it already).
    """

    actions: list[Action]
    state: State
    facts: list[Event] = []
    xml: bool = False
    menu: str | None = None
    masked: bool = False
    replay: bool = False
    anomaly: str = ""
    dialled: bool | None = None
