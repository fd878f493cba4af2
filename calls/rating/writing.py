"""A plan as TOML text that reads as the same plan again: what is usual is left out, exact rates stay exact."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from fractions import Fraction

from calls.clock import rfc3339
from calls.rating.terms import Applies, Plan, Rule, Standing, Step, Tax, Version
from calls.voice.hours import DAYS


def written(plan: Plan) -> str:
    """TOML; its name is no part of it."""
    lines = [f"currency = {_text(plan.currency)}"]
    lines += [f"timezone = {_text(plan.timezone)}"] if plan.timezone else []
    lines += [f"notes = {_text(plan.notes)}"] if plan.notes else []
    for version in plan.versions:
        lines += ["", *_version(version)]
    return "\n".join(lines) + "\n"


def exact(value: Fraction) -> str:
    """As a plan writes it: an integer, or a rational as text."""
    return str(value) if value.denominator == 1 else f'"{value}"'


def clock(minutes: tuple[int, int]) -> str:
    """`22:00-06:00`."""
    start, end = minutes
    end = end if end <= 1440 else end - 1440
    return f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"


def _version(version: Version) -> list[str]:
    lines = ["[[versions]]", f"version = {_text(version.version)}", f"valid_from = {rfc3339(version.valid_from)}"]
    lines += [f"appended_at = {rfc3339(version.appended_at)}"] if version.appended_at is not None else []
    lines += [f"evidence = {_text(version.evidence)}"] if version.evidence else []
    for rule in version.rules:
        lines += ["", "[[versions.rules]]", *_rule(rule)]
    for one in version.standing:
        lines += ["", "[[versions.standing]]", *_standing(one)]
    return lines


def _rule(rule: Rule) -> list[str]:
    applies = _applies(rule.applies)
    lines = [f"applies = {applies}"] if applies != "{  }" else []
    for name, value in (("setup_minor", rule.setup_minor), ("free_s", rule.free_s), ("minimum_s", rule.minimum_s)):
        lines += [f"{name} = {value}"] if value else []
    lines.append(f"steps = [{', '.join(map(_step, rule.steps))}]")
    lines += [f"cap_minor = {rule.cap_minor}"] if rule.cap_minor is not None else []
    lines += [f'unanswered = "{rule.unanswered}"'] if rule.unanswered != "free" else []
    return [*lines, f'rounding = "{rule.rounding}"', f'grain = "{rule.grain}"', *_tax(rule.tax), *_evidence(rule.evidence)]


def _standing(one: Standing) -> list[str]:
    lines = [f'what = "{one.what}"', f'unit = "{one.unit}"', f"amount_minor = {one.amount_minor}"]
    lines += [f"free = {one.free}"] if one.free else []
    return [*lines, f'first_month = "{one.first_month}"', *_tax(one.tax), *_evidence(one.evidence)]


def _step(step: Step) -> str:
    rate = f"rate_minor = {exact(step.rate_minor)}, per_s = {step.per_s}, increment_s = {step.increment_s}"
    return f"{{ from_s = {step.from_s}, {rate} }}"


def _tax(tax: Tax | None) -> list[str]:
    return [f"tax = {{ percent = {exact(tax.percent)}, included = {str(tax.included).lower()} }}"] if tax else []


def _evidence(text: str) -> list[str]:
    return [f"evidence = {_text(text)}"] if text else []


def _applies(applies: Applies) -> str:
    fields = [
        (name, _text(value))
        for name, value in (("direction", applies.direction), ("kind", applies.kind), ("prefix", applies.prefix))
        if value is not None
    ]
    if applies.sip is not None:
        fields.append(("sip", str(applies.sip).lower()))
    if applies.own is not None:
        fields.append(("own", _list(applies.own)))
    if applies.time_of_day is not None:
        fields.append(("time_of_day", _text(clock(applies.time_of_day))))
    if applies.weekday is not None:
        fields.append(("weekday", _list(DAYS[day] for day in applies.weekday)))
    if applies.date is not None:
        fields.append(("date", _list(date.fromordinal(day).isoformat() for day in applies.date)))
    return f"{{ {', '.join(f'{name} = {value}' for name, value in fields)} }}"


def _list(texts: Iterable[str]) -> str:
    return f"[{', '.join(map(_text, texts))}]"


def _text(text: str) -> str:
    """A basic string: JSON's escapes are TOML's, but for what lies between the last control character and the first letter."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
