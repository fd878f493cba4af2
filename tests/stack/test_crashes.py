"""Parts of a running stack are killed or stopped under traffic: what was answered 202 is there exactly once, and a rebuild agrees."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from running import eventually
from whole import Stack, running
from wire import signed


@pytest.fixture(scope="module")
def own() -> Iterator[Stack]:
    """A stack that may be broken."""
    with running() as made:
        yield made


class Traffic:
    """Senders that post one call after the other and remember which were acknowledged."""

    def __init__(self, stack: Stack, senders: int = 3) -> None:
        self.stack, self.name = stack, uuid.uuid4().hex
        self.taken: list[str] = []
        self.refused = 0
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._send, args=(n,)) for n in range(senders)]

    def _send(self, sender: int) -> None:
        for n in itertools.count():
            if self.over.wait(0.01):
                return
            sid = f"{self.name}-{sender}-{n}"
            body = json.dumps({"kind": "call.started", "occurred_at": "2026-09-01T08:00:00Z", "data": {"call_id": sid}}).encode()
            try:
                reply = httpx.post(f"{self.stack.url}/hooks/acme", content=body, headers=signed("acme", body), timeout=10)
            except (httpx.HTTPError, OSError, ValueError, KeyError):
                self.refused += 1  # nobody was promised anything
                continue
            if reply.status_code == 202:
                self.taken.append(sid)
            else:
                assert reply.status_code == 503, reply.text
                self.refused += 1

    def flows(self, more: int = 30) -> None:
        """Waits until that many more were acknowledged."""
        already = len(self.taken)
        eventually(lambda: len(self.taken) >= already + more, "deliveries are taken", 60)


@contextmanager
def traffic(stack: Stack) -> Iterator[Traffic]:
    made = Traffic(stack)
    for thread in made.threads:
        thread.start()
    try:
        made.flows()
        yield made
        made.flows()
    finally:
        made.over.set()
        for thread in made.threads:
            thread.join()


def all_there_once(stack: Stack, sent: Traffic) -> None:
    def missing() -> set[str]:
        found = stack.execute("SELECT stream FROM safiri.journal WHERE stream LIKE %s", f"{sent.name}-%")
        return set(sent.taken) - {row[0] for row in found}

    stack.fresh(90)
    assert missing() == set()
    rows = stack.execute(
        "SELECT stream, count(*) FROM safiri.journal WHERE stream LIKE %s GROUP BY 1 HAVING count(*) > 1", f"{sent.name}-%"
    )
    assert rows == []
    assert stack.execute("SELECT count(*) FROM safiri.journal_copies WHERE stream LIKE %s", f"{sent.name}-%") == [(0,)]
    calls = stack.execute("SELECT count(*), count(DISTINCT journey_id) FROM live.calls WHERE call_sid LIKE %s", f"{sent.name}-%")
    journal = stack.execute("SELECT count(DISTINCT stream) FROM safiri.journal WHERE stream LIKE %s", f"{sent.name}-%")
    assert calls == [(journal[0][0], journal[0][0])]


@pytest.mark.parametrize("part", ["http", "projector", "kafka", "postgres"])
def test_a_part_is_killed(own: Stack, part: str) -> None:
    with traffic(own) as sent:
        pid = own.up.pid(part)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: own.up.pid(part) != pid, f"{part} is started again", 30)
    all_there_once(own, sent)


def test_postgres_stands_still(own: Stack) -> None:
    """Deliveries are taken all the while, and readiness says which dependency is missing."""
    with traffic(own) as sent:
        pid = own.up.pid("postgres")
        os.kill(pid, signal.SIGSTOP)
        children = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        for child in children:
            os.kill(child, signal.SIGSTOP)
        try:
            sent.flows(100)
            reply = httpx.get(f"{own.url}/health/ready", timeout=15)
            assert "answer" in reply.json()["dependencies"]["postgres"], reply.text
        finally:
            for one in (*children, pid):
                os.kill(one, signal.SIGCONT)
    all_there_once(own, sent)


def test_everything_is_killed_and_started_again(own: Stack) -> None:
    with traffic(own) as sent:
        own.up.stop(signal.SIGKILL)
        own.start()
    all_there_once(own, sent)
    own.cli("rebuild", "--verify")
