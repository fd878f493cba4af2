"""Where calls stand, on a real Postgres: many at once, races, marks, and a Postgres that is not there."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from api.voice.positions import Key, Position, Positions
from calls.voice.position import State
from runtime.problems import Retry


def key(sid: str = "", flow: str = "ivr") -> Key:
    return Key("default", "lines", sid or f"HD_{uuid.uuid4().hex}", flow)


def at(visit: int, answer: bytes = b"{}", **more: Any) -> Position:
    return Position(State(step="menu", visit=visit, waits=more.pop("waits", "menu"), **more), answer, "application/json")


def play(database_url: str, story: Callable[[Positions], Awaitable[None]]) -> None:
    async def played() -> None:
        positions = Positions(database_url)
        try:
            await asyncio.wait_for(story(positions), 30)
        finally:
            await positions.close()

    asyncio.run(played())


def test_what_is_kept_is_found_by_anybody(database_url: str) -> None:
    async def story(positions: Positions) -> None:
        one, odd = key(), b"\x00\xff\x1f'" + "é".encode()
        state = State(
            step="mé\u2028nu", visit=3, tries=1, waits="dial", since=1_790_000_000_000_000, to="sip:a'b\"c@x", dial_answered=False
        )
        assert await positions.find(one) is None
        kept = Position(state, odd, "application/xml")
        assert await positions.keep(one, kept) is kept
        assert await Positions(database_url).find(one) == kept
        assert await positions.find(key(one.call_sid, "other")) is None

    play(database_url, story)


def test_only_what_is_further_is_kept_and_the_loser_is_given_the_winners(database_url: str) -> None:
    async def story(positions: Positions) -> None:
        one, other = key(), Positions(database_url)
        await positions.keep(one, at(1))
        found = await asyncio.gather(*((positions, other)[n % 2].keep(one, at(2, b"answer %d" % n)) for n in range(10)))
        assert len({position.answer for position in found}) == 1
        assert (await other.keep(one, at(1, b"late"))).answer == found[0].answer
        assert (await positions.keep(one, at(3, b"next"))).answer == b"next"
        await other.close()

    play(database_url, story)


def test_many_at_once_are_a_few_statements(database_url: str) -> None:
    async def story(positions: Positions) -> None:
        asked: list[str] = []
        rows = positions.link.rows

        async def counted(statement: str, values: Any) -> Any:
            asked.append(statement)
            return await rows(statement, values)

        positions.link.rows = counted  # type: ignore[method-assign]
        keys = [key() for _ in range(300)]
        await positions.find(keys[0])
        asked.clear()
        await asyncio.gather(*(positions.keep(one, at(1, one.call_sid.encode())) for one in keys))
        found = await asyncio.gather(*(positions.find(one) for one in keys))
        assert [position.answer.decode() for position in found if position] == [one.call_sid for one in keys]
        assert len(asked) <= 4

    play(database_url, story)


def test_marks_change_the_state_and_nothing_else(database_url: str) -> None:
    async def story(positions: Positions) -> None:
        other, bot, caller, dial = Positions(database_url), key(), key(), key()
        await positions.keep(bot, at(1, waits="bot"))
        for mark, stands in (("open", "open"), ("handed_over", "handed_over"), ("failed", "handed_over"), ("open", "handed_over")):
            await other.mark_bot(*bot, mark)  # type: ignore[arg-type]
            found = await positions.find(bot)
            assert found == at(1, waits="bot", bot=stands), mark
        await positions.keep(caller, at(4, waits="queue", queue="support", since=1_790_000_000_000_001))
        await other.mark_served(tenant="default", account="lines", call_sid=caller.call_sid)
        assert await positions.find(caller) == at(4, waits="queue", queue="support", since=1_790_000_000_000_001, served=True)
        await positions.keep(dial, at(2, waits="dial"))
        await positions.mark_dialled(dial, False)
        await positions.mark_served(tenant="default", account="lines", call_sid=dial.call_sid)  # waits in no queue
        assert await other.find(dial) == at(2, waits="dial", dial_answered=False)
        assert await other.of_call(dial) == ("ivr", at(2, waits="dial", dial_answered=False))
        await positions.mark_bot(*key(), "failed")  # never heard of
        await other.close()

    play(database_url, story)


def test_a_row_of_another_version_is_as_if_it_were_not_there(database_url: str) -> None:
    async def story(positions: Positions) -> None:
        one, good = key(), key()
        await positions.keep(one, at(1)), await positions.keep(good, at(1))
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute('UPDATE safiri.voice_calls SET state = \'{"visit": "x"}\' WHERE call_sid = %s', (one.call_sid,))
        other = Positions(database_url)
        found = await asyncio.gather(other.find(one), other.find(good))
        assert found == [None, at(1)]
        await other.close()

    play(database_url, story)


@pytest.fixture
def silent() -> Any:
    """An address where somebody listens who never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield f"postgresql://x:x@127.0.0.1:{listening.getsockname()[1]}/x"


def test_a_postgres_that_is_silent_costs_one_wait_a_second(silent: str) -> None:
    async def story(positions: Positions) -> None:
        async def ask() -> float:
            began = time.monotonic()
            with pytest.raises(Retry):
                await positions.find(key())
            return time.monotonic() - began

        first = await asyncio.gather(*(ask() for _ in range(50)))
        assert 0.2 < max(first) < 0.6
        assert max(await asyncio.gather(*(ask() for _ in range(50)))) < 0.1
        await asyncio.sleep(1.05)
        assert 0.2 < await ask() < 0.6
        assert await ask() < 0.1

    play(silent, story)


def test_what_this_process_said_is_remembered_while_postgres_is_away(silent: str) -> None:
    async def story(positions: Positions) -> None:
        one = key()
        with pytest.raises(Retry):
            await positions.keep(one, at(1, waits="bot"))
        assert await positions.find(one) == at(1, waits="bot")
        with pytest.raises(Retry):
            await positions.mark_bot(*one, "failed")
        assert await positions.find(one) == at(1, waits="bot", bot="failed")

    play(silent, story)


def test_a_connection_that_broke_is_opened_again(database_url: str) -> None:
    async def story(positions: Positions) -> None:
        one = key()
        await positions.keep(one, at(1))
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'safiri voice positions'")
        assert await positions.find(one) == at(1)
        assert await positions.find(key()) is None

    play(database_url, story)


def test_what_postgres_could_not_take_is_written_when_it_can(database_url: str) -> None:
    async def story(positions: Positions) -> None:
        one, ask, away = key(), positions.link.rows, True

        async def stands_still(*asked: Any) -> Any:
            if away:
                raise Retry("Postgres stands still")
            return await ask(*asked)

        positions.link.rows = stands_still  # type: ignore[method-assign]
        with pytest.raises(Retry):
            await positions.keep(one, at(2, b"said without it"))
        away = False
        assert positions._making_good is not None
        await positions._making_good
        found = await Positions(database_url).find(one)
        assert found == at(2, b"said without it")

    play(database_url, story)
