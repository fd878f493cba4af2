"""The call centre over HTTP: agents and what they say of themselves, queues and who waits, and calls to be placed."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from api import problems, schemas
from api.auth import Reader, Writer
from api.params import refuse_all
from calls.faults import Faults
from calls.masking import mask_text
from calls.parties import readable
from calls.providers.reading import LONGEST_LABEL, request_label
from desk.agents import SAID
from desk.floor import Floor
from desk.orders import Order
from runtime.addresses import VIRTUAL, api_url
from runtime.bodies import as_json, whole
from runtime.problems import Refused, invalid, refusal
from runtime.settings import Account, Settings

Wrong: TypeAlias = Callable[[str, str], None]
router = APIRouter(tags=["call centre"])
LARGEST = 64 << 10
LONGEST_KEY, LONGEST_REASON = 255, 200
KEPT_LABELS = ("mcp:", "broadcast:")  # the provider keeps them for itself
CALLING = frozenset({"sautikit", "minivoice"})  # providers that place calls


class Said(msgspec.Struct, frozen=True):
    """The body of POST /v1/agents/{id}/state, unread."""

    state: Any = None
    reason: Any = None


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of POST /v1/calls."""

    to: str
    flow: str | None = None
    agent: str | None = None
    client_request_id: str | None = None
    account: str | None = None
    caller_id: str | None = None


@router.get("/v1/agents", **schemas.answer("AgentList", errors=(401, 403, 422, 503)))
async def list_agents(request: Request, grant: Reader) -> Response:
    """Every agent of the configuration and what they do now; one who was never heard of is offline."""
    refuse_all(request.query_params.multi_items())
    return as_json({"agents": await _floor(request).agents(grant.tenant)})


@router.post("/v1/agents/{agent}/state", **schemas.AGENT_STATE)
async def say_state(request: Request, agent: str, grant: Writer) -> Response:
    """What an agent says of themselves. Ringing and talking are seen, not said; a call that they have goes on."""
    refuse_all(request.query_params.multi_items())
    settings: Settings = request.app.state.settings
    known = settings.agents.get(agent)
    if known is None or known.tenant != grant.tenant:
        raise Refused(404, "Not found", f"no agent {agent[:80]!r} is configured")
    said = await _body(request, Said)
    if said.state not in SAID:
        seen = said.state in ("ringing", "talking")
        raise invalid("state", f"{'what is seen, not said' if seen else 'not a state'}: say one of {', '.join(SAID)}")
    reason = said.reason
    if reason is not None and not (isinstance(reason, str) and len(reason) <= LONGEST_REASON and reason.isprintable()):
        raise invalid("reason", f"give a printable text of at most {LONGEST_REASON} characters, or leave it out")
    masked = mask_text(reason) if reason else None
    return as_json(await _floor(request).say_state(agent, tenant=grant.tenant, state=said.state, reason=masked))


@router.get("/v1/queues", **schemas.answer("QueueList", errors=(401, 403, 422, 503)))
async def list_queues(request: Request, grant: Reader) -> Response:
    """Every queue: how many wait in it, and what its agents do."""
    refuse_all(request.query_params.multi_items())
    return as_json({"queues": await _floor(request).queues(grant.tenant)})


@router.get("/v1/queues/{queue}/waiting", **schemas.WAITING)
async def list_waiting(request: Request, queue: str, grant: Reader) -> Response:
    """Who waits in a queue, the next first; `agent` is the one who is rung for them."""
    refuse_all(request.query_params.multi_items())
    if "\0" in queue or any("\ud800" <= letter <= "\udfff" for letter in queue):
        raise _unknown_queue(queue)
    waiting = await _floor(request).waiting(grant.tenant, queue)
    if not waiting and queue not in _floor(request).known_queues(grant.tenant):
        raise _unknown_queue(queue)
    return as_json({"queue": queue, "waiting": waiting})


@router.post("/v1/calls", **schemas.PLACED)
async def place_call(request: Request, grant: Writer) -> Response:
    """Places a call, once for each Idempotency-Key. When it is answered, the flow runs or the agent is dialled."""
    refuse_all(request.query_params.multi_items())
    key = request.headers.get("idempotency-key")
    if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
        raise invalid("Idempotency-Key", f"give 1 to {LONGEST_KEY} printable ASCII characters, a new key for each call")
    order = checked(await _body(request, Wanted), settings=request.app.state.settings, tenant=grant.tenant, key=key or str(uuid.uuid4()))
    settled = await _floor(request).place(order)
    kind = "application/json" if settled.status < 400 else problems.MEDIA_TYPE
    return Response(settled.body, settled.status, media_type=kind)


# ---------------------------------------------------------------- what an order must say


def checked(wanted: Wanted, *, settings: Settings, tenant: str, key: str) -> Order:
    """The order. Raises Refused 422 that names every field at fault."""
    errors: list[tuple[str, str]] = []

    def wrong(field: str, detail: str) -> None:
        errors.append((field, detail))

    to = readable(wanted.to, settings.tenant(tenant).country)
    if to is None or not to.startswith(("+", "sip:", "sips:")):
        wrong("to", "no phone number or sip: address: write a number such as +254712345678")
    _check_far_side(wanted, settings, tenant=tenant, wrong=wrong)
    name = wanted.account or _account_of(wanted, settings, tenant=tenant) or ""
    _check_near_side(wanted, settings, tenant=tenant, name=name, wrong=wrong)
    label = wanted.client_request_id
    if label is not None and (request_label(label) != label or label.startswith(KEPT_LABELS)):
        wrong("client_request_id", f"give a plain text of at most {LONGEST_LABEL} characters that does not begin with mcp: or broadcast:")
    elif label is not None and mask_text(label) != label:
        wrong("client_request_id", "looks like a card number, which is kept nowhere: choose another")
    if errors:
        raise refusal(Faults(errors))
    from_ = wanted.caller_id or next(iter(settings.accounts[name].numbers), None)
    return Order(tenant, key, name, to or "", from_, wanted.flow, wanted.agent, label)


def _check_near_side(wanted: Wanted, settings: Settings, *, tenant: str, name: str, wrong: Wrong) -> None:
    """An account that can place calls, and a number of it to call from."""
    account = settings.accounts.get(name)
    if account is None or account.tenant != tenant:
        wrong("account", "no account of yours has an api_key: name one" if wanted.account is None else "no account of this name")
    elif fault := _unable(settings, name, account=account):
        wrong("account", fault)
    elif wanted.caller_id is not None and account.numbers and wanted.caller_id not in account.numbers:
        wrong("caller_id", f"no number of account {name}; its numbers are {', '.join(account.numbers)}")
    elif wanted.caller_id is None and not account.numbers:
        wrong("caller_id", f"account {name} has no numbers: say from which the call is to come")


def _check_far_side(wanted: Wanted, settings: Settings, *, tenant: str, wrong: Wrong) -> None:
    """Exactly one of flow and agent, each known."""
    if (wanted.flow is None) == (wanted.agent is None):
        wrong("flow", "name a flow or an agent, and not both: what the person called is connected to")
    elif wanted.flow is not None:
        owner = settings.accounts.get(_flows_account(settings, wanted.flow))
        if owner is None or owner.tenant != tenant:
            wrong("flow", f"no flow {wanted.flow[:80]!r} is configured")
    else:
        agent = settings.agents.get(wanted.agent or "")
        if agent is None or agent.tenant != tenant:
            wrong("agent", f"no agent {(wanted.agent or '')[:80]!r} is configured")
        elif not (agent.number or agent.sip):
            wrong("agent", "this agent has neither number nor sip: nobody could be dialled")


def _flows_account(settings: Settings, flow: str) -> str:
    raw = settings.flows.get(flow)
    account = raw.get("account") if isinstance(raw, dict) else None
    return account if isinstance(account, str) else ""


def _account_of(wanted: Wanted, settings: Settings, *, tenant: str) -> str | None:
    """The flow's, else the tenant's first that can place calls."""
    if wanted.flow is not None and (name := _flows_account(settings, wanted.flow)):
        return name
    return next((name for name, account in settings.accounts.items() if account.tenant == tenant and account.api_key), None)


def _unable(settings: Settings, name: str, *, account: Account) -> str:
    """Why the account can place no calls; "" where it can."""
    if account.provider not in CALLING or (account.api_url != VIRTUAL and not api_url(settings, name)):
        return f"its provider ({account.provider}) places no calls"
    return "" if account.api_key or account.api_url == VIRTUAL else "it has no api_key: its provider would refuse the call"


def _unknown_queue(queue: str) -> Refused:
    return Refused(404, "Not found", f"no queue {queue[:80]!r} is configured, and nobody waits in one of that name")


# ---------------------------------------------------------------- reading and writing


def _floor(request: Request) -> Floor:
    floor: Floor = request.app.state.floor
    return floor


async def _body(request: Request, shape: type[Any]) -> Any:
    """The JSON body as `shape`. Refused 413 and 422, which names the field."""
    body = await whole(request, LARGEST, too_large=f"the body is larger than {LARGEST >> 10} KiB")
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        why, _, where = str(error).partition(" - at `$.")
        field = where.rstrip("`") or (why.split("`")[1] if "`" in why and "field" in why else "body")
        raise invalid(field, why) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise invalid("body", "send one JSON object") from None
