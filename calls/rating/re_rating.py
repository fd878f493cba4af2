"""What the legs of a period would cost under one version of a plan, beside what they came to before: leg by leg, and summed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from calls.clock import Micros
from calls.rating.charge import RatedLeg
from calls.rating.charging import LARGEST_MINOR
from calls.rating.rate import rate
from calls.rating.table import FIRST
from calls.rating.terms import Plan

GONE = "it is no leg of the period any more"


class PeriodLeg(msgspec.Struct, frozen=True):
    """A leg of the period. `rated`: what it is rated by, None where nothing can rate it, and `why`.

    `before_minor` None: it was unrated, or (`was` false) not there. `there`: it is among today's legs of the period; one that is only
    `beside` them began outside, and shares the rounding of its call.
    """

    call_sid: str
    leg: str
    journey_id: str
    queue: str | None
    agent: str | None
    own: str | None
    started_at: Micros
    before_minor: int | None
    rated: RatedLeg | None
    was: bool = True
    there: bool = True
    beside: bool = False
    why: str = ""


class ReRated(msgspec.Struct, frozen=True):
    """`after_minor` None: unrated or not there any more, and `why`."""

    of: PeriodLeg
    after_minor: int | None
    why: str = ""

    @property
    def difference_minor(self) -> int:
        """What is unrated counts as 0."""
        return (self.after_minor or 0) - (self.of.before_minor or 0)

    @property
    def differs(self) -> bool:
        """Unrated is something else than free."""
        return self.after_minor != self.of.before_minor


def alone(plan: Plan, version: str) -> Plan | None:
    """The plan with this one version, in force for ever and known to all; None where it has none of that name."""
    for one in plan.versions:
        if one.version == version:
            return msgspec.structs.replace(plan, versions=(msgspec.structs.replace(one, valid_from=FIRST, appended_at=None),))
    return None


def rounds_calls(plan: Plan) -> bool:
    """Whether a leg's amount may depend on the other legs of its call."""
    return any(rule.grain == "call" for version in plan.versions for rule in version.rules)


def re_rate(plan: Plan, legs: Sequence[PeriodLeg], *, zone: str) -> list[ReRated]:
    """The legs of the period in their order, without those beside it. Legs of one call belong into one list."""
    rated = [leg.rated for leg in legs if leg.rated is not None]
    charges = iter(rate(plan, rated, zone=zone))
    found: list[ReRated] = []
    for leg in legs:
        charge = next(charges) if leg.rated is not None else None
        if leg.beside:
            continue
        if charge is None:
            found.append(ReRated(leg, None, leg.why if leg.there else GONE))
        elif charge.amount_minor is not None and charge.amount_minor > LARGEST_MINOR:
            found.append(ReRated(leg, None, f"{charge.amount_minor} is more than an amount can be"))
        else:
            found.append(ReRated(leg, charge.amount_minor, charge.why))
    return found


class Sum(msgspec.Struct):
    """Minor units."""

    before_minor: int = 0
    after_minor: int = 0

    def add(self, one: ReRated) -> None:
        self.before_minor += one.of.before_minor or 0
        self.after_minor += one.after_minor or 0

    def shown(self) -> dict[str, object]:
        difference = self.after_minor - self.before_minor
        return {"before_minor": self.before_minor, "after_minor": self.after_minor, "difference_minor": difference}


class Sums(msgspec.Struct):
    """Of all legs of the period, and by what they belong to; null is the group of what belongs to nothing.

    `unrated` legs have no amount under the version, `unrated_before` had none; `new` ones were not there before, `gone` ones are not
    there now.
    """

    total: Sum = msgspec.field(default_factory=Sum)
    queues: dict[str | None, Sum] = {}
    agents: dict[str | None, Sum] = {}
    numbers: dict[str | None, Sum] = {}
    legs: int = 0
    differing: int = 0
    unrated: int = 0
    unrated_before: int = 0
    new: int = 0
    gone: int = 0

    def add(self, found: Iterable[ReRated]) -> None:
        for one in found:
            leg = one.of
            groups = ((self.queues, leg.queue), (self.agents, leg.agent), (self.numbers, leg.own))
            for sum_ in (self.total, *(groups.setdefault(name, Sum()) for groups, name in groups)):
                sum_.add(one)
            self.legs += leg.there
            self.differing += one.differs
            self.unrated += leg.there and one.after_minor is None
            self.unrated_before += leg.was and leg.before_minor is None
            self.new += not leg.was
            self.gone += not leg.there

    def shown(self) -> dict[str, object]:
        return {
            **self.total.shown(),
            "by_queue": _grouped(self.queues, "queue"),
            "by_agent": _grouped(self.agents, "agent"),
            "by_number": _grouped(self.numbers, "number"),
            "re_rated": self.legs,
            "differing": self.differing,
            "unrated": self.unrated,
            "unrated_before": self.unrated_before,
            "new": self.new,
            "gone": self.gone,
        }


def _grouped(sums: dict[str | None, Sum], name: str) -> list[dict[str, object]]:
    """By name, what has none last."""
    return [{name: group, **sums[group].shown()} for group in sorted(sums, key=lambda group: (group is None, group or ""))]
