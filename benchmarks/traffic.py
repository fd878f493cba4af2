"""What is sent: seeded, so that every run and both arms get the same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from urllib.parse import urlencode

import msgspec

from calls.clock import Micros, rfc3339
from calls.envelope import Envelope
from calls.providers import PROVIDERS
from calls.sample import FORM, JSON, SECOND, Sample
from ingest.accept import Origin, envelope
from runtime.settings import load

START: Micros = 1_788_242_400_000_000  # 2026-09-01, 09:00 in Nairobi
AT_ONCE = 50  # calls under way at any moment
QUEUES, AGENTS = 50, 200
OURS = "+254711000100"
NOTE = "asked about the balance of the account and was sent to an agent of the support queue; will be called back on Monday"

_NEUTRAL: list[tuple[int, str, dict[str, object]]] = [
    (0, "call.started", {"direction": "inbound", "to": OURS, "attributes": {"campaign": "september", "line": "savings", "language": "sw"}}),
    (1, "call.answered", {}), (1, "menu.entered", {"menu": "welcome"}), (9, "menu.digits", {"menu": "welcome", "digits": "2"}),
    (10, "queue.entered", {"queue": "support"}),
    (38, "leg.started", {"leg": "agent", "kind": "agent", "agent": "amina", "queue": "support", "to": "+254720000001"}),
    (44, "leg.answered", {"leg": "agent", "agent": "amina", "queue": "support"}),
    (44, "queue.left", {"queue": "support", "reason": "answered"}), (231, "leg.ended", {"leg": "agent", "agent": "amina", "ended_by": "caller"}),
    (231, "call.ended", {"ended_by": "caller"}),
]  # fmt: skip
_PBX = (
    {"callSessionState": "Ringing"},
    {"callSessionState": "Answered"},
    {"dtmfDigits": "1"},
    {"dtmfDigits": "4"},
    {"callSessionState": "Completed"},
)


def samples(seed: int, amount: int) -> Iterator[Sample]:
    """`amount` deliveries of calls of ten, AT_ONCE of them under way: every other call as Sautikit sends it, the rest neutral."""
    return islice(_interleaved(seed), amount)


def _interleaved(seed: int) -> Iterator[Sample]:
    dice, source = random.Random(seed), _calls(seed)
    under_way = [next(source) for _ in range(AT_ONCE)]
    while True:
        slot = dice.randrange(AT_ONCE)
        yield under_way[slot].pop()
        if not under_way[slot]:
            under_way[slot] = next(source)


def _calls(seed: int) -> Iterator[list[Sample]]:
    """Each call's deliveries, the first one last."""
    for number in count():
        dice = random.Random(seed * 1_000_003 + number)
        at = START + number % 28_800 * SECOND
        yield [*(_neutral(dice, at, number) if number % 2 else _sautikit(dice, at))][::-1]


def identity(dice: random.Random) -> str:
    text = f"{dice.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-8{text[17:20]}-{text[20:]}"


def _neutral(dice: random.Random, at: Micros, number: int) -> Iterator[Sample]:
    sid, caller = f"call-{dice.getrandbits(64):016x}", f"+2547{dice.randrange(10**7, 10**8)}"
    who = {"queue": f"support-{number // 2 % QUEUES}", "agent": f"amina-{number // 2 % AGENTS}"}
    for seconds, kind, fields in _NEUTRAL:
        body = {"type": kind, "event_id": identity(dice), "call_sid": sid, "occurred_at": rfc3339(at + seconds * SECOND), "from": caller,
                "note": NOTE, "trace": [identity(dice) for _ in range(3)], **fields, **{name: who[name] for name in who.keys() & fields.keys()}}  # fmt: skip
        if kind != "call.started":
            body.pop("from")
        yield Sample("desk", sid, at + seconds * SECOND, JSON, msgspec.json.encode(body))


def _sautikit(dice: random.Random, at: Micros) -> Iterator[Sample]:
    sid, session, caller = identity(dice), f"HD_{dice.getrandbits(48):012x}", f"+2547{dice.randrange(10**7, 10**8)}"
    ended = at + 120 * SECOND
    told: list[tuple[int, str, dict[str, object]]] = [
        (0, "call.started", {"status": "started"}), (12, "call.answered", {"status": "answered", "answered_at": rfc3339(at + 12 * SECOND)}),
        (120, "call.completed", {"status": "completed", "duration_seconds": 108, "ended_at": rfc3339(ended), "hangup_cause": "normal_clearing"}),
        (125, "call.recording.ready", {"recording_id": identity(dice), "size_bytes": 400_000, "duration_seconds": 108}),
        (126, "call.transcribed", {"language": "sw"}),  # a kind we do not know
    ]  # fmt: skip
    pbx = [_pbx(sid, session, at + n * 20 * SECOND, caller, **fields) for n, fields in enumerate(_PBX)]
    documented = [_documented(dice, kind, sid, at + seconds * SECOND, caller, **fields) for seconds, kind, fields in told]
    yield from sorted([*documented, *pbx], key=lambda one: one.at)


def _documented(dice: random.Random, kind: str, sid: str, at: Micros, caller: str, **fields: object) -> Sample:
    data = {
        "call_id": sid,
        "direction": "inbound",
        "from": caller,
        "to": OURS,
        **fields,
        "metadata": {"note": NOTE, "trace": identity(dice)},
    }
    body = {
        "kind": kind,
        "event_id": identity(dice),
        "workspace_id": "01900000-0000-7000-8000-000000000002",
        "occurred_at": rfc3339(at),
        "data": data,
    }
    return Sample("acme", sid, at, JSON, msgspec.json.encode(body))


def _pbx(sid: str, session: str, at: Micros, caller: str, **fields: str) -> Sample:
    body = {"callId": sid, "sessionId": session, "callerNumber": caller, "destinationNumber": OURS, "direction": "inbound", "isActive": "1",
            "clientRequestId": f"{sid}/{at}", "currencyCode": "KES", "callerCountryCode": "254", "callStartTime": rfc3339(at), **fields}  # fmt: skip
    return Sample("acme", sid, at, FORM, urlencode(body).encode())


def envelopes(config: Path, seed: int, amount: int) -> Iterator[Envelope]:
    """The same deliveries as their receiver would append them."""
    accounts = load(config).accounts
    origins = {name: Origin(name, account, PROVIDERS[account.provider], source="hook") for name, account in accounts.items()}
    headers = {"x-sautikit-event-kind": "call", "webhook-id": "msg"}
    for one in samples(seed, amount):
        yield envelope(
            origins[one.account],
            one.body,
            content_type=one.content_type,
            headers=headers,
            received_at=one.at + SECOND,
            signature="verified",
        )


def hook_body(seed: int) -> bytes:
    """A documented Sautikit envelope of about 700 bytes."""
    dice, at = random.Random(seed), START + seed % 28_800 * SECOND
    data = {
        "call_id": identity(dice), "direction": "inbound", "from": f"+2547{dice.randrange(10**7, 10**8)}", "to": OURS, "status": "completed",
        "duration_seconds": dice.randrange(10, 900), "answered_at": rfc3339(at), "ended_at": rfc3339(at + 90 * SECOND),
        "hangup_cause": "normal_clearing", "pbx_call_id": f"HD_{dice.getrandbits(48):012x}", "recording_id": identity(dice),
        "metadata": {"campaign": "september", "agent": f"agent-{dice.randrange(50)}", "note": NOTE},
    }  # fmt: skip
    return msgspec.json.encode({"kind": "call.completed", "event_id": identity(dice), "workspace_id": identity(dice),
                                "occurred_at": rfc3339(at + 90 * SECOND), "data": data})  # fmt: skip
