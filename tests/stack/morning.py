"""A morning of two queues and three agents, for tests of the laws: calls as a story, and the agents' states."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from projecting import Bench, delivery, priced, story

from calls.clock import rfc3339
from calls.envelope import Envelope, digest
from calls.statements import written
from calls.statements.line import LineKind
from tests.given import NOON, SECOND

# A morning of two queues and three agents: answered, abandoned, sent on, transferred, held, with bots, outgoing, still going on.
MORNING = """
+0 call.started @one direction=inbound from=+254712000001 to=+254711000100 id=one-0
+1 call.answered @one
+1 call.linked @one alias=ONE id=one-1
+1 menu.entered @one menu=main
+4 menu.digits @one menu=main digits=1
+5 queue.entered @one queue=support priority=2
+20 leg.started @one leg=a kind=agent agent=amina queue=support to=+254720000001
+25 queue.left @one queue=support reason=answered
+25 leg.answered @one leg=a kind=agent agent=amina queue=support
+60 hold.started @one leg=a
+80 hold.ended @one leg=a
+200 leg.ended @one leg=a ended_by=agent cause=hangup
+200 call.ended @one ended_by=agent attr.note=gold

+30 call.started @two direction=inbound from=+254712000002 to=+254711000100 id=two-0
+31 menu.entered @two menu=main
+33 menu.digits @two menu=sub digits=2 timed_out=true
+35 queue.entered @two queue=sales
+90 queue.left @two queue=sales reason=overflow
+90 queue.entered @two queue=support
+100 leg.started @two leg=b kind=agent agent=baraka queue=support
+110 queue.left @two queue=support reason=answered
+110 leg.answered @two leg=b kind=agent agent=baraka queue=support
+300 leg.ended @two leg=b
+290 queue.entered @two queue=sales
+310 leg.answered @two leg=c kind=agent agent=chao queue=sales
+310 queue.left @two queue=sales reason=answered
+700 leg.ended @two leg=c
+700 call.ended @two ended_by=caller

+40 call.started @three direction=inbound from=+254712000003 to=+254711000100 id=three-0
+41 queue.entered @three queue=sales
+77 queue.left @three queue=sales reason=abandoned
+77 call.ended @three ended_by=caller

+1000 call.started @four direction=inbound from=+254712000004 id=four-0
+1001 bot.started @four leg=bot
+1050 bot.ended @four leg=bot
+1051 call.ended @four ended_by=caller
+1100 call.started @five direction=inbound from=+254712000005 id=five-0
+1101 bot.started @five leg=bot
+1130 bot.handed_over @five leg=bot
+1131 queue.entered @five queue=support
+1140 queue.left @five queue=support reason=closed
+1141 call.ended @five

+1200 call.started @six direction=outbound from=+254711000100 to=+254712000006 id=six-0
+1210 leg.started @six leg=x kind=external to=+254712000007
+1220 leg.answered @six leg=x
+1300 leg.ended @six leg=x cause=normal
+1300 call.failed @six reason=busy
+1400 call.started @seven direction=inbound from=+254712000008 id=seven-0
+1401 queue.entered @seven queue=support
"""
STATES = """
-600 amina available
-500 baraka available
-400 chao paused tea
201 amina wrap_up
240 amina available
300 baraka wrap_up mail ~20
330 baraka paused lunch
600 baraka available
640 chao available
900 chao talking
1000 chao offline
4000 amina offline
4000 baraka offline
90000 amina available
94000 amina offline
"""


def reported(text: str) -> Iterator[Any]:
    """Deliveries of agents' states: seconds after noon, agent, state, reason; `~20` for a state that lasts 20 s."""
    for line in text.strip().splitlines():
        after, agent, state, *rest = line.split()
        at = NOON + int(after) * SECOND
        event = {"type": "agent.state", "agent": agent, "state": state, "occurred_at": rfc3339(at), "event_id": f"{agent} {after}"}
        extra = [{"lasts_ms": int(word[1:]) * 1000} if word.startswith("~") else {"reason": word} for word in rest]
        yield delivery(json.dumps(event | {name: value for one in extra for name, value in one.items()}).encode(), received=at)


def stated() -> Iterator[Envelope]:
    """Lines of a statement: what a call cost, in two versions, and a top-up."""
    record = {"id": "one", "started_at": rfc3339(NOON), "duration_seconds": "200", "cost_minor": "1000"}
    lines: list[tuple[LineKind, str, dict[str, str]]] = [
        ("call_record", "one", record), ("call_record", "one", record | {"cost_minor": "900"}),
        ("ledger", "top", {"id": "top", "created_at": rfc3339(NOON) or "", "entry_type": "topup", "amount_minor": "5000"}),
    ]  # fmt: skip
    for n, (kind, row_id, fields) in enumerate(lines):
        raw = written.body(kind, fields)
        yield Envelope(
            tenant="default", account="acme", provider="neutral", stream_kind="account", stream="acme", event_id=written.event_id(kind, row_id),
            receipt=digest(f"line {n}".encode()), received_at=NOON + n * SECOND, digest=digest(raw), source="statement", body=raw.decode(),
        )  # fmt: skip


def projected(database_url: str) -> Bench:
    """Two tenants: the morning, and another one's single call."""
    made = Bench(database_url)
    priced(made)
    other = {"type": "call.started", "call_sid": "other-1", "direction": "inbound", "occurred_at": rfc3339(NOON)}
    made.project(
        [*story(MORNING), *reported(STATES), *stated(), delivery(json.dumps(other).encode(), tenant="other", account="rival")], batches=3
    )
    return made
