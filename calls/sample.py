"""A seeded morning of deliveries as two providers would send them, without anybody who calls: for measuring.

Pure: the seed and the time decide everything. Each call is a list of deliveries in order of time; a Sautikit call comes as
documented envelopes, and some also as the PBX bodies that are really seen (form), tied by a body with both ids.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from urllib.parse import urlencode

import msgspec

from calls.clock import Micros, rfc3339

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
SECOND = 1_000_000


class Sample(msgspec.Struct, frozen=True):
    """One delivery of a sample call."""

    account: str
    call_sid: str
    at: Micros
    content_type: str
    body: bytes


def morning(seed: int, *, calls: int, start: Micros, hours: float = 4) -> list[Sample]:
    """`calls` calls spread over `hours` from `start`: three in four with Sautikit (`acme`), the rest with MiniVoice (`mini`)."""
    dice = random.Random(seed)
    found: list[Sample] = []
    for _ in range(calls):
        at = start + int(dice.uniform(0, hours * 3600)) * SECOND
        found += _sautikit(dice, at) if dice.random() < 0.75 else _minivoice(dice, at)
    return sorted(found, key=lambda sample: (sample.at, sample.call_sid))


def _uuid(dice: random.Random) -> str:
    text = f"{dice.getrandbits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-7{text[13:16]}-8{text[17:20]}-{text[20:]}"


def _mobile(dice: random.Random) -> str:
    return f"+2547{dice.randrange(10_000_000, 99_999_999)}"


# ---------------------------------------------------------------- Sautikit


def _sautikit(dice: random.Random, at: Micros) -> Iterator[Sample]:
    sid, caller, inbound = _uuid(dice), _mobile(dice), dice.random() < 0.8
    ours = "+254711000100"
    who = {"direction": "inbound" if inbound else "outbound", "from": caller if inbound else ours, "to": ours if inbound else caller}
    if dice.random() < 0.15:
        yield _envelope(dice, "call.started", sid, at, **who, status="started")
        ended = at + dice.randrange(20, 45) * SECOND
        reason = dice.choice(["no_answer", "busy", "rejected"])
        yield _envelope(dice, "call.failed", sid, ended, **who, status="failed", failure_reason=reason, ended_at=rfc3339(ended))
        return
    yield from _answered(dice, sid, at, who)


def _answered(dice: random.Random, sid: str, at: Micros, who: dict[str, str]) -> Iterator[Sample]:
    answered = at + dice.randrange(2, 20) * SECOND
    ended = answered + dice.randrange(15, 600) * SECOND
    session = f"HD_{dice.getrandbits(48):012x}" if dice.random() < 0.3 else None
    yield _envelope(dice, "call.started", sid, at, **who, status="started")
    if session:
        yield _pbx(sid, session, at, who, callSessionState="Ringing")
    yield _envelope(dice, "call.answered", sid, answered, **who, status="answered", answered_at=rfc3339(answered))
    both = {"pbx_call_id": session} if session else {}
    yield _envelope(
        dice, "call.completed", sid, ended, **who, **both, status="completed", duration_seconds=(ended - answered) // SECOND,
        answered_at=rfc3339(answered), ended_at=rfc3339(ended), hangup_cause="normal_clearing",
    )  # fmt: skip
    if dice.random() < 0.2:
        yield _envelope(
            dice, "call.recording.ready", sid, ended + 30 * SECOND, recording_id=_uuid(dice), duration_seconds=(ended - answered) // SECOND,
            size_bytes=dice.randrange(10_000, 4_000_000), download_url="https://storage.example.com/recording",
        )  # fmt: skip


def _envelope(dice: random.Random, kind: str, sid: str, at: Micros, **fields: object) -> Sample:
    body = {"kind": kind, "event_id": _uuid(dice), "workspace_id": "01900000-0000-7000-8000-000000000002", "occurred_at": rfc3339(at),
            "data": {"call_id": sid, **fields}}  # fmt: skip
    return Sample("acme", sid, at, JSON, msgspec.json.encode(body))


def _pbx(sid: str, session: str, at: Micros, who: dict[str, str], **fields: str) -> Sample:
    body = {"sessionId": session, "callerNumber": who["from"], "destinationNumber": who["to"], "direction": who["direction"], **fields}
    return Sample("acme", sid, at, FORM, urlencode(body).encode())


# ---------------------------------------------------------------- MiniVoice


def _minivoice(dice: random.Random, at: Micros) -> Iterator[Sample]:
    sid = f"call_{dice.getrandbits(64):016x}"
    call = {
        "id": sid,
        "customer_id": "cust_1",
        "application_id": "app_1",
        "direction": "inbound",
        "from": _mobile(dice),
        "to": "+254711000200",
    }
    yield _mini("call.created", call, at, event_key=f"{sid}:call.created")
    yield _mini("call.answered", call, at + 2 * SECOND)
    later = at + dice.randrange(5, 12) * SECOND
    for digits in dice.sample(["1", "2", "3", ""], k=dice.randrange(0, 3)):
        yield _mini("call.gathered", call, later, digits=digits, status="completed" if digits else "timeout", timed_out=not digits)
        later += dice.randrange(4, 9) * SECOND
    yield _mini("call.completed", call, later + dice.randrange(5, 300) * SECOND)


def _mini(event: str, call: dict[str, str], at: Micros, **data: object) -> Sample:
    status = "completed" if event == "call.completed" else "in_progress"
    body = {"event": event, "created_at": rfc3339(at), "call": {**call, "status": status}, "variables": {}, "data": data}
    return Sample("mini", call["id"], at, JSON, msgspec.json.encode(body))
