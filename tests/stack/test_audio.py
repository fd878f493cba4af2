"""The audio socket as a provider meets it: handshakes, audio both ways, endings, bounds."""

from __future__ import annotations

import asyncio
import json
import resource
from array import array
from typing import Any

import httpx
import pytest
from receptionist import PROTOCOL, SECRETS, Desk, flow, line, served, settings, until_closed
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from api.audio import Ending, Line, Unavailable
from runtime.tokens import token

BURST = b"\0" * 39040  # what a provider's first frame can be


async def refused(desk: Desk, path: str, protocols: list[Any] | None = None) -> tuple[int, dict[str, Any]]:
    """(status, problem) of a handshake that must not succeed."""
    with pytest.raises(InvalidStatus) as caught:
        await connect(desk.url + path, subprotocols=[PROTOCOL] if protocols is None else protocols or None, proxy=None)
    response = caught.value.response
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, json.loads(response.body)


# ---------------------------------------------------------------- the handshake


def test_what_is_no_audio_socket_of_ours_is_refused_before_the_upgrade() -> None:
    async def check() -> None:
        async with served(flow("reception"), flow("own", engine="url", url="wss://bot.example.com")) as desk:
            for path, protocols, status in (
                ("/audio/reception", [], 400),
                ("/audio/reception", ["chat"], 400),
                ("/audio/reception?s=bye", None, 404),
                ("/audio/reception?s=nowhere", None, 404),
                ("/audio/reception?c=" + "x" * 257, None, 400),
                ("/audio/nowhere", None, 404),
                ("/audio/own", None, 404),
            ):
                found, problem = await refused(desk, path, protocols)
                assert (found, problem["status"]) == (status, status), path
            assert (desk.told, desk.marks) == ([], [])

    asyncio.run(check())


def test_the_token_is_asked_for_where_the_account_requires_signatures() -> None:
    async def check() -> None:
        async with served(flow("reception", account="acme", hand_over_after_ms=0)) as desk:
            good, old = (token([secret], "audio", "reception", "HD_1", "greet") for secret in SECRETS)
            other = token(SECRETS, "audio", "reception", "HD_2", "greet")
            for bad in ("", "&k=", f"&k={other}", "&k=%ff%fe", f"&k={good[:-1]}"):
                assert (await refused(desk, f"/audio/reception?c=HD_1&s=greet{bad}"))[0] == 401, bad
            assert (await refused(desk, "/audio/reception"))[0] == 401
            for known in (good, old):
                async with line(desk, f"/audio/reception?c=HD_1&s=greet&k={known}") as opened:
                    assert opened.subprotocol == PROTOCOL
                    await until_closed(opened)
            assert desk.marks[0] == ("default", "acme", "HD_1", "reception", "open")

    asyncio.run(check())


def test_a_plain_request_is_told_to_upgrade_and_other_paths_go_on() -> None:
    async def check() -> None:
        async with served(flow("reception")) as desk, httpx.AsyncClient(base_url=f"http://127.0.0.1:{desk.port}") as http:
            for method in ("GET", "POST"):
                reply = await http.request(method, "/audio/reception")
                assert (reply.status_code, reply.headers["upgrade"], reply.json()["status"]) == (426, "websocket", 426)
            assert (await http.get("/elsewhere")).status_code == 204

    asyncio.run(check())


# ---------------------------------------------------------------- a call with the scripted engine


def test_the_bot_speaks_hands_over_and_closes() -> None:
    async def check() -> None:
        async with served(flow("reception", hand_over_after_ms=300)) as desk:
            began = asyncio.get_running_loop().time()
            async with line(desk) as opened:
                await opened.send(json.dumps({"callSid": "HD_other", "openMetadata": ""}))  # the address was ours, so it counts
                for frame in [BURST] + [b"\1\0" * 320] * 20:
                    await opened.send(frame)
                audio, texts = await until_closed(opened)
                assert (opened.close_code, texts) == (1000, [])
            took = asyncio.get_running_loop().time() - began
            assert 0.3 <= took < 1
            assert len(audio) == 16000 * 2 * 3 // 10  # a tone as long as it was there, never more than real time
            assert max(array("h", audio)) > 5000
            await desk.until(lambda d: len(d.told) == 3)
            assert desk.types == ["bot.started", "bot.turn", "bot.handed_over"]
            assert {(one.stream_kind, one.stream, one.account, one.tenant, one.provider, one.source) for one in desk.envelopes} == {
                ("call", "HD_1", "open", "other", "sautikit", "desk")
            }
            assert {event["leg"] for event in desk.told} == {"bot"}
            assert desk.told[2]["to"] == "front"
            assert desk.marked == ["open", "handed_over"]

    asyncio.run(check())


def test_without_an_address_of_ours_the_metadata_names_the_call_and_audio_may_come_first() -> None:
    async def check() -> None:
        heard: list[bytes] = []
        async with served(flow("reception", sampling_rate=8000), engines={"scripted": listens(heard, 3)}) as desk:
            async with line(desk, "/audio/reception") as opened:
                await opened.send(b"\1\0" * 160)
                await opened.send("rubbish")
                await opened.send('{"no": "name"}')
                await opened.send(b"\2\0" * 160 + b"\7")  # half a sample too much
                await opened.send('{"metadata": {"sessionId": "HD_9"}}')
                await opened.send(b"\3\0" * 160)
                await opened.send('{"sessionId": "HD_10"}')  # too late
                await until_closed(opened)
            assert b"".join(heard) == b"\1\0" * 160 + b"\2\0" * 160 + b"\3\0" * 160
            await desk.until(lambda d: len(d.told) == 2)
            assert {one.stream for one in desk.envelopes} == {"HD_9"}
            assert {said[2] for said in desk.marks} == {"HD_9"}

    asyncio.run(check())


def listens(heard: list[bytes], frames: int) -> Any:
    """An engine that hears so many frames and hands over."""

    def engine(*_: Any) -> Any:
        async def run(line: Line) -> Ending:
            line.ready()
            async for frame in line.heard():
                heard.append(frame)
                if len(heard) == frames:
                    break
            return Ending("handed_over")

        return run

    return engine


def test_who_names_no_call_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.audio.call.NAMED_WITHIN_S", 0.1)

    async def check() -> None:
        async with served(flow("reception")) as desk, line(desk, "/audio/reception") as opened:
            await opened.send(b"\1\0" * 160)
            assert await until_closed(opened) == (b"", [])
            assert opened.close_code == 1008
            assert (desk.told, desk.marks) == ([], [])

    asyncio.run(check())


# ---------------------------------------------------------------- other endings


async def unavailable(_: Line) -> Ending:
    raise Unavailable("no such key")


async def broken(line: Line) -> Ending:
    line.ready()
    raise ZeroDivisionError


async def forever(line: Line) -> Ending:
    line.ready()
    await asyncio.sleep(60)
    return Ending("ended")


async def says_goodbye(line: Line) -> Ending:
    line.ready()
    await line.say(b"\1\0" * 1600)
    line.turn("caller", "My card is 4111 1111 1111 1111\x00 thanks")
    return Ending("ended", "the model called end_call")


@pytest.mark.parametrize(
    ("engine", "types", "marks"),
    [
        (unavailable, [], ["failed"]),
        (broken, ["bot.started", "bot.ended"], ["open", "failed"]),
        (says_goodbye, ["bot.started", "bot.turn", "bot.ended"], ["open", "ended"]),
        (forever, ["bot.started", "bot.ended"], ["open", "ended"]),  # longer than a bot's part may be
    ],
)
def test_however_the_engine_ends_the_outcome_is_kept_before_the_socket_closes(engine: Any, types: list[str], marks: list[str]) -> None:
    async def check() -> None:
        known = settings(scripted={"max_call_s": 0.2})
        async with served(flow("reception"), known=known, engines={"scripted": lambda *_: engine}) as desk, line(desk) as opened:
            audio, _ = await until_closed(opened)
            assert (opened.close_code, desk.marked) == (1000, marks)
            await desk.until(lambda d: len(d.told) == len(types))
            assert desk.types == types
            assert audio == (b"\1\0" * 1600 if engine is says_goodbye else b"")  # what was said is heard before the end
            assert "4111 1111" not in str(desk.told) and "\x00" not in str(desk.told)

    asyncio.run(check())


def test_a_caller_who_leaves_ends_the_engine_and_whoever_is_still_there_gets_the_fallback() -> None:
    async def check() -> None:
        async with served(flow("reception"), engines={"scripted": lambda *_: forever}) as desk:
            async with line(desk):
                await desk.until(lambda d: d.types == ["bot.started"])
            await desk.until(lambda d: d.types == ["bot.started", "bot.ended"] and d.marked == ["open", "failed"])

    asyncio.run(check())


def test_a_position_that_cannot_be_kept_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.audio.telling.MARK_WITHIN_S", 0.1)

    async def check() -> None:
        async with served(flow("reception", hand_over_after_ms=100)) as desk:

            async def away(*_: Any) -> None:
                await asyncio.sleep(60)

            desk.app.mark_bot = away
            async with line(desk) as opened:
                await until_closed(opened)
                assert opened.close_code == 1000
            await desk.until(lambda d: "bot.handed_over" in d.types)

    asyncio.run(check())


def test_a_message_over_the_bound_closes_with_1009() -> None:
    async def check() -> None:
        async with served(flow("reception"), engines={"scripted": lambda *_: forever}) as desk, line(desk) as opened:
            await opened.send(b"\0" * (256 << 10))
            await opened.send(b"\0" * ((256 << 10) + 2))
            await until_closed(opened)
            assert opened.close_code == 1009
            await desk.until(lambda d: d.marked == ["open", "failed"])

    asyncio.run(check())


# ---------------------------------------------------------------- bounds


def test_an_engine_that_does_not_listen_makes_nothing_grow() -> None:
    """Ten minutes of audio in one go: five seconds of it are kept, and the journey shows what was lost."""

    async def check() -> None:
        go, seconds = asyncio.Event(), []

        async def sleeps(line: Line) -> Ending:
            line.ready()
            await go.wait()
            line._caller.close()
            seconds.append(sum([len(frame) async for frame in line.heard()]) / 32000)
            return Ending("handed_over")

        async with served(flow("reception"), engines={"scripted": lambda *_: sleeps}) as desk, line(desk) as opened:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for _ in range(500):
                await opened.send(b"\1\0" * 19520)
            await opened.send("the last")
            await (await opened.ping())  # it is behind everything
            go.set()
            await until_closed(opened)
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 12_000  # kB, of 19,520 sent
            assert 4.5 < seconds[0] <= 5
            await desk.until(lambda d: "bot.handed_over" in d.types)
            assert desk.told[-1]["attributes"]["lost_ms"] == pytest.approx(500 * 1220 - 1000 * seconds[0], abs=1)

    asyncio.run(check())


def test_a_caller_who_does_not_read_makes_nothing_grow() -> None:
    async def check() -> None:
        said = 0

        async def talks(line: Line) -> Ending:
            nonlocal said
            line.ready()
            while True:
                await line.say(bytes(32000))
                said += 1

        async with served(flow("reception"), engines={"scripted": lambda *_: talks}) as desk, line(desk, max_queue=1) as opened:
            await desk.until(lambda _: said >= 60)
            await asyncio.sleep(0.1)
            assert said == 60  # a minute waits, and so does the engine
            opened.transport.abort()
            await desk.until(lambda d: "bot.ended" in d.types)

    asyncio.run(check())


async def echoes(line: Line) -> Ending:
    line.ready()
    async for frame in line.heard():
        await line.say(frame)
    return Ending("ended")


def test_fifty_sockets_at_once_lose_no_frame() -> None:
    async def one(desk: Desk, n: int) -> bool:
        frames = [array("h", [n * 100 + k] * 320).tobytes() for k in range(25)]
        async with line(desk, f"/audio/reception?c=HD_{n}") as opened:
            for frame in frames:
                await opened.send(frame)
                await asyncio.sleep(0.02)
            return [await opened.recv() for _ in frames] == frames

    async def check() -> None:
        async with served(flow("reception"), engines={"scripted": lambda *_: echoes}) as desk:
            assert all(await asyncio.gather(*(one(desk, n) for n in range(50))))
            await desk.until(lambda d: d.types.count("bot.ended") == 50)
            assert {one.stream for one in desk.envelopes} == {f"HD_{n}" for n in range(50)}
            assert not any(event.get("attributes", {}).get("lost_ms") for event in desk.told)

    asyncio.run(check())


def test_the_time_that_a_request_may_take_is_not_that_of_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.heads.WITHIN_S", 0.1)

    async def check() -> None:
        async with served(flow("reception", hand_over_after_ms=300)) as desk, line(desk) as opened:
            await until_closed(opened)
            assert desk.marked == ["open", "handed_over"]

    asyncio.run(check())


def test_a_server_that_stops_leaves_the_caller_to_a_human() -> None:
    async def check() -> None:
        async with served(flow("reception"), engines={"scripted": lambda *_: forever}) as desk:
            opened = await connect(desk.url + "/audio/reception?c=HD_1", subprotocols=[PROTOCOL], proxy=None)
            await desk.until(lambda d: d.types == ["bot.started"])
        with pytest.raises(ConnectionClosed):
            await opened.recv()
        assert opened.close_code == 1012
        assert (desk.marked, desk.types) == (["open", "failed"], ["bot.started", "bot.ended"])

    asyncio.run(check())
