"""The models' engines, from the provider's socket to a stand-in of the vendor and back."""

from __future__ import annotations

import asyncio
import json
import math
from array import array
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from receptionist import Desk, flow, line, served, settings, until_closed
from standin_models import KEY, Gemini, Model, OpenAI, standing_in

OPENAI, GEMINI = "openai-realtime", "gemini-live"
TYPES_OF_A_HANDOVER = ["bot.started", "bot.handed_over"]


def sine(rate: int, ms: int, hertz: int = 440) -> bytes:
    return array("h", [int(9000 * math.sin(2 * math.pi * hertz * i / rate)) for i in range(rate * ms // 1000)]).tobytes()


def same_sound(got: bytes, want: bytes) -> bool:
    """Sample by sample, but for the millisecond that a filter takes at either end."""
    a, b = array("h", got), array("h", want)
    return abs(len(a) - len(b)) <= 24 and all(abs(x - y) < 200 for x, y in zip(a[24:], b[24:-24], strict=False))


@asynccontextmanager
async def receptionist(model: Model, /, **step: Any) -> AsyncIterator[tuple[Desk, Any]]:
    """The provider's end of a call that is with that model."""
    engine = OPENAI if isinstance(model, OpenAI) else GEMINI
    async with standing_in(model):
        known = settings(**{engine: {"api_key": KEY, "url": model.url}})
        async with served(flow("reception", engine=engine, **step), known=known) as desk, line(desk) as opened:
            yield desk, opened
    assert model.faults == []


def speaks(opened: Any, pcm: bytes) -> Any:
    async def send() -> None:
        for start in range(0, len(pcm), 640):
            await opened.send(pcm[start : start + 640])

    return send()


# ---------------------------------------------------------------- OpenAI


@pytest.mark.parametrize(("rate", "delta"), [(16000, "response.output_audio.delta"), (8000, "response.audio.delta")])
def test_openai_hears_the_caller_is_heard_and_hands_over(rate: int, delta: str) -> None:
    question, answer = sine(24000, 300, 700), sine(24000, 260)

    async def script(model: OpenAI) -> None:
        await model.until(lambda m: len(m.audio) >= len(question) - 48)
        await model.send("conversation.item.input_audio_transcription.completed", item_id="i_1", transcript="A person, please.")
        await model.begin("r_1")
        await model.say("r_1", "item_1", answer, delta=delta)
        await model.send(delta.replace("audio.delta", "audio_transcript.done"), item_id="item_1", transcript="One moment.")
        await model.error("rate_hiccup")  # most errors can be lived with
        await model.done("r_1", "hand_over")
        await model.socket.wait_closed()

    async def check() -> None:
        model = OpenAI(script, model="gpt-realtime-mini")
        step = {"sampling_rate": rate, "instructions": "Be kind.", "voice": "marin", "model": "gpt-realtime-mini"}
        async with receptionist(model, **step) as (desk, opened):
            await desk.until(lambda d: "bot.started" in d.types)
            await speaks(opened, sine(rate, 300, 700))
            audio, texts = await until_closed(opened)
            assert (opened.close_code, texts, desk.marked) == (1000, [], ["open", "handed_over"])
            assert same_sound(bytes(model.audio), question)
            assert same_sound(audio, sine(rate, 260))
            await desk.until(lambda d: len(d.told) == 4)
            assert [desk.types[0], desk.types[-1]] == TYPES_OF_A_HANDOVER
            assert desk.turns == [("caller", "A person, please."), ("bot", "One moment.")]
            assert desk.told[-1]["to"] == "front"
            assert model.configured["instructions"] == "Be kind."
            assert model.configured["audio"]["output"]["voice"] == "marin"
            assert [one["type"] for one in model.got] == ["response.create"]  # it greets first

    asyncio.run(check())


def test_openai_is_interrupted_and_told_how_much_was_heard() -> None:
    async def script(model: OpenAI) -> None:
        await model.begin("r_1")
        await model.say("r_1", "item_1", sine(24000, 4000))
        await model.until(lambda m: len(m.audio) > 0)
        await model.send("input_audio_buffer.speech_started", audio_start_ms=100, item_id="i_2")
        await model.say("r_1", "item_1", sine(24000, 2000))  # was under way: nobody is to hear it
        await model.done("r_1", "hand_over", status="cancelled")  # what it was about to do, it does not do
        await model.until(lambda m: len(m.got) == 2)
        await model.begin("r_2")
        await model.say("r_2", "item_2", sine(24000, 100, 900))
        await model.done("r_2", "end_call")
        await model.socket.wait_closed()

    async def check() -> None:
        model = OpenAI(script)
        async with receptionist(model) as (desk, opened):
            heard = b""
            while len(heard) < 32000 * 0.3:
                heard += await opened.recv()
            await opened.send(bytes(640))
            rest, texts = await until_closed(opened)
            assert texts == ['{"type":"killAudio"}']
            assert same_sound(rest[-3196:], sine(16000, 100, 900))
            assert len(heard + rest) <= 32000 * 0.9  # of 6.1 s
            truncated = model.got[-1]
            assert (truncated["type"], truncated["item_id"]) == ("conversation.item.truncate", "item_1")
            assert 50 <= truncated["audio_end_ms"] <= len(heard + rest) / 32 - 100
            assert desk.marked == ["open", "ended"]

    asyncio.run(check())


@pytest.mark.parametrize("way", ["expired", "closed", "lost", "no answer"])
def test_when_openai_fails_in_the_middle_the_caller_goes_to_a_human(way: str) -> None:
    async def script(model: OpenAI) -> None:
        await model.begin("r_1")
        await model.say("r_1", "item_1", sine(24000, 5000))
        if way == "expired":
            await model.error("session_expired")
        elif way == "closed":
            await model.socket.close(1001, "Your session hit the maximum duration of 60 minutes.")
        elif way == "lost":
            model.socket.transport.abort()
        else:
            await model.done("r_1", status="failed", status_details={"error": {"code": "rate_limit_exceeded"}})
        await model.socket.wait_closed()

    async def check() -> None:
        async with receptionist(OpenAI(script)) as (desk, opened):
            await until_closed(opened)  # what was still to be said is not waited for
            assert (opened.close_code, desk.marked) == (1000, ["open", "failed"])
            await desk.until(lambda d: d.types == ["bot.started", "bot.ended"])
            assert desk.told[-1]["attributes"]["reason"].startswith("the vendor")

    asyncio.run(check())


# ---------------------------------------------------------------- Gemini


@pytest.mark.parametrize("rate", [16000, 8000])
def test_gemini_hears_the_caller_is_heard_and_hands_over(rate: int) -> None:
    question = sine(rate, 300, 700)

    async def script(model: Gemini) -> None:
        await model.until(lambda m: len(m.audio) == len(question) and m.got)
        for piece in ("A per", "son, please."):
            await model.content(inputTranscription={"text": piece})
        await model.say(sine(24000, 260))
        await model.content(outputTranscription={"text": "One moment."})
        await model.content(generationComplete=True)
        await model.content(turnComplete=True)
        await model.call(one="look_up", two="hand_over")
        await model.until(lambda m: not m.called)
        await model.socket.wait_closed()

    async def check() -> None:
        model = Gemini(script)
        async with receptionist(model, sampling_rate=rate, instructions="Be kind.", voice="Kore") as (desk, opened):
            await desk.until(lambda d: "bot.started" in d.types)
            await speaks(opened, question)
            audio, texts = await until_closed(opened)
            assert (opened.close_code, texts, desk.marked) == (1000, [], ["open", "handed_over"])
            assert (bytes(model.audio), model.rates) == (question, {f"audio/pcm;rate={rate}"})  # the vendor resamples by itself
            assert same_sound(audio, sine(rate, 260))
            await desk.until(lambda d: len(d.told) == 4)
            assert desk.turns == [("caller", "A person, please."), ("bot", "One moment.")]
            assert model.configured["systemInstruction"] == {"parts": [{"text": "Be kind."}]}
            assert "Kore" in json.dumps(model.configured["generationConfig"])
            assert "text" in model.got[0]["realtimeInput"]  # it is asked to greet first

    asyncio.run(check())


def test_gemini_is_interrupted() -> None:
    async def script(model: Gemini) -> None:
        await model.say(sine(24000, 4000))
        await model.content(outputTranscription={"text": "Once upon a"})
        await model.until(lambda m: len(m.audio) > 0)
        await model.content(interrupted=True)
        await model.content(turnComplete=True)
        await model.say(sine(16000, 100, 900), rate=16000)  # whatever rate it says
        await model.content(turnComplete=True)
        await model.call(c="end_call")
        await model.socket.wait_closed()

    async def check() -> None:
        async with receptionist(Gemini(script)) as (desk, opened):
            heard = b""
            while len(heard) < 32000 * 0.3:
                heard += await opened.recv()
            await opened.send(bytes(640))
            rest, texts = await until_closed(opened)
            assert texts == ['{"type":"killAudio"}']
            assert same_sound(rest[-3200:], sine(16000, 100, 900))
            assert len(heard + rest) <= 32000 * 0.9
            assert desk.marked == ["open", "ended"]
            await desk.until(lambda d: len(d.told) == 3)
            assert desk.turns == [("bot", "Once upon a")]

    asyncio.run(check())


@pytest.mark.parametrize("way", ["goes away", "closed", "lost"])
def test_when_gemini_fails_in_the_middle_the_caller_goes_to_a_human(way: str) -> None:
    said = sine(24000, 300)

    async def script(model: Gemini) -> None:
        await model.say(said)
        if way == "goes away":
            await model.send(goAway={"timeLeft": "50s"})
            await model.content(turnComplete=True)
            await model.socket.wait_closed()
        elif way == "closed":
            await model.socket.close(1011, "Deadline expired before operation could complete.")
        else:
            model.socket.transport.abort()

    async def check() -> None:
        async with receptionist(Gemini(script)) as (desk, opened):
            audio, _ = await until_closed(opened)
            assert (opened.close_code, desk.marked) == (1000, ["open", "failed"])
            if way == "goes away":
                assert same_sound(audio, sine(16000, 300))  # its sentence is said to the end
            await desk.until(lambda d: d.types == ["bot.started", "bot.ended"])

    asyncio.run(check())


# ---------------------------------------------------------------- both


async def nothing(_: Model) -> None:
    raise AssertionError("the script runs only where the engine was set up")


@pytest.mark.parametrize("kind", [OpenAI, Gemini])
@pytest.mark.parametrize("way", ["no key", "another key", "nobody there", "refused"])
def test_an_engine_that_cannot_be_had_is_said_at_once_and_nothing_begins(kind: Any, way: str, capsys: pytest.CaptureFixture[str]) -> None:
    async def check() -> None:
        engine = OPENAI if kind is OpenAI else GEMINI
        async with standing_in(kind(nothing, refuse="no such model" if way == "refused" else "")) as model:
            key = {"no key": {}, "another key": {"api_key": "another-key"}}.get(way, {"api_key": KEY})
            url = "ws://127.0.0.1:1/v1" if way == "nobody there" else model.url
            known = settings(**{engine: {"url": url} | key})
            async with served(flow("reception", engine=engine), known=known) as desk, line(desk) as opened:
                assert await until_closed(opened) == (b"", [])
                assert (opened.close_code, desk.marked, desk.types) == (1000, ["failed"], [])
                assert "-key" not in (opened.close_reason or "")
        assert model.faults == []

    asyncio.run(check())
    assert "-key" not in "".join(capsys.readouterr())  # nor is a key in any log


@pytest.mark.parametrize("kind", [OpenAI, Gemini])
def test_rubbish_from_a_vendor_is_passed_over(kind: Any) -> None:
    async def script(model: Any) -> None:
        for rubbish in (b"\xff", "[]", "{", "null", '{"type": 7}', '{"serverContent": []}', '{"toolCall": 1}', "{}"):
            await model.socket.send(rubbish)
        if kind is OpenAI:
            for more in ({"delta": "%%%"}, {"delta": 1}, {}):
                await model.send("response.output_audio.delta", item_id="i", response_id="r", **more)
            await model.send("response.done", response=None)
            await model.done("r", "hand_over")
        else:
            await model.content(modelTurn=None, inputTranscription={"text": 7})
            await model.content(modelTurn={"parts": [{"text": "hm"}, {"inlineData": {"mimeType": "audio/pcm;rate=9", "data": "%"}}]})
            await model.call(a="hand_over")
        await model.socket.wait_closed()

    async def check() -> None:
        async with receptionist(kind(script)) as (desk, opened):
            await until_closed(opened)
            assert desk.marked == ["open", "handed_over"]

    asyncio.run(check())


def test_a_vendor_that_takes_nothing_holds_no_audio_in_memory() -> None:
    """Its socket is full: the line keeps five seconds of the caller, and says what was lost."""

    async def script(model: OpenAI) -> None:
        await model.socket.wait_closed()

    class Deaf(OpenAI):
        async def read(self) -> None:
            self.socket.transport.pause_reading()

    async def check() -> None:
        async with receptionist(deaf := Deaf(script)) as (desk, opened):
            await desk.until(lambda d: "bot.started" in d.types)
            for _ in range(200):
                await opened.send(bytes(65536))
            await (await opened.ping())
            (call,) = {task.get_coro().cr_frame.f_locals["self"] for task in asyncio.all_tasks() if "AudioCall" in repr(task)}  # type: ignore[union-attr]
            assert call.line.lost_ms > 100_000  # of 410 s; the rest is in the sockets' own buffers, or was sent
            assert call.line.heard()._size <= 160_000
            deaf.socket.transport.resume_reading()

    asyncio.run(check())
