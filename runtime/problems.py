"""Errors by what the caller must do: Refused (4xx), Retry (do not acknowledge), Missing (something needed is not there)."""

from __future__ import annotations

from typing import TypedDict

from calls.faults import Faults


class FieldError(TypedDict):
    field: str
    detail: str


class Refused(Exception):
    """The request cannot be done as asked. `detail` says what to do; becomes an RFC 9457 body, or one line and exit 2."""

    def __init__(
        self, status: int, title: str, detail: str, *, errors: list[FieldError] | None = None, headers: dict[str, str] | None = None
    ):
        super().__init__(detail)
        self.status, self.title, self.detail = status, title, detail
        self.errors, self.headers = errors or [], headers or {}

    def body(self) -> dict[str, object]:
        """The problem+json object."""
        shown: dict[str, object] = {"type": "about:blank", "title": self.title, "status": self.status, "detail": self.detail}
        return shown | ({"errors": self.errors} if self.errors else {})


def invalid(field: str, detail: str) -> Refused:
    """422 that names one field."""
    return Refused(422, "Invalid request", detail, errors=[{"field": field, "detail": detail}])


def refusal(faults: Faults, *, title: str = "Invalid request", detail: str | None = None) -> Refused:
    """422 with every fault under its field. `detail` None: all of them in one line, as far as it goes."""
    errors: list[FieldError] = [{"field": field, "detail": said} for field, said in faults.faults]
    return Refused(422, title, str(faults)[:2000] if detail is None else detail, errors=errors)


class Retry(Exception):
    """Something around us is away (Kafka, Postgres): hold, back off, try again; nothing is acknowledged."""


class Missing(Exception):
    """Something needed is not there; says what, and how to get it. Exit code 3."""
