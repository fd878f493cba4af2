"""One rule of a plan, or a standing charge, as somebody wrote it -> terms, with every fault noted under its field."""

from __future__ import annotations

import re
from datetime import date, datetime
from fractions import Fraction
from itertools import pairwise

from calls.rating.table import MOST, Table
from calls.rating.terms import (
    DIRECTIONS,
    FIRST_MONTHS,
    GRAINS,
    KINDS,
    ROUNDINGS,
    STANDING_FOR,
    UNANSWERED,
    UNITS,
    Applies,
    Rule,
    Standing,
    Step,
    Tax,
)
from calls.voice.hours import DAYS, span

_PREFIX = re.compile(r"\+?([0-9]{1,15})", re.ASCII)
_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_RULE = (
    "applies", "setup_minor", "free_s", "steps", "minimum_s", "cap_minor", "unanswered", "rounding", "grain", "tax", "evidence",
)  # fmt: skip


def rule(table: Table) -> Rule:
    """A rule; what is left out is free of charge or the usual: no setup, no minimum, no cap, half_up, by leg."""
    table.only(*_RULE)
    table.missing("steps", "write steps = [{ from_s = 0, rate_minor = 300, per_s = 60, increment_s = 1 }]")
    return Rule(
        steps=_steps(table) if "steps" in table.raw else (),
        applies=_applies(Table(table.raw["applies"], table.at("applies"), table.faults)) if "applies" in table.raw else Applies(),
        setup_minor=table.whole("setup_minor", most=MOST),
        free_s=table.whole("free_s"),
        minimum_s=table.whole("minimum_s"),
        cap_minor=table.whole("cap_minor", most=MOST) if "cap_minor" in table.raw else None,
        unanswered=table.word("unanswered", UNANSWERED, "free"),
        rounding=table.word("rounding", ROUNDINGS, "half_up"),
        grain=table.word("grain", GRAINS, "leg"),
        tax=_tax(table),
        evidence=table.text("evidence"),
    )


def standing(table: Table) -> Standing:
    """What no call causes: the rent of a number, a place for recordings."""
    table.only("what", "unit", "amount_minor", "free", "first_month", "tax", "evidence")
    for name, says in (("what", ", ".join(STANDING_FOR)), ("unit", ", ".join(UNITS)), ("amount_minor", "what a unit costs a month")):
        table.missing(name, says)
    return Standing(
        what=table.word("what", STANDING_FOR, "rental"),
        unit=table.word("unit", UNITS, "number"),
        amount_minor=table.whole("amount_minor", most=MOST),
        free=table.whole("free"),
        first_month=table.word("first_month", FIRST_MONTHS, "unknown"),
        tax=_tax(table),
        evidence=table.text("evidence"),
    )


def _steps(table: Table) -> tuple[Step, ...]:
    tables = table.tables("steps")
    if not tables:
        table.fault("steps", "must have a step: { from_s = 0, rate_minor = 300, per_s = 60, increment_s = 1 }")
    found = tuple(_step(one) for one in tables)
    if found and found[0].from_s:
        tables[0].fault("from_s", "the first step begins at 0")
    for place, (before, after) in enumerate(pairwise(found), 1):
        if after.from_s <= before.from_s:
            tables[place].fault("from_s", f"must be later than the step before, which begins at {before.from_s}")
        elif (after.from_s - before.from_s) % before.increment_s:
            tables[place].fault(
                "from_s", f"lies inside an increment of the step before: count on from {before.from_s} in {before.increment_s} s"
            )
    return found


def _step(table: Table) -> Step:
    table.only("from_s", "rate_minor", "per_s", "increment_s")
    for name, says in (
        ("rate_minor", 'what per_s seconds cost: 300, or exactly "25/6"'),
        ("per_s", "60 for a rate a minute"),
        ("increment_s", "1 where every second counts, 60 for started minutes"),
    ):
        table.missing(name, says)
    return Step(
        rate_minor=table.rational("rate_minor") if "rate_minor" in table.raw else Fraction(0),
        from_s=table.whole("from_s"),
        per_s=table.whole("per_s", 1, least=1),
        increment_s=table.whole("increment_s", 1, least=1),
    )


def _tax(table: Table) -> Tax | None:
    if "tax" not in table.raw:
        return None
    inner = Table(table.raw["tax"], table.at("tax"), table.faults)
    inner.only("percent", "included")
    percent = None if inner.missing("percent", "write 16") else inner.rational("percent", most=1000)
    included = (
        None if inner.missing("included", "true where the rates contain the tax, false where it comes on top") else inner.flag("included")
    )
    return Tax(percent, included) if percent is not None and included is not None else None


def _applies(table: Table) -> Applies:
    table.only("direction", "kind", "prefix", "sip", "own", "time_of_day", "weekday", "date")
    found = Applies(
        direction=table.word("direction", DIRECTIONS, "outbound") if "direction" in table.raw else None,
        kind=table.word("kind", KINDS, "external") if "kind" in table.raw else None,
        prefix=_prefix(table),
        sip=table.flag("sip"),
        own=_own(table),
        time_of_day=_span(table),
        weekday=_weekdays(table),
        date=_dates(table),
    )
    if found.sip and found.prefix:
        table.fault("prefix", "a SIP address has no prefix: leave out prefix or sip")
    return found


def _prefix(table: Table) -> str | None:
    value = table.raw.get("prefix")
    match = _PREFIX.fullmatch(value) if isinstance(value, str) else None
    if value is not None and match is None:
        table.fault(
            "prefix", 'must be text of 1 to 15 digits, the beginning of an E.164 number such as "254"; for every number leave it out'
        )
    return match[1] if match else None


def _own(table: Table) -> tuple[str, ...] | None:
    listed = table.items("own")
    if listed is None:
        return None
    wrong = [one for one in listed if not isinstance(one, str) or not _E164.fullmatch(one)]
    if wrong or not listed:
        table.fault("own", 'must list numbers of the account in E.164, such as ["+254700000001"]')
    return tuple(sorted({one for one in listed if isinstance(one, str)}))


def _span(table: Table) -> tuple[int, int] | None:
    value = table.raw.get("time_of_day")
    if value is None:
        return None
    if not isinstance(value, str):
        table.fault("time_of_day", 'must be text such as "22:00-06:00"')
        return None
    try:
        return span(value)
    except ValueError as why:
        table.fault("time_of_day", str(why))
        return None


def _weekdays(table: Table) -> tuple[int, ...] | None:
    listed = table.items("weekday")
    if listed is None:
        return None
    found = {DAYS.index(one) for one in listed if isinstance(one, str) and one in DAYS}
    if not listed or any(one not in DAYS for one in listed):
        table.fault("weekday", f"must list days: some of {', '.join(DAYS)}")
    return tuple(sorted(found))


def _dates(table: Table) -> tuple[int, ...] | None:
    listed = table.items("date")
    if listed is None:
        return None
    found = [_date(one) for one in listed]
    if not listed or None in found:
        table.fault("date", 'must list dates such as ["2026-12-25"]')
    return tuple(sorted({one for one in found if one is not None}))


def _date(value: object) -> int | None:
    """The ordinal of a date, written as text or as TOML's own."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.toordinal()
    try:
        return date.fromisoformat(value).toordinal() if isinstance(value, str) and _DATE.fullmatch(value) else None
    except ValueError:
        return None
