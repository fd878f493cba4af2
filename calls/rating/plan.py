"""A rate plan read from TOML text or from the same as an object, or everything that is wrong with it, field by field."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from itertools import pairwise
from math import lcm

from calls.faults import Faults
from calls.rating.read_rule import rule, standing
from calls.rating.table import Faulty, Table
from calls.rating.terms import Applies, Plan, Rule, Standing, Step, Tax, Version
from calls.rating.writing import written
from calls.voice.hours import is_zone

__all__ = ["Applies", "Faults", "Plan", "Rule", "Standing", "Step", "Tax", "Version", "parse", "written"]

_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
_LONGEST_NAME = 64
_LARGEST_DENOMINATOR = 10**60  # amounts are integers over it; far beyond any published price


def parse(given: str | Mapping[str, object], *, name: str = "") -> Plan:
    """The plan in TOML text, or in an object of the same shape (times as text, dates as text). Raises Faults: all of them.

    A fault's field is its path, such as `versions[0].rules[2].steps[0].rate_minor`; of text that is no TOML, `plan_toml`.
    """
    raw: object = given
    if isinstance(given, str):
        try:
            raw = tomllib.loads(given)
        except (ValueError, RecursionError) as why:
            raise Faults([("plan_toml", f"is no TOML: {why}")]) from None
    faults: Faulty = []
    plan = _plan(Table(raw, "", faults), name)
    if faults:
        raise Faults(list(dict.fromkeys(faults)))
    return plan


def _plan(table: Table, name: str) -> Plan:
    table.only("currency", "timezone", "notes", "versions")
    currency = "" if table.missing("currency", 'write currency = "KES"') else table.text("currency")
    if isinstance(table.raw.get("currency"), str) and not _CURRENCY.fullmatch(currency):
        table.fault("currency", 'must be the three capital letters of a currency, such as "KES"')
    zone = table.text("timezone")
    if zone and not is_zone(zone):
        table.fault("timezone", "is no IANA time zone such as Africa/Nairobi")
    table.missing("versions", "write [[versions]] with version, valid_from and its rules")
    tables = table.tables("versions")
    versions = tuple(_version(one) for one in tables)
    if "versions" in table.raw and not versions:
        table.fault("versions", "must have a version: write [[versions]]")
    _ordered(tables, versions)
    return Plan(name, currency, versions, zone or None, table.text("notes"))


def _version(table: Table) -> Version:
    table.only("version", "valid_from", "appended_at", "evidence", "rules", "standing")
    name = "" if table.missing("version", 'its name, such as version = "2026-06"') else table.text("version", most=_LONGEST_NAME)
    if "version" in table.raw and table.raw["version"] == "":
        table.fault("version", 'must not be empty: write a name such as "2026-06"')
    begins = 0 if table.missing("valid_from", "since when it is in force, such as 2026-06-01T00:00:00Z") else table.time("valid_from")
    rules = tuple(rule(one) for one in table.tables("rules"))
    if lcm(*(step.rate_minor.denominator for one in rules for step in one.steps)) > _LARGEST_DENOMINATOR:
        table.fault("rules", "their rates have no common denominator below 10^60: write them as simpler fractions")
    return Version(
        version=name,
        valid_from=begins,
        rules=rules,
        evidence=table.text("evidence"),
        standing=tuple(standing(one) for one in table.tables("standing")),
        appended_at=table.time("appended_at") if "appended_at" in table.raw else None,
    )


def _ordered(tables: list[Table], versions: tuple[Version, ...]) -> None:
    """One version is in force at a time: names differ, and each begins later than the one before."""
    seen: dict[str, int] = {}
    for place, version in enumerate(versions):
        first = seen.setdefault(version.version, place)
        if version.version and first != place:
            tables[place].fault("version", f"is the name of versions[{first}] too: give it one of its own")
    for place, (before, after) in enumerate(pairwise(versions), 1):
        if "valid_from" not in tables[place].raw or "valid_from" not in tables[place - 1].raw:
            continue
        if after.valid_from == before.valid_from:
            tables[place].fault("valid_from", f"is that of versions[{place - 1}] too: two versions cannot begin at one time")
        elif after.valid_from < before.valid_from:
            tables[place].fault("valid_from", f"is earlier than that of versions[{place - 1}]: write versions in the order of valid_from")
