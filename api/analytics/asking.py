"""Between a request and a question: whose it is, what the settings add, and every fault under the name of its parameter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import sqlalchemy as sa

from api import read
from api.analytics.answer import Known
from calls.faults import Faults
from calls.metrics.asked import Scope
from calls.metrics.question import Question
from runtime.problems import refusal
from runtime.settings import Account, Settings

Understood = TypeVar("Understood")
Items = Iterable[tuple[str, str]]


def understood(parse: Callable[[Items, Scope], Understood], items: Items, *, settings: Settings, tenant: str) -> Understood:
    """What `parse` (of calls.metrics.asked) makes of a request. Refused 422 with all its faults."""
    try:
        return parse(items, scope_for(settings, tenant))
    except Faults as error:
        raise refusal(error) from None


def scope_for(settings: Settings, tenant: str) -> Scope:
    """The tenant's zone, and the thresholds of queues that set their own."""
    queues = {name: (_own(one, "threshold_s"), _own(one, "short_abandon_s")) for name, one in settings.queues.items()}
    return Scope(tenant, settings.tenant(tenant).timezone, {name: both for name, both in queues.items() if both != (None, None)})


def _own(queue: object, name: str) -> int | None:
    """Milliseconds; None where the configuration leaves it out."""
    given: set[str] = getattr(queue, "model_fields_set", set())
    return round(float(getattr(queue, name)) * 1000) if name in given else None


def known(settings: Settings, question: Question, complete_through: str | None) -> Known:
    """How far the tables are, and the longest of the retry horizons of the accounts asked for: one, or all of the tenant."""
    mine = {name: account.retry_horizon_h for name, account in settings.accounts.items() if account.tenant == question.tenant}
    one = dict(question.filters).get("account")
    horizons = [mine[one]] if one is not None and one in mine else list(mine.values())
    return Known(complete_through, max(horizons, default=Account.model_fields["retry_horizon_h"].default))


def known_account(engine: sa.Engine, question: Question, settings: Settings) -> None:
    """Refused 422 where the question is of an account that neither the settings nor any call knows."""
    account = dict(question.filters).get("account")
    if account is not None:
        read.known_account(engine, settings, tenant=question.tenant, account=account)
