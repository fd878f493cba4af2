"""Charges as people and programs see them: the document of POST /v1/rate and of `safiri rate --json`."""

from __future__ import annotations

from collections.abc import Sequence

from calls.clock import rfc3339
from calls.rating.charge import Charge
from calls.rating.terms import Plan
from calls.rating.writing import written


def as_json(plan: Plan, charges: Sequence[Charge]) -> dict[str, object]:
    """`{"charges": […], "total_minor", "currency", "unrated"}`; the total is of the rated ones, `unrated` counts the others."""
    amounts = [one.amount_minor for one in charges if one.amount_minor is not None]
    return {
        "charges": [_charge(one) for one in charges],
        "total_minor": sum(amounts),
        "currency": plan.currency,
        "unrated": len(charges) - len(amounts),
    }


def plan_as_json(plan: Plan) -> dict[str, object]:
    """A plan in a list: its name, its versions, and the whole of it as TOML."""
    return {
        "plan": plan.id,
        "currency": plan.currency,
        "timezone": plan.timezone,
        "notes": plan.notes,
        "versions": [
            {
                "version": one.version,
                "valid_from": rfc3339(one.valid_from),
                "appended_at": rfc3339(one.appended_at),
                "evidence": one.evidence,
                "rules": len(one.rules),
                "standing": len(one.standing),
            }
            for one in plan.versions
        ],
        "plan_toml": written(plan),
    }


def _charge(one: Charge) -> dict[str, object]:
    shown: dict[str, object] = {
        "amount_minor": one.amount_minor,
        "tax_minor": one.tax_minor,
        "currency": one.currency,
        "plan": one.plan or None,
        "version": one.version,
        "rule": one.rule,
        "working": [{"what": line.what, "exact": line.text()} for line in one.lines],
    }
    return shown | ({"unrated": one.why} if one.amount_minor is None else {})
