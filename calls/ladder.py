"""A journey as text for a terminal: who, what became of it, and every step of it in order of time.

The text is at most 100 columns wide, plain, and safe to print: control characters from outside are shown, not obeyed.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import UTC, tzinfo

import msgspec

from calls.clock import Micros, milliseconds, parse_time, to_datetime
from calls.money import amount, money

WIDTH = 100
_LABEL = 12


class _Segment(msgspec.Struct):
    kind: str
    started_at: str
    ended_at: str | None
    duration_ms: int | None


class _Leg(msgspec.Struct):
    leg: str
    kind: str
    address: str | None
    agent: str | None
    queue: str | None
    started_at: str
    answered_at: str | None
    ended_at: str | None
    ended_by: str | None
    cause: str | None
    segments: list[_Segment]


class _Call(msgspec.Struct):
    call_sid: str
    aliases: list[str]
    caller: str | None
    called: str | None
    started_at: str
    answered_at: str | None
    ended_at: str | None
    legs: list[_Leg]


class _Visit(msgspec.Struct):
    queue: str
    entered_at: str
    left_at: str | None
    wait_ms: int | None
    outcome: str
    agent: str | None


class _Step(msgspec.Struct):
    menu: str | None
    digits: str | None
    at: str
    timed_out: bool


class _Anomaly(msgspec.Struct):
    code: str
    detail: str


class _Charge(msgspec.Struct):
    call_sid: str
    leg: str
    plan: str
    version: str | None
    amount_minor: int | None
    currency: str | None
    unrated: str = ""


class _Journey(msgspec.Struct):
    """What the ladder reads of a journey's JSON."""

    journey_id: str
    account: str
    direction: str | None
    caller: str | None
    called: str | None
    started_at: str
    ended_at: str | None
    state: str
    outcome: str
    ended_by: str | None
    durations: dict[str, int | None]
    calls: list[_Call]
    queue_visits: list[_Visit]
    menu_path: list[_Step]
    anomalies: list[_Anomaly]
    labels: list[str]
    complete: bool
    events: int
    charges: list[_Charge] = []
    complete_through: str | None = None


class _Line(msgspec.Struct, frozen=True):
    at: Micros
    text: str


def ladder(document: bytes | str, zone: tzinfo = UTC) -> str:
    """`document`: the JSON of `GET /v1/journeys/{id}`. Raises msgspec.MsgspecError where it is none. Ends with a newline."""
    journey = msgspec.json.decode(document, type=_Journey)
    steps = sorted([*_calls(journey), *_menus(journey), *_visits(journey)], key=lambda line: line.at)  # stable: as told at one instant
    start = _at(journey.started_at)
    body = [f"{offset(line.at - start):>12}  {line.text}" for line in steps]
    costs = [_clip(line) for line in _costs(journey)]
    notes = [f"! {one.code}: {one.detail}" for one in journey.anomalies]
    lines = [*_head(journey, zone), "", *(_clip(line) for line in body), *([""] if costs else []), *costs]
    lines += [*([""] if notes else []), *_wrapped(notes)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def plain(text: str) -> str:
    """`text` on one line, with control and invisible characters as escapes: what came from outside must not steer a terminal."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape", "surrogatepass").decode() for letter in text)


def offset(micros: int) -> str:
    """`+00:12.345`, with hours where there are any; `-` before the start."""
    total = abs(micros) // 1000
    minutes, seconds = divmod(total // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    shown = f"{minutes:02d}:{seconds:02d}.{total % 1000:03d}"
    return ("-" if micros < 0 else "+") + (f"{hours}:{shown}" if hours else shown)


def spoken(ms: int | None) -> str:
    """A length for people: `-`, `850 ms`, `12.3 s`, `4 min 05 s`, `2 h 03 min`."""
    if ms is None:
        return "-"
    if ms < 1000:
        return f"{ms} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    minutes, seconds = divmod(ms // 1000, 60)
    return f"{minutes} min {seconds:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def moment(text: str | None, zone: tzinfo) -> str:
    """`2026-09-01 11:00:00.000 +03:00`, `-` where there is none."""
    at = parse_time(text)
    if at is None:
        return "-"
    shown = to_datetime(at).astimezone(zone).isoformat(sep=" ", timespec="milliseconds")
    return f"{shown[:-6]} {shown[-6:]}"


# ---------------------------------------------------------------- the head


def _head(journey: _Journey, zone: tzinfo) -> list[str]:
    parties = f"{plain(journey.caller or 'unknown')} ──> {plain(journey.called or 'unknown')}"
    by = f", ended by {journey.ended_by}" if journey.ended_by else ""
    spent = [f"{name[:-3]} {spoken(ms)}" for name, ms in journey.durations.items() if ms]
    rows = [
        ("journey", journey.journey_id),
        ("", f"{journey.direction or 'direction unknown'}  {parties}  ({plain(journey.account)})"),
        ("outcome", f"{journey.outcome} ({journey.state}{by})"),
        ("started", moment(journey.started_at, zone)),
        ("ended", moment(journey.ended_at, zone)),
        ("spent", ", ".join(spent) or "-"),
        *(("call" if n == 0 else "", _ids(call)) for n, call in enumerate(journey.calls)),
        *((("label", plain(label))) for label in journey.labels),
        ("events", f"{journey.events}, {'complete' if journey.complete else 'incomplete: something is missing'}"),
        *([("as of", moment(journey.complete_through, zone))] if journey.complete_through else []),
    ]
    return [line for label, text in rows for line in _row(label, text)]


def _ids(call: _Call) -> str:
    aliases = ", ".join(plain(alias) for alias in call.aliases)
    return plain(call.call_sid) + (f"  (also {aliases})" if aliases else "")


def _row(label: str, text: str) -> list[str]:
    found = textwrap.wrap(text, WIDTH - _LABEL, break_on_hyphens=False) or ["-"]
    return [f"{label if n == 0 else '':<{_LABEL}}{line}" for n, line in enumerate(found)]


# ---------------------------------------------------------------- the steps


def _calls(journey: _Journey) -> Iterator[_Line]:
    for call in journey.calls:
        caller, called = plain(call.caller or "caller"), plain(call.called or "called")
        yield _Line(_at(call.started_at), f"{caller} ──> {called}  call begins")
        if call.answered_at:
            yield _Line(_at(call.answered_at), f"{caller} <── {called}  answered")
        for leg in call.legs:
            yield from _leg(leg)
        if call.ended_at:
            by = f", by {journey.ended_by}" if journey.ended_by and call is journey.calls[0] else ""
            yield _Line(_at(call.ended_at), f"{caller} ──x {called}  call ends{by}")


def _leg(leg: _Leg) -> Iterator[_Line]:
    who = _who(leg)
    if leg.leg != "caller":
        came = f"queue {plain(leg.queue)}" if leg.queue else "caller"
        yield _Line(_at(leg.started_at), f"{came} ──> {who}")
        if leg.answered_at:
            yield _Line(_at(leg.answered_at), f"{came} <── {who}  answered")
    for segment in leg.segments:
        if segment.kind in ("hold", "bot"):
            yield _Line(_at(segment.started_at), f"{who} ··· {segment.kind} {spoken(segment.duration_ms)}")
    if leg.leg != "caller" and leg.ended_at:
        talked = f" after {spoken(milliseconds(_at(leg.answered_at), _at(leg.ended_at)))}" if leg.answered_at else ", never answered"
        why = "".join(f", {plain(text)}" for text in (leg.cause, f"by {leg.ended_by}" if leg.ended_by else None) if text)
        yield _Line(_at(leg.ended_at), f"{who} ──x leaves{talked}{why}")


def _who(leg: _Leg) -> str:
    name = leg.agent or leg.address or leg.leg
    return f"{leg.kind} {plain(name)}" if name != leg.kind else leg.kind


def _visits(journey: _Journey) -> Iterator[_Line]:
    for visit in journey.queue_visits:
        queue = f"queue {plain(visit.queue)}"
        yield _Line(_at(visit.entered_at), f"caller ──> {queue}")
        if visit.left_at:
            by = f" by {plain(visit.agent)}" if visit.agent else ""
            yield _Line(_at(visit.left_at), f"caller <── {queue}  {visit.outcome}{by} after {spoken(visit.wait_ms)}")


def _menus(journey: _Journey) -> Iterator[_Line]:
    for step in journey.menu_path:
        pressed = f"presses {plain(step.digits)}" if step.digits else "presses nothing"
        yield _Line(_at(step.at), f"caller ──> menu {plain(step.menu or '?')}  {pressed}{' (timed out)' if step.timed_out else ''}")


# ---------------------------------------------------------------- what it cost


def _costs(journey: _Journey) -> Iterator[str]:
    """A line a leg, and the total; of legs that are not over there is none yet."""
    names = {(call.call_sid, leg.leg): _who(leg) for call in journey.calls for leg in call.legs if leg.leg != "caller"}
    for one in journey.charges:
        of_call = f" of {plain(one.call_sid)}" if len(journey.calls) > 1 and one.leg == "caller" else ""
        who = names.get((one.call_sid, one.leg), plain(one.leg)) + of_call
        by = f"{plain(one.plan)} {plain(one.version)}" if one.version else plain(one.plan)
        why = f": {plain(one.unrated)}" if one.amount_minor is None and one.unrated else ""
        yield f"{amount(one.amount_minor, one.currency):>12}  {who}, {by}{why}"
    if journey.charges:
        yield f"{_total(journey.charges):>12}  in all{_unrated(journey.charges)}"


def _total(charges: list[_Charge]) -> str:
    sums: dict[str, int] = {}
    for one in charges:
        if one.amount_minor is not None:
            sums[one.currency or ""] = sums.get(one.currency or "", 0) + one.amount_minor
    return " + ".join(money(minor, currency) for currency, minor in sorted(sums.items())) or "-"


def _unrated(charges: list[_Charge]) -> str:
    several = sum(one.amount_minor is None for one in charges)
    return f", without {several} unrated {'leg' if several == 1 else 'legs'}" if several else ""


# ---------------------------------------------------------------- small things


def _at(text: str | None) -> Micros:
    return parse_time(text) or 0


def _clip(line: str) -> str:
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


def _wrapped(notes: list[str]) -> list[str]:
    return [line for note in notes for line in textwrap.wrap(plain(note), WIDTH, subsequent_indent="  ")]
