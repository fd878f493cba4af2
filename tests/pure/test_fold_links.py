"""Which calls are one journey, which ids one call, which of two bodies stands."""

from __future__ import annotations

import itertools

import pytest

from calls import fold as folding
from calls.history import MOST_CALLS, Delivery
from calls.journey import journey_id
from tests.given import NOON, SECOND, TENANT, codes, delivered, given, journeys


def test_two_calls_that_are_linked_are_one_journey() -> None:
    journey = given("""
        +00:05 call.started @agent-call direction=outbound to=+254720000001
        +00:00 call.started @caller-call direction=inbound from=+254712345678
        +00:06 call.linked @agent-call to_call_sid=caller-call
        +00:09 call.answered @agent-call
        +00:59 call.ended @agent-call
        +01:00 call.ended @caller-call
    """)
    assert [one.call_sid for one in journey.calls] == ["caller-call", "agent-call"]
    assert journey.journey_id == journey_id(TENANT, "caller-call")
    assert (journey.durations.total_ms, journey.durations.talk_ms, journey.outcome) == (60_000, 50_000, "answered")


def test_the_root_is_the_call_without_a_parent_though_another_began_earlier() -> None:
    journey = given(
        "+00:00 call.started @child parent_call_sid=parent\n+00:05 call.started @parent\n+00:20 call.ended @parent\n+00:30 call.ended @child"
    )
    assert journey.calls[0].call_sid == "parent"
    assert journey.ended_at == NOON + 20 * SECOND  # the root call's end
    assert journey.state == "ended"


def test_a_parent_of_which_nothing_is_known_is_no_root() -> None:
    journey = given("+00:00 call.started @child parent_call_sid=parent\n+00:30 call.ended @child")
    assert (journey.journey_id, journey.call_sids) == (journey_id(TENANT, "child"), ["child", "parent"])


def test_without_parents_the_earliest_then_the_smallest_is_the_root() -> None:
    assert given("+5 call.started @a\n+0 call.started @b\n+6 call.linked @a to_call_sid=b").calls[0].call_sid == "b"
    assert given("+0 call.started @b\n+0 call.started @a\n+6 call.linked @b to_call_sid=a").calls[0].call_sid == "a"


@pytest.mark.parametrize(
    "order", list(itertools.permutations(["+0 call.started @{} direction=inbound", "+1 call.answered @{}", "+9 call.ended @{}"]))
)
def test_two_ids_of_one_call_in_any_order(order: tuple[str, ...]) -> None:
    rest, pbx = "3fa85f64-5717-4562-b3fc-2c963f66afa6", "HD_1234"
    told = "\n".join(line.format(sid) for line, sid in zip(order, (rest, pbx, pbx), strict=True))
    for link in (f"+2 call.linked @{rest} alias={pbx}", f"+2 call.linked @{pbx} alias={rest}"):
        journey = given(f"{told}\n{link}")
        assert [(one.call_sid, one.aliases) for one in journey.calls] == [(rest, [pbx])]
        assert journey.journey_id == journey_id(TENANT, rest)
        assert (journey.durations.total_ms, journey.state) == (9_000, "ended")


def test_the_room_of_a_waiting_caller_links() -> None:
    journey = given(
        "+0 call.started @HD_a\n+1 conference.joined @HD_a room=queue-HD_a\n+5 call.started @b\n+6 conference.joined @b room=queue-HD_a"
    )
    assert [one.call_sid for one in journey.calls] == ["HD_a", "b"]


def test_a_room_without_a_name_links_nothing() -> None:
    assert len(journeys("+1 conference.joined @a room=queue-\n+2 conference.joined @b room=queue-")) == 2


def test_other_rooms_and_labels_link_nothing() -> None:
    two = journeys("""
        +0 call.started @a client_request_id=order-7 journey_id=x
        +1 call.started @b client_request_id=order-7 journey_id=x
        +2 conference.joined @a room=sales
        +2 conference.joined @b room=sales
    """)
    assert [one.labels for one in two] == [["order-7", "x"], ["order-7", "x"]]


UNLINKED = "+0 call.started @a\n+1 call.started @b\n+2 call.linked @a to_call_sid=b\n+3 call.unlinked @a to_call_sid=b\n"


def test_an_unlink_undoes_a_link() -> None:
    assert [one.call_sids for one in journeys(UNLINKED)] == [["a"], ["b"]]


def test_linked_again_it_is_one_again() -> None:
    assert given(UNLINKED + "+4 call.linked @b to_call_sid=a").call_sids == ["a", "b"]


def test_an_unlink_undoes_an_alias_a_parent_and_a_room() -> None:
    assert len(journeys("+0 call.started @a\n+1 call.linked @a alias=b\n+2 call.ended @b\n+3 call.unlinked @a alias=b")) == 2
    assert len(journeys("+0 call.started @a\n+0 call.started @b parent_call_sid=a\n+3 call.unlinked @b to_call_sid=a")) == 2
    assert len(journeys("+0 call.started @HD_a\n+1 conference.joined @b room=queue-HD_a\n+3 call.unlinked @b to_call_sid=HD_a")) == 2


def test_an_unlink_from_a_parent_that_nobody_knows() -> None:
    assert given("+0 call.started @b parent_call_sid=a\n+3 call.unlinked @b to_call_sid=a").call_sids == ["b"]


def test_a_call_that_names_itself() -> None:
    given("+0 call.started @a parent_call_sid=a\n+1 call.linked @a to_call_sid=a alias=a\n+2 conference.joined @a room=queue-HD_a")


def test_parents_in_a_ring() -> None:
    journey = given("+0 call.started @a parent_call_sid=c\n+1 call.started @b parent_call_sid=a\n+2 call.started @c parent_call_sid=b")
    assert journey.calls[0].call_sid == "a"


# ---------------------------------------------------------------- conflicts


def test_of_two_bodies_the_first_received_stands() -> None:
    journey = given(
        "+0 call.started\n+10 queue.left queue=q reason=timeout id=x received=+20\n+10 queue.left queue=q reason=abandoned id=x received=+15\n+30 call.ended"
    )
    assert (journey.outcome, journey.events, codes(journey)) == ("abandoned_in_queue", 4, ["conflicting_copy", "unmatched_event"])


def test_three_bodies_under_one_id() -> None:
    journey = given("""
        +0 call.started from=+254712000003 id=x received=+30
        +0 call.started from=+254712000001 id=x received=+10
        +0 call.started from=+254712000002 id=x received=+20
    """)
    assert (journey.caller, journey.events, codes(journey)) == ("+254712000001", 3, ["conflicting_copy", "conflicting_copy"])


def test_received_at_the_same_instant_the_smaller_digest_stands_whichever_was_first() -> None:
    journey = given("+0 call.started from=+254712000001 id=x\n+0 call.started from=+254712000002 id=x")
    assert codes(journey) == ["conflicting_copy"]


def test_the_same_id_on_another_call_or_account_is_another_event() -> None:
    assert len(journeys("+0 call.started @a id=x\n+0 call.started @b id=x")) == 2
    assert codes(given("+0 call.started id=x\n+1 call.started id=x account=other")) == []


def test_two_accounts_that_use_the_same_id_at_the_same_instant_still_have_an_order() -> None:
    journey = given("+0 call.started\n+5 menu.digits menu=m digits=1 id=x account=zeta\n+5 menu.digits menu=m digits=2 id=x account=alpha")
    assert [one.digits for one in journey.menu_path] == ["2", "1"]


# ---------------------------------------------------------------- a body without a time


def pbx(state: str, received: int, call: str = "HD_1") -> Delivery:
    raw = f'{{"sessionId": "{call}", "callSessionState": "{state}", "callerNumber": "+254712345678", "destinationNumber": "+254711000100"}}'
    return delivered(raw.encode(), NOON + received * SECOND, provider="sautikit")


def test_a_body_without_a_time_happened_when_its_first_copy_was_received() -> None:
    journey = given("", pbx("Ringing", 9), pbx("Ringing", 4), pbx("Ringing", 6), pbx("Completed", 20))
    assert (journey.started_at, journey.durations.total_ms, journey.events) == (NOON + 4 * SECOND, 16_000, 2)


# ---------------------------------------------------------------- bounds


def test_a_journey_has_an_end_to_its_growth() -> None:
    story = "".join(f"+{n} call.started @call-{n:03}\n+{n} call.linked @call-{n:03} to_call_sid=call-000\n" for n in range(MOST_CALLS + 30))
    found = journeys(story)
    assert sorted(len(one.calls) for one in found) == [1] * 30 + [MOST_CALLS]
    assert sum(one.events for one in found) == 2 * (MOST_CALLS + 30)
    assert "too_many_calls" in codes(found[0])
    assert all(len(one.anomalies) <= 2 for one in found), "the more are refused, the longer every journey's page"


def test_a_call_has_an_end_to_its_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folding, "MOST_EVENTS", 20)
    journey = given("+0 call.started\n" + "".join(f"+{n} bot.turn leg=bot\n" for n in range(1, 30)) + "+40 call.ended")
    assert (journey.events, journey.state, codes(journey)) == (31, "open", ["too_many_events"])
