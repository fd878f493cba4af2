"""What a metric is: a sum of measures, one sum over another, or a place in the order of waits; with everything a reader must know."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from calls.metrics.measures import Attribution

Unit: TypeAlias = Literal["count", "ms", "ratio", "minor"]
"""`ms`: milliseconds, whole for sums. `ratio`: 0..1. `minor`: hundredths of the currency."""
Kind: TypeAlias = Literal["sum", "ratio", "max", "quantile"]

VISIT: tuple[Attribution, ...] = ("start", "end", "emit", "threshold")
WAIT: tuple[Attribution, ...] = (*VISIT, "split")
CALL: tuple[Attribution, ...] = ("start", "end", "emit")
HANDLE: tuple[Attribution, ...] = ("start", "end", "emit")
LENGTH: tuple[Attribution, ...] = ("start", "end", "emit", "split")
TALK: tuple[Attribution, ...] = ("split", "start", "end", "emit")
STATE: tuple[Attribution, ...] = ("split",)

OF_AGENTS = ("agent", "hour", "weekday")  # what a state of an agent can be grouped and filtered by: it is of no queue and no call


class Term(msgspec.Struct, frozen=True):
    """`sign` × the amount of a measure (calls/metrics/measures.py)."""

    sign: int
    measure: str


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the catalogue.

    `numerator` alone for a sum (a max or a quantile: the measure whose amounts are ordered), both for a ratio. `attributions`: the
    allowed ones, the default first. `parameters`: names as in a query. `dimensions` None: every one. `version` rises when the same
    facts would give another number.
    """

    id: str
    name: str
    unit: Unit
    kind: Kind = "sum"
    says: str
    formula: str
    numerator: tuple[Term, ...] = ()
    denominator: tuple[Term, ...] = ()
    attributions: tuple[Attribution, ...]
    parameters: tuple[str, ...] = ()
    quantile: float | None = None
    dimensions: tuple[str, ...] | None = None
    source: str = "Safiri"
    version: int = 1

    @property
    def terms(self) -> tuple[Term, ...]:
        return self.numerator + self.denominator

    @property
    def measures(self) -> tuple[str, ...]:
        """Each once, in the order of the formula."""
        return tuple(dict.fromkeys(term.measure for term in self.terms))


def ratio(
    id_: str, name: str, *, says: str, formula: str, top: str, bottom: str, attributions: tuple[Attribution, ...], unit: Unit = "ratio",
    parameters: tuple[str, ...] = (), dimensions: tuple[str, ...] | None = None, source: str = "Safiri",
) -> Metric:  # fmt: skip
    """The entry of one sum over another, both written as for `terms`: a share, or a mean where `unit` is ms."""
    return Metric(
        id=id_, name=name, unit=unit, kind="ratio", says=says, formula=formula, numerator=terms(top), denominator=terms(bottom),
        attributions=attributions, parameters=parameters, dimensions=dimensions, source=source,
    )  # fmt: skip


def terms(text: str) -> tuple[Term, ...]:
    """`answered + abandoned - short_abandoned` as terms: the formula as it is written in the catalogue."""
    found: list[Term] = []
    sign = 1
    for word in text.split():
        if word in ("+", "-"):
            sign = 1 if word == "+" else -1
        else:
            found.append(Term(sign, word))
            sign = 1
    return tuple(found)
