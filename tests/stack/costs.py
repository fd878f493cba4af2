"""Journeys with charges, put where the projector would put them: a call that came in, and an agent who was dialled for it."""

from __future__ import annotations

from typing import Any

from asking import CALLER, DID, NOON, SECOND, Desk, journey

from calls.journey import Journey, LegCharge, journey_id

AGENT = "+254720000001"


def charge(sid: str, leg: str = "caller", amount: int | None = 100, **given: Any) -> LegCharge:
    """What a leg of 61 s costs; the caller's leg came in, every other one was dialled."""
    outbound = leg != "caller"
    fields: dict[str, Any] = {
        "account": "acme", "direction": "outbound" if outbound else "inbound", "kind": "agent" if outbound else "caller",
        "to": AGENT if outbound else DID, "own": CALLER if outbound else DID, "queue": "support" if outbound else None,
        "agent": "amina" if outbound else None, "started_at": NOON, "answered_at": NOON + 9 * SECOND, "ended_at": NOON + 70 * SECOND,
        "talk_ms": 61_000, "ring_ms": 9_000, "received_at": NOON, "tax_minor": None if amount is None else 0, "currency": "KES",
        "plan": "sautikit-ke", "version": None if amount is None else "2026-01", "rule": None if amount is None else 0,
        "why": "no rule covers an outbound leg to +1" if amount is None else "",
        "working": [] if amount is None else [("61 s from the answer to the end", "0"), ("61 × 1 s at 300 a minute", str(amount))],
    }  # fmt: skip
    return LegCharge(call_sid=sid, leg=leg, amount_minor=amount, **(fields | given))


def charged(desk: Desk, sid: str, *charges: LegCharge, **given: Any) -> Journey:
    """A journey of one call that costs so."""
    tenant = given.get("tenant") or desk.tenant
    return journey(desk, sid=sid, **({"charges": list(charges), "journey_id": journey_id(tenant, sid)} | given))
