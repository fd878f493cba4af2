"""Versions are appended to a plan; what stands in it stays as it is."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from calls.clock import Micros
from calls.faults import Faults
from calls.rating.table import Faulty
from calls.rating.terms import Plan, Version


class Overwritten(Exception):
    """A version of this name is there and says something else."""

    def __init__(self, version: str) -> None:
        super().__init__(f"version {version!r} is there already and says something else: append what changed as a version of another name")
        self.version = version


def appended(there: Plan | None, given: Plan, *, at: Micros) -> list[Version]:
    """The versions of `given` that are new, known since `at`. One that is there already is no change.

    Raises Overwritten, or Faults where they do not go together with what is there.
    """
    known = {} if there is None else {version.version: version for version in there.versions}
    begun = {version.valid_from: version.version for version in known.values()}
    faults = [] if there is None else _head(there, given)
    new: list[Version] = []
    for place, version in enumerate(given.versions):
        old = known.get(version.version)
        if old is not None:
            if not _same(old, version):
                raise Overwritten(version.version)
            continue
        if version.valid_from in begun:
            said = f"is that of version {begun[version.valid_from]!r} too: two versions cannot begin at one time"
            faults.append((f"versions[{place}].valid_from", said))
        if version.appended_at is not None:
            faults.append((f"versions[{place}].appended_at", "is when the version comes here: leave it out"))
        new.append(msgspec.structs.replace(version, appended_at=at))
    if faults:
        raise Faults(faults)
    return new


def joined(plans: Sequence[Plan]) -> Plan:
    """One plan of the versions of several; its currency, zone and notes are the first one's."""
    versions = sorted((version for plan in plans for version in plan.versions), key=lambda version: version.valid_from)
    return msgspec.structs.replace(plans[0], versions=tuple(versions))


def _same(old: Version, new: Version) -> bool:
    return msgspec.structs.replace(old, appended_at=None) == msgspec.structs.replace(new, appended_at=None)


def _head(there: Plan, given: Plan) -> Faulty:
    """A plan keeps its currency and its zone."""
    faults: Faulty = []
    if given.currency != there.currency:
        faults.append(("currency", f"is {there.currency} in this plan: another currency is another plan"))
    if given.timezone != there.timezone:
        faults.append(("timezone", f"is {there.timezone or 'left out'} in this plan: with another zone it is another plan"))
    return faults
