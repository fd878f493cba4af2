"""What the audio line is made of: rates, names in metadata, a bounded ear, a paced mouth."""

from __future__ import annotations

import asyncio
import math
from array import array
from typing import Any

import pytest

from api.audio.call import named_by
from api.audio.line import HEARD_FRAMES, Heard, Line
from api.audio.resample import Resampler
from api.audio.scripted import tone


def sine(rate: int, hertz: int = 440, ms: int = 500) -> bytes:
    return array("h", [int(9000 * math.sin(2 * math.pi * hertz * i / rate)) for i in range(rate * ms // 1000)]).tobytes()


def loudness(pcm: bytes, rate: int, hertz: int) -> float:
    """How much of that frequency is in it, 9000 for `sine`."""
    samples = array("h", pcm)[100:]
    swings = [sum(v * f(2 * math.pi * hertz * i / rate) for i, v in enumerate(samples)) for f in (math.sin, math.cos)]
    return 2 * math.hypot(*swings) / len(samples)


# ---------------------------------------------------------------- rates


@pytest.mark.parametrize(("rate", "to"), [(8000, 24000), (16000, 24000), (24000, 8000), (24000, 16000), (24000, 24000)])
def test_another_rate_is_the_same_sound(rate: int, to: int) -> None:
    made = Resampler(rate, to)(sine(rate))
    assert abs(len(made) - to) <= 24  # half a second is `to` bytes
    assert loudness(made, to, 440) == pytest.approx(9000, rel=0.01)


def test_what_the_lower_rate_cannot_carry_does_not_become_another_sound() -> None:
    made = Resampler(24000, 8000)(sine(24000, hertz=7000))
    assert loudness(made, 8000, 1000) < 50


@pytest.mark.parametrize("piece", [1, 3, 320, 641])
def test_pieces_of_any_size_give_the_same_samples(piece: int) -> None:
    pcm, whole, bit = sine(24000, ms=40), Resampler(24000, 16000), Resampler(24000, 16000)
    assert b"".join(bit(pcm[i : i + piece]) for i in range(0, len(pcm), piece)) == whole(pcm)


def test_the_loudest_sound_is_clipped_not_refused() -> None:
    square = array("h", ([32767] * 20 + [-32768] * 20) * 30).tobytes()
    made = array("h", Resampler(8000, 24000)(square))
    assert (max(made), min(made)) == (32767, -32768)


def test_the_scripted_tone_is_gentle_and_has_its_length() -> None:
    made = tone(16000, 600)
    assert len(made) == 16000 * 2 * 6 // 10
    assert 5000 < max(array("h", made)) <= 6000


# ---------------------------------------------------------------- the first text frame


@pytest.mark.parametrize(
    ("text", "sid"),
    [
        ('{"callSid": "HD_1", "sessionId": "HD_2"}', "HD_1"),
        ('{"sessionId": "HD_2", "streamSid": "st_1"}', "HD_2"),
        ('{"metadata": {"call_id": "HD_3"}}', "HD_3"),
        ('{"openMetadata": "{\\"call_sid\\": \\"HD_4\\"}"}', "HD_4"),
        ('{"streamSid": "st_1"}', "st_1"),
        ('{"callSid": ""}', ""),
        ('{"callSid": ["HD_1"]}', ""),
        ("[1, 2]", ""),
        ("hello", ""),
        ("{" * 5000, ""),
        ('{"callSid": "' + "x" * 300 + '"}', ""),
    ],
)
def test_the_metadata_names_the_call(text: str, sid: str) -> None:
    assert named_by(text) == sid


# ---------------------------------------------------------------- hearing


def test_a_slow_engine_loses_the_oldest_and_it_is_counted() -> None:
    async def check() -> None:
        heard = Heard(1000)
        for n in range(10):
            heard.put(bytes([n]) * 200)
        heard.close()
        assert [frame[0] async for frame in heard] == [5, 6, 7, 8, 9]
        assert heard.lost == 1000

    asyncio.run(check())


def test_odd_and_huge_and_tiny_frames_stay_within_the_bound() -> None:
    async def check() -> None:
        heard = Heard(100_000)
        heard.put(b"abc"), heard.put(b"x"), heard.put(b"")
        assert await anext(heard) == b"ab"
        heard.put(b"y" * 250_001)
        assert len(await anext(heard)) == 100_000
        assert heard.lost == 150_000
        for _ in range(3 * HEARD_FRAMES):
            heard.put(b"zz")
        heard.close()
        assert len([frame async for frame in heard]) == HEARD_FRAMES

    asyncio.run(check())


# ---------------------------------------------------------------- saying


class Caller:
    """The far side of a line: what came, and when."""

    def __init__(self, rate: int = 8000) -> None:
        self.loop, self.rate = asyncio.get_running_loop(), rate
        self.came: list[tuple[float, Any]] = []
        self.began = self.loop.time()
        self.line = Line(rate, self.take, on_ready=lambda: None, on_turn=lambda *_: None)

    async def take(self, message: Any) -> None:
        self.came.append((self.loop.time() - self.began, message.get("bytes") or message["text"]))

    @property
    def audio(self) -> bytes:
        return b"".join(frame for _, frame in self.came if isinstance(frame, bytes))


def test_a_long_answer_is_never_more_than_a_fifth_of_a_second_ahead() -> None:
    async def check() -> None:
        caller, answer = Caller(), sine(8000, ms=610)
        await caller.line.say(answer)
        await caller.line.drained(5)
        assert caller.audio == answer
        assert {len(frame) for _, frame in caller.came[:-1]} == {320}  # 20 ms
        sent = 0.0
        for at, frame in caller.came:
            sent += len(frame) / 16000
            assert sent - at <= 0.2 + 0.001, f"{sent:.3f} s of audio after {at:.3f} s"
        assert 0.6 <= caller.loop.time() - caller.began <= 0.9  # drained: heard, not only sent

    asyncio.run(check())


def test_a_barge_in_takes_back_what_was_not_heard() -> None:
    async def check() -> None:
        caller = Caller()
        await caller.line.say(sine(8000, ms=2000))
        await asyncio.sleep(0.05)
        unheard = await caller.line.barge_in()
        assert 1800 <= unheard <= 1960
        assert caller.came[-1][1] == '{"type":"killAudio"}'
        before = len(caller.audio)
        assert before <= 16000 * 0.26
        assert await caller.line.barge_in() == 0
        await asyncio.sleep(0.12)
        assert len(caller.audio) == before
        assert [frame for _, frame in caller.came].count('{"type":"killAudio"}') == 1
        await caller.line.say(b"\1\0" * 160)  # the next answer is heard at once
        await asyncio.sleep(0)
        assert caller.audio[before:] == b"\1\0" * 160

    asyncio.run(check())


def test_saying_waits_where_a_minute_waits_already() -> None:
    async def check() -> None:
        caller = Caller()
        speaking = asyncio.create_task(caller.line.say(bytes(16000 * 61)))
        await asyncio.sleep(0.05)
        assert not speaking.done()
        caller.line.close()
        await asyncio.wait_for(speaking, 1)
        await caller.line.say(b"ab")  # nothing, and no error

    asyncio.run(check())


def test_a_line_whose_other_end_is_gone_is_closed() -> None:
    async def check() -> None:
        async def gone(_: Any) -> None:
            raise OSError

        line = Line(8000, gone, on_ready=lambda: None, on_turn=lambda *_: None)
        await line.say(bytes(320))
        assert [frame async for frame in line.heard()] == []

    asyncio.run(check())
