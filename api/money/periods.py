"""An account's period, as the body of a request or the options of a command name it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from api import schemas
from calls.clock import Micros, rfc3339, to_datetime
from calls.faults import Faults
from calls.parameters import plain, zoned_time
from calls.voice.check_steps import word_for
from runtime.problems import invalid, refusal

SCHEMA: schemas.Schema = {
    "account": {"type": "string", "minLength": 1, "description": "Of the tenant's accounts."},
    "from": {"type": "string", "format": "date-time", "description": "Legs that started at this time or later (RFC 3339 with a zone)."},
    "to": {"type": "string", "format": "date-time", "description": "Legs that started before this time."},
}
"""The fields of a body; all three are required."""


BEGAN_IN = "tenant = %(tenant)s AND account = %(account)s AND started_at >= %(begin)s AND started_at < %(end)s"
"""SQL: a leg of the account began in the period. Its parameters are `Period.bound`."""


class Period(msgspec.Struct, frozen=True):
    """[begin, end) of an account: what began in it."""

    account: str
    begin: Micros
    end: Micros

    def bound(self, tenant: str) -> dict[str, object]:
        """The parameters of BEGAN_IN."""
        return {"tenant": tenant, "account": self.account, "begin": to_datetime(self.begin), "end": to_datetime(self.end)}

    def shown(self) -> dict[str, object]:
        return {"account": self.account, "from": rfc3339(self.begin), "to": rfc3339(self.end)}


def period_in(asked: Mapping[str, object]) -> Period:
    """What the fields account, from and to say. Refused 422 with all their faults."""
    faults: list[tuple[str, str]] = []
    account = _text(asked.get("account"), "account", faults)
    begin, end = (_time(asked.get(name), name, faults) for name in ("from", "to"))
    if faults:
        raise refusal(Faults(faults))
    return period(account, begin, end)


def period(account: str, begin: Micros, end: Micros) -> Period:
    """Refused 422 where it ends before it begins."""
    if end <= begin:
        raise invalid("to", "must be later than from")
    return Period(account, begin, end)


def texts_in(asked: Mapping[str, object], names: Collection[str]) -> list[str]:
    """The texts in these fields. Refused 422 with every one that is missing or none."""
    faults: list[tuple[str, str]] = []
    found = [_text(asked.get(name), name, faults) for name in names]
    if faults:
        raise refusal(Faults(faults))
    return found


def _text(value: object, name: str, faults: list[tuple[str, str]]) -> str:
    if not isinstance(value, str):
        faults.append((name, "is missing" if value is None else f"must be a text, not {word_for(value)}"))
        return ""
    try:
        return plain(value)
    except ValueError as why:
        faults.append((name, str(why)))
        return ""


def _time(value: object, name: str, faults: list[tuple[str, str]]) -> Micros:
    if not isinstance(value, str):
        said = "a time such as 2026-05-01T00:00:00Z"
        faults.append((name, f"is missing: {said}" if value is None else f"must be {said}, not {word_for(value)}"))
        return 0
    try:
        return zoned_time(value)
    except ValueError as why:
        faults.append((name, str(why)))
        return 0
