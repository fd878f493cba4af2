"""µs of each step that every delivery takes, in one process with nothing around it. No marks: for seeing what a change did."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import msgspec

from benchmarks.measuring import Result, Size
from benchmarks.stack import CONFIG, SECRET, Folder
from benchmarks.traffic import START, envelopes, hook_body
from calls.configuration import Configuration
from calls.envelope import Envelope, decode, encode
from calls.facts import facts
from calls.fold import fold
from calls.history import Delivery
from calls.masking import mask
from calls.providers import PROVIDERS, Delivered
from calls.sample import JSON, morning
from ingest.accept import Origin, envelope
from projections import PROJECTIONS
from projections.journal import Arrival, of_arrival
from runtime.settings import Account

CALLS = 200
CONFIGURATIONS = [
    Configuration(since=0, countries={"default": "KE"}, numbers={"acme": ["+254711000100"]}, agents={"+254720000001": "amina"})
]


def run(size: Size) -> list[Result]:
    seconds = size.of(0.5, 0.15)
    with Folder() as folder:
        assert (folder / "safiri.toml").read_text() == CONFIG
        made = list(envelopes(folder / "safiri.toml", 3, CALLS * 10))
    found = {**_accepting(seconds), **_parsing(made, seconds), **_projecting(made, seconds)}
    return [Result(f"micro {name}", what, [value], None, "µs", {}) for name, (what, value) in found.items()]


def timed(work: Callable[[Any], object], inputs: Iterable[Any], seconds: float, per: int = 0) -> float:
    """µs for one input (or `per` things of all of them): the median of several passes over all of them."""
    given = list(inputs)
    passes: list[float] = []
    gc.collect()
    gc.disable()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(passes) < 3:
        began = time.perf_counter()
        for one in given:
            work(one)
        passes.append(time.perf_counter() - began)
    gc.enable()
    return statistics.median(passes) / (per or len(given)) * 1e6


def _accepting(seconds: float) -> dict[str, tuple[str, float]]:
    provider, bodies, now = PROVIDERS["sautikit"], [hook_body(n) for n in range(CALLS)], int(time.time())
    origin = Origin("acme", Account(provider="sautikit"), provider, source="hook")
    signed = [(body, {name.lower(): value for name, value in provider.sign(body, SECRET, now, "").items()}) for body in bodies]
    delivered = [Delivered(body, JSON, {}, START, "acme") for body in bodies]

    def whole(body: bytes) -> Envelope:
        return envelope(origin, body, content_type=JSON, headers={}, received_at=START, signature="verified")

    return {
        "verify": ("signature of a 700-byte body", timed(lambda one: provider.verify(one[0], one[1], [SECRET], now), signed, seconds)),
        "mask": ("a look for card numbers", timed(lambda body: mask(body, JSON, provider.exempt), bodies, seconds)),
        "identify": ("whose it is", timed(provider.identify, delivered, seconds)),
        "envelope": ("mask, digest, identify and make", timed(whole, bodies, seconds)),
    }


def _parsing(made: list[Envelope], seconds: float) -> dict[str, tuple[str, float]]:
    given: dict[str, list[Delivered]] = {"sautikit": [], "neutral": [], "minivoice": []}
    for one in made:
        given[one.provider].append(Delivered(one.raw, one.content_type, one.headers, one.received_at, one.account))
    for sample in morning(1, calls=CALLS, start=START):
        if sample.account == "mini":
            given["minivoice"].append(Delivered(sample.body, sample.content_type, {}, sample.at, "mini"))
    found = {}
    for name, bodies in given.items():
        found[f"parse {name}"] = ("the facts of a delivery", timed(partial(_facts, name), bodies, seconds))
    return found


def _facts(provider: str, delivered: Delivered) -> object:
    return facts(delivered, source="hook", provider=provider, stream="")


def _projecting(made: list[Envelope], seconds: float) -> dict[str, tuple[str, float]]:
    values = [encode(one) for one in made]
    groups: dict[str, list[Delivery]] = {}
    for one in made:
        groups.setdefault(one.stream, []).append(of_arrival(Arrival(one, "", 0, 0)))
    journeys = [journey for deliveries in groups.values() for journey in fold("default", deliveries, CONFIGURATIONS)]
    events = len(made)

    def rows(journey: Any) -> int:
        return sum(len(list(projection.rows(journey))) for projection in PROJECTIONS)

    return {
        "encode": ("an envelope to JSON", timed(encode, made, seconds)),
        "decode": ("an envelope from JSON", timed(decode, values, seconds)),
        "bare decode": ("the same JSON by msgspec, untyped", timed(msgspec.json.decode, values, seconds)),
        "fold": (
            "events to journeys, per event",
            timed(lambda group: fold("default", group, CONFIGURATIONS), groups.values(), seconds, events),
        ),
        "rows": ("journeys to rows, per event", timed(rows, journeys, seconds, events)),
    }
