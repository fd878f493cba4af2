"""Every parameter of a question about numbers: how its text is read, what it says, and its schema.

Readers raise ValueError with a sentence for whoever wrote the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias, get_args

import msgspec

from calls.clock import Micros, parse_time
from calls.journey import DIRECTIONS, OUTCOMES
from calls.metrics.catalogue import METRICS, PRESETS
from calls.metrics.measures import Attribution
from calls.metrics.question import DIMENSIONS, Interval
from calls.parameters import ATTRIBUTE, LONGEST, one_of, plain, whole, zoned_time
from calls.voice.hours import is_zone

Value: TypeAlias = str | int | tuple[str, ...]
Schema: TypeAlias = dict[str, object]
LONGEST_THRESHOLD_S = 86_400
MOST_DAYS = 366
MOST_EXPLAINED = 1000
INTERVALS: tuple[str, ...] = get_args(Interval)
ATTRIBUTIONS: tuple[str, ...] = get_args(Attribution)
SIDES = ("numerator", "denominator")
GROUP = "group."
_LONGEST_LIST = 8192
_FIRST, _LAST = parse_time("1900-01-01T00:00:00Z") or 0, parse_time("2200-01-01T00:00:00Z") or 0


class Parameter(msgspec.Struct, frozen=True):
    """`read` gives the value; `many`: it may be given more than once."""

    read: Callable[[str], Value]
    says: str
    schema: Schema
    many: bool = False


def _time(text: str) -> Micros:
    at = zoned_time(plain(text))
    if not _FIRST <= at <= _LAST:
        raise ValueError("a time outside the years 1900 to 2199")
    return at


def _list(text: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in plain(text, _LONGEST_LIST).split(","))
    if "" in found:
        raise ValueError("a comma too many: nothing is named beside it")
    if twice := sorted({part for part in found if found.count(part) > 1}):
        raise ValueError(f"named twice: {', '.join(twice)}")
    return found


def _metrics(text: str) -> tuple[str, ...]:
    found = _list(text)
    if unknown := [name for name in found if name not in METRICS]:
        raise ValueError(f"no metric {', '.join(map(repr, unknown))}; there are {', '.join(METRICS)}")
    return found


def _groups(text: str) -> tuple[str, ...]:
    found = _list(text)
    if unknown := [name for name in found if not is_dimension(name)]:
        raise ValueError(f"cannot group by {', '.join(map(repr, unknown))}; one can by {', '.join(DIMENSIONS)} and {ATTRIBUTE}NAME")
    return found


def is_dimension(name: str) -> bool:
    """Whether facts can be grouped and filtered by it."""
    return name in DIMENSIONS or (name.startswith(ATTRIBUTE) and len(name) > len(ATTRIBUTE) and name.isprintable())


def _zone(text: str) -> str:
    if not is_zone(plain(text)):
        raise ValueError(f"{text!r} is no IANA time zone such as Africa/Nairobi or UTC")
    return text


def _seconds(text: str) -> int:
    """Milliseconds."""
    match = re.fullmatch(r"(\d{1,6})(?:\.(\d{1,3}))?", plain(text).strip(), re.ASCII)
    ms = int(match[1]) * 1000 + int((match[2] or "").ljust(3, "0")) if match else -1
    if not 0 <= ms <= LONGEST_THRESHOLD_S * 1000:
        raise ValueError(f"not a number of seconds from 0 to {LONGEST_THRESHOLD_S} (to the millisecond)")
    return ms


def _choice(says: str, choices: Sequence[str]) -> Parameter:
    return Parameter(lambda text: one_of(plain(text), choices), says, {"type": "string", "enum": list(choices)})


def _number(says: str, *, least: int, most: int) -> Parameter:
    return Parameter(lambda text: whole(plain(text), least=least, most=most), says, {"type": "integer", "minimum": least, "maximum": most})


def _of_cells(says: str, *, least: int, most: int) -> Parameter:
    """A filter on the instant, kept as text as every filter is."""
    one = _number(says, least=least, most=most)
    return msgspec.structs.replace(one, read=lambda text: str(one.read(text)))


def _name(text: str) -> str:
    """Text as a row of an answer may have it: a queue can be called by a space."""
    if text and not text.strip() and len(text) <= LONGEST:
        return text
    return plain(text)


def _word(says: str) -> Parameter:
    return Parameter(_name, says, {"type": "string", "minLength": 1, "maxLength": LONGEST})


_WHEN: Schema = {"type": "string", "format": "date-time"}
_THRESHOLD: Schema = {"type": "number", "minimum": 0, "maximum": LONGEST_THRESHOLD_S}

FROM_TO: dict[str, Parameter] = {
    "from": Parameter(_time, "What is attributed to this time or later (RFC 3339 with a zone).", _WHEN),
    "to": Parameter(_time, "What is attributed to before this time (RFC 3339 with a zone).", _WHEN),
}
FILTERS: dict[str, Parameter] = {
    "queue": _word("Of this queue."),
    "agent": _word("Of this agent: a visit's is who answered it."),
    "direction": _choice("Of the root call.", DIRECTIONS),
    "account": _word("Of this account."),
    "flow": _word("Of calls that this flow answered."),
    "menu": _word("After this menu: the last one before the visit or the answer."),
    "outcome": _choice("Of journeys with this outcome.", OUTCOMES),
    "hour": _of_cells("Only this hour of the day (0 to 23, in tz).", least=0, most=23),
    "weekday": _of_cells("Only this day of the week (1 = Monday, in tz).", least=1, most=7),
}
ATTRIBUTE_FILTER = _word("The attribute NAME has this text (numbers and booleans as JSON writes them).")
GROUP_VALUE = Parameter(lambda text: text and _name(text), "A value of the group, as in a row of the answer.", {"type": "string"})
THRESHOLDS: dict[str, Parameter] = {
    "threshold_s": Parameter(_seconds, "Within means wait ≤ this; without it each queue's own, else 20.", _THRESHOLD),
    "short_abandon_s": Parameter(_seconds, "A short abandon waited this long or less; without it each queue's own, else 5.", _THRESHOLD),
    "window_days": _number("Days within which a call of the same caller is a repeat (7).", least=1, most=MOST_DAYS),
}
CALENDAR: dict[str, Parameter] = {
    "tz": Parameter(_zone, "IANA time zone of days, hours and weekdays; the tenant's own where absent.", {"type": "string"}),
    "hours": Parameter(plain, "Only what is attributed to these hours, such as `mon-fri 08:00-17:00`.", {"type": "string"}, many=True),
}
QUERY: dict[str, Parameter] = {
    "metrics": Parameter(_metrics, "Ids of the catalogue, with commas between; not needed with a preset.", {"type": "string"}),
    **FROM_TO,
    "interval": _choice("Length of the rows' intervals (all).", INTERVALS),
    "group_by": Parameter(_groups, f"{', '.join(DIMENSIONS)} or {ATTRIBUTE}NAME, with commas between.", {"type": "string"}),
    **CALENDAR,
    **THRESHOLDS,
    "attribution": _choice("To which interval something belongs; each metric's own rule where absent.", ATTRIBUTIONS),
    "preset": _choice("Another product's metrics and rules.", list(PRESETS)),
    "fill": _choice("`zero`: rows for empty intervals too.", ("zero",)),
    "compare": _choice("`previous`: the period of equal length before as well.", ("previous",)),
    **FILTERS,
}
EXPLAIN: dict[str, Parameter] = {
    **QUERY,
    "interval_start": Parameter(_time, "Which row: its interval_start. Without it, the whole range.", _WHEN),
    "side": _choice("Whether the amounts add up to the numerator or to the denominator.", SIDES),
    "journey_id": _word("Only this journey: what it adds, or why it adds nothing."),
    "known_since": Parameter(_time, "Only what changed by events that were received at this time or later.", _WHEN),
    "limit": _number("Contributions a page.", least=1, most=MOST_EXPLAINED),
    "cursor": _word("next_cursor of the page before."),
}
BRIDGE: dict[str, Parameter] = {
    "metric": _choice("What is compared: `sl`, the presets' service levels.", ("sl",)),
    "from_preset": _choice("The preset to begin with.", list(PRESETS)),
    "to_preset": _choice("The preset to end with.", list(PRESETS)),
    **FROM_TO,
    **CALENDAR,
    **{name: THRESHOLDS[name] for name in ("threshold_s", "short_abandon_s")},
    **FILTERS,
}
