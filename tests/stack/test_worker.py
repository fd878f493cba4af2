"""What only time tells: a call that fell silent is presumed ended by the worker, however many workers there are, until its end comes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from running import eventually
from whole import CONFIG, Stack
from wire import Role, role

from calls.clock import rfc3339

ACCOUNT = "silent"  # nothing but these tests' calls is in it
QUICK = CONFIG.replace(f"[accounts.{ACCOUNT}]", f"[accounts.{ACCOUNT}]\npresume_ended_after_s = 1")


@pytest.fixture(scope="module")
def workers(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Role]]:
    """Three that presume after a second, beside the stack's own, which waits for hours."""
    assert QUICK != CONFIG
    with ExitStack() as running:
        yield [running.enter_context(role(stack, "worker", tmp_path_factory.mktemp("worker"), QUICK)) for _ in range(3)]


def began(stack: Stack, *more: str) -> str:
    """A call that began 40 s ago, and whatever else was heard of it since."""
    sid = f"silent-{uuid.uuid4().hex}"
    now = time.time()
    begun = event("call.started", sid, 40, now=now, direction="inbound", **{"from": "+254700000008"})
    stack.events(begun, *(event(kind, sid, 30, now=now) for kind in more), account=ACCOUNT)
    return sid


def event(kind: str, sid: str, ago_s: float, *, now: float | None = None, **more: object) -> dict[str, object]:
    at = (time.time() if now is None else now) - ago_s
    return {"type": kind, "call_sid": sid, "occurred_at": rfc3339(int(at * 1e6)), **more}


def journey(stack: Stack, sid: str) -> dict:
    reply = stack.http.get(f"/v1/journeys/{sid}", headers={"authorization": f"Bearer {stack.key}"})
    return reply.json() if reply.status_code == 200 else {"state": None, "anomalies": []}


def presumptions(stack: Stack, sid: str) -> list[tuple[str, int]]:
    """(event id, copies) of each."""
    events = stack.get(f"/v1/journeys/{sid}/events")["events"]
    return [(one["event_id"], one["copies"]) for one in events if one["type"] == "call.presumed_ended"]


def test_silence_ends_a_call_once_and_a_real_end_corrects_it(stack: Stack, workers: list[Role]) -> None:
    sid = began(stack, "call.answered")
    ended = eventually(lambda: (told := journey(stack, sid))["state"] == "presumed_ended" and told, "presumed ended", 90)
    assert ended["durations"]["total_ms"] == 10_000  # at its last sign of life
    assert [one["code"] for one in ended["anomalies"]] == ["presumed_end"]
    assert ended["complete"] is False
    for _ in range(6):  # rounds of three workers
        time.sleep(0.5)
        stack.fresh()
        assert len(presumptions(stack, sid)) == 1
    copies = presumptions(stack, sid)[0][1]
    stack.events(event("call.ended", sid, 5, ended_by="caller"), account=ACCOUNT)
    real = eventually(lambda: (told := journey(stack, sid))["durations"]["total_ms"] > 30_000 and told, "the real end counts")
    assert (real["state"], real["outcome"], real["complete"]) == ("ended", "answered", True)
    assert presumptions(stack, sid)[0][1] == copies <= 3


def test_a_later_sign_of_life_opens_it_again(stack: Stack, workers: list[Role]) -> None:
    sid = began(stack)
    eventually(lambda: journey(stack, sid)["state"] == "presumed_ended", "presumed ended", 90)
    stack.events(event("call.answered", sid, 3), account=ACCOUNT)
    stack.fresh()
    told = eventually(lambda: len(presumptions(stack, sid)) == 2 and journey(stack, sid), "presumed ended again, at the later sign")
    assert told["state"] == "presumed_ended"
    assert told["durations"]["total_ms"] > 30_000


def test_what_goes_on_or_is_somebody_elses_is_left_alone(stack: Stack, workers: list[Role]) -> None:
    """The rule is the account's; a late delivery about long ago is a sign of life as well."""
    silent, other = began(stack), f"other-{uuid.uuid4().hex}"
    body = b'{"kind": "call.started", "occurred_at": "2026-06-01T08:00:00Z", "data": {"call_id": "%s"}}' % other.encode()
    assert stack.post("acme", body).status_code == 202
    eventually(lambda: journey(stack, silent)["state"] == "presumed_ended", "presumed ended", 90)
    stack.fresh()
    assert journey(stack, other)["state"] == "open"
    stack.cli("rebuild", "--verify")


def test_workers_stop_when_told(workers: list[Role]) -> None:
    assert [one.stop() for one in workers] == [0, 0, 0]
    for one in workers:
        assert "Traceback" not in one.log.read_text()
