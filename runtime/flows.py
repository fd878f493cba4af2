"""The flows of the configuration, checked: what answers calls, or everything that is wrong with it."""

from __future__ import annotations

from typing import Any

from calls.voice.actions import Dialect
from calls.voice.check_flow import compile_flow
from calls.voice.check_steps import near
from calls.voice.flow import Flow, FlowFault, QueueRules
from runtime.problems import FieldError, Refused
from runtime.settings import Settings

DIALECTS: dict[str, Dialect] = {"sautikit": "sautikit", "minivoice": "minivoice"}


def flows_of(settings: Settings) -> dict[str, Flow]:
    """Every flow by name. Raises Refused where one cannot be walked: a caller must never be the first to notice."""
    flows, faults = _compiled(settings)
    if faults:
        more = f" (and {len(faults) - 1} more: safiri flows check)" if len(faults) > 1 else ""
        errors: list[FieldError] = [{"field": fault.where, "detail": fault.detail} for fault in faults]
        raise Refused(422, "Invalid flow", f"{faults[0]}{more}", errors=errors)
    return flows


def faults_of(settings: Settings) -> list[FlowFault]:
    """Everything that is wrong with any of the flows."""
    return _compiled(settings)[1]


def tenant_of(settings: Settings, flow: Flow) -> str:
    """Whose flow it is: its account's tenant."""
    return settings.accounts[flow.account].tenant


def _compiled(settings: Settings) -> tuple[dict[str, Flow], list[FlowFault]]:
    flows: dict[str, Flow] = {}
    faults: list[FlowFault] = []
    queues = {
        name: QueueRules(music=queue.music, announce=queue.announce, max_wait_s=queue.max_wait_s, max_waiting=queue.max_waiting)
        for name, queue in settings.queues.items()
    }
    for name, raw in settings.flows.items():
        dialect, why = _dialect(settings, raw)
        if why:
            faults.append(FlowFault(name, "", "account", why))
        flow, wrong = compile_flow(name, raw, dialect=dialect, timezone=_timezone(settings, raw), queues=queues)
        faults += wrong
        if flow is not None and not why:
            flows[name] = flow
    return flows, faults


def _dialect(settings: Settings, raw: Any) -> tuple[Dialect, str]:
    """Whose words the flow speaks, and why it has none. What is not even text, `compile_flow` refuses."""
    name = raw.get("account") if isinstance(raw, dict) else None
    if not isinstance(name, str) or not name:
        return "sautikit", ""
    account = settings.accounts.get(name)
    if account is None:
        return "sautikit", f"there is no account {name[:64]!r}{near(name, settings.accounts)}"
    if account.provider not in DIALECTS:
        return (
            "sautikit",
            f"{name!r} is of {account.provider}, which asks nobody what to do: name a sautikit or minivoice account",
        )
    return DIALECTS[account.provider], ""


def _timezone(settings: Settings, raw: Any) -> str:
    """Of the account's tenant."""
    name = raw.get("account") if isinstance(raw, dict) else None
    account = settings.accounts.get(name) if isinstance(name, str) else None
    return settings.tenant(account.tenant if account else "default").timezone
