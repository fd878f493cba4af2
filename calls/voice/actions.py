"""What a provider can be told to do with a call: one struct a verb, in the order in which they are executed.

Field names are Sautikit's (camelCase in JSON; PROVIDERS' field tables); MiniVoice's own verbs follow. `None` leaves a field
out. Reading, checking and rendering are in `answers.py`, `rules.py` and `render.py`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Dialect: TypeAlias = Literal["sautikit", "minivoice"]
Method: TypeAlias = Literal["GET", "POST"]


class Action(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, rename="camel"):
    """One verb. Its key in JSON is `VERBS`' name of its class."""


# ---------------------------------------------------------------- Sautikit (and, where it has the same, MiniVoice)


class Say(Action, frozen=True):
    text: str
    voice: str | None = None
    language: str | None = None
    loop: int | None = None


class Play(Action, frozen=True):
    url: str
    loop: int | None = None


class GetDigits(Action, frozen=True):
    """Asks for keys. `action`: where they are posted (also fetched without any after `timeout` seconds)."""

    timeout: int | None = None
    num_digits: int | None = None
    finish_on_key: str | None = None
    nested: list[Say | Play] | None = None  # rendered as [{"say": …}, {"play": …}]
    action: str | None = None


class Dial(Action, frozen=True):
    """Exactly one of number, numbers (rung together) and sip."""

    number: str | None = None
    numbers: list[str] | None = None
    sip: str | None = None
    caller_id: str | None = None
    timeout: int | None = None
    record: str | None = None


class Conference(Action, frozen=True):
    name: str
    flags: str | None = None
    max_participants: int | None = None
    record: bool | None = None
    beep: bool | None = None
    muted: bool | None = None
    start_on_enter: bool | None = None
    end_on_exit: bool | None = None
    collect_digits: bool | None = None
    wait_url: str | None = None
    status_events_callback_url: str | None = None
    status_events: str | None = None
    digits_callback_url: str | None = None
    finish_on_key: str | None = None
    num_digits: int | None = None


class Record(Action, frozen=True):
    action: str | None = None
    method: Method | None = None
    timeout: int | None = None
    max_length: int | None = None
    finish_on_key: str | None = None
    transcribe: bool | None = None
    transcribe_callback: str | None = None
    play_beep: bool | None = None  # XML only
    trim: str | None = None  # XML only


class Redirect(Action, frozen=True):
    url: str
    method: Method | None = None
    max_redirects: int | None = msgspec.field(default=None, name="max_redirects")  # MiniVoice


class Reject(Action, frozen=True):
    reason: Literal["rejected", "busy"] | None = None


class Hangup(Action, frozen=True):
    pass


class Stream(Action, frozen=True):
    url: str
    track: Literal["inbound_track", "outbound_track", "both_tracks"] | None = None
    connect: bool | None = None
    name: str | None = None
    output_sampling_rate: int | None = None
    input_sampling_rate: int | None = None
    bidirectional_sampling_rate: int | None = None
    header_metadata: str | None = None  # the JSON text of a flat object
    open_metadata: str | None = None
    status_callback: str | None = None
    status_events: str | None = None


class AiAgent(Action, frozen=True):
    agent_id: str
    revision: int | None = None
    variables: dict[str, str] | None = None
    handover: dict[str, object] | None = None
    on_unavailable: Literal["hangup", "voicemail", "forward", "callback"] | None = None
    voicemail: dict[str, object] | None = None
    forward: dict[str, object] | None = None


# ---------------------------------------------------------------- MiniVoice's own (snake_case in JSON)


class MiniAction(Action, frozen=True, rename=None):
    """A verb that only MiniVoice has. say, redirect, conference and gather are rendered from Say, Redirect, Conference, GetDigits."""


class Gather(MiniAction, frozen=True):
    prompt: str | None = None
    num_digits: int | None = None
    min_digits: int | None = None
    max_digits: int | None = None
    timeout_seconds: int | None = None
    finish_on_key: str | None = None


class Transfer(MiniAction, frozen=True):
    """`destination` is E.164 or a SIP URI; read from `to` as well, as the vendor's own sample has it."""

    destination: str
    from_: str | None = msgspec.field(default=None, name="from")


class Bridge(MiniAction, frozen=True):
    destination: str
    from_: str | None = msgspec.field(default=None, name="from")
    timeout_seconds: int | None = None


class MiniConference(MiniAction, frozen=True):
    room: str
    mute: bool | None = None
    end_on_exit: bool | None = None


class StartRecording(MiniAction, frozen=True):
    pass


class StopRecording(MiniAction, frozen=True):
    pass


class StartStream(MiniAction, frozen=True):
    stream_url: str
    track: Literal["inbound", "outbound", "both"] | None = None


class StopStream(MiniAction, frozen=True):
    stream_url: str | None = None
    track: Literal["inbound", "outbound", "both"] | None = None


class SendDigits(MiniAction, frozen=True):
    digits: str
    pause_before_ms: int | None = None


class Hold(MiniAction, frozen=True):
    pass


class Resume(MiniAction, frozen=True):
    pass


class Mute(MiniAction, frozen=True):
    direction: Literal["read", "write", "both"]


class Unmute(MiniAction, frozen=True):
    direction: Literal["read", "write", "both"]


SAUTIKIT: dict[str, type[Action]] = {
    "say": Say, "play": Play, "getDigits": GetDigits, "dial": Dial, "conference": Conference, "record": Record,
    "redirect": Redirect, "reject": Reject, "hangup": Hangup, "stream": Stream, "aiAgent": AiAgent,
}  # fmt: skip
MINIVOICE: dict[str, type[Action]] = {
    "say": Say, "gather": Gather, "redirect": Redirect, "transfer": Transfer, "bridge": Bridge, "conference": MiniConference,
    "start_recording": StartRecording, "stop_recording": StopRecording, "start_stream": StartStream, "stop_stream": StopStream,
    "send_digits": SendDigits, "hold": Hold, "resume": Resume, "mute": Mute, "unmute": Unmute,
}  # fmt: skip
VERBS: dict[Dialect, dict[str, type[Action]]] = {"sautikit": SAUTIKIT, "minivoice": MINIVOICE}


class Fault(msgspec.Struct, frozen=True):
    """One thing that a provider would refuse. `field`: a path such as `actions[2].dial.sip`; `detail`: what to change."""

    field: str
    detail: str
