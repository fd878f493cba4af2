"""The shapes of the vendors' REST answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from calls.clock import milliseconds, rfc3339
from virtual.ledger import CURRENCY, OUTBOUND_PER_MIN_MINOR, RENTAL_MINOR, Number, Wallet
from virtual.lifecycle import WORKSPACE
from virtual.line import Line

PRICING = {
    "currency": CURRENCY, "number_monthly_kes": 100, "outbound_per_min_kes": OUTBOUND_PER_MIN_MINOR / 100, "inbound_per_min_kes": 0.0,
    "recording_free_gb": 5, "updated_at": "2026-06-27T00:00:00Z",
}  # fmt: skip
FAILED = ("failed", "no_answer", "busy", "rejected", "canceled")


def placed(line: Line) -> dict[str, Any]:
    """The answer to a call that was taken."""
    lived = line.lived
    if line.dialect == "minivoice":
        return {
            "id": line.id, "status": "dialing", "direction": "outbound", "from": lived.caller, "to": lived.called,
            "application_id": f"app_{line.account}", "customer_id": "cust_1", "provider_call_id": line.session,
            "answer_url": line.voice_url, "metadata": {"record": False}, "created_at": rfc3339(lived.started_at), "route_mode": "webhook",
        }  # fmt: skip
    return {"call_id": line.id, "session_id": line.session, "status": "ringing", "client_request_id": line.label}


def call(line: Line, wallet: Wallet) -> dict[str, Any]:
    """A row of the call list."""
    lived = line.lived
    outbound = lived.direction == "outbound"
    seconds = -(-milliseconds(lived.answered_at, lived.ended_at) // 1000) if lived.answered_at and lived.ended_at else None
    return {
        "id": line.id, "workspace_id": WORKSPACE, "session_id": line.session, "direction": lived.direction,
        "local_e164": lived.caller if outbound else lived.called, "remote_e164": lived.called if outbound else lived.caller,
        "country": "KE", "started_at": rfc3339(lived.started_at), "answered_at": rfc3339(lived.answered_at),
        "ended_at": rfc3339(lived.ended_at), "duration_seconds": seconds, "status": line.status,
        "cost_minor": wallet.spent.get(line.id, 0), "cost_currency": CURRENCY,
        "rate_per_minute_minor": OUTBOUND_PER_MIN_MINOR if outbound else 0, "failure_code": lived.failure or None,
        "metadata": {"client_request_id": line.label} if line.label else None, "created_at": rfc3339(lived.started_at),
        "updated_at": rfc3339(lived.ended_at or lived.answered_at or lived.started_at), "events": [],
    }  # fmt: skip


def stats(lines: Sequence[Line], wallet: Wallet) -> dict[str, Any]:
    over = [line.lived for line in lines if line.over]
    minutes = sum(milliseconds(one.answered_at, one.ended_at) for one in over if one.answered_at and one.ended_at) / 60_000
    spent = sum(wallet.spent.values())
    failed = sum(line.status in FAILED for line in lines)
    return {"total": len(lines), "failed": failed, "minutes_total": round(minutes, 2), "spend_minor": spent, "currency": CURRENCY}


def number(one: Number) -> dict[str, Any]:
    return {
        "id": one.id, "e164": one.e164, "country_iso2": "KE", "status": "active" if one.claimed_at else "available",
        "monthly_retail_minor": RENTAL_MINOR, "currency": CURRENCY, "inbound_per_min_minor": 0,
        "outbound_per_min_minor": OUTBOUND_PER_MIN_MINOR, "claimed_at": rfc3339(one.claimed_at), "capabilities": ["voice"],
        "voice_callback_url": one.voice_url, "events_url": one.events_url,
    }  # fmt: skip
