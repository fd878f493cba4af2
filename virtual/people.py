"""Who picks up? Agents' phones (one call at a time, seeded moods) and everybody else, as the caller's wish has it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from calls.simulator import Wish, dialled, picks_up
from runtime.settings import Settings

BUSY_MS = 40


class Phone(msgspec.Struct):
    """An agent's. `busy` while it rings or is off the hook. `changed`: loop time of its last change."""

    agent: str
    address: str
    busy: bool = False
    nth: int = 0
    changed: float = 0.0

    def take(self) -> None:
        self.busy, self.changed = True, asyncio.get_running_loop().time()

    def free(self) -> None:
        self.busy, self.changed = False, asyncio.get_running_loop().time()


class Pickup(msgspec.Struct, frozen=True):
    """What ringing comes to: after `ms` the phone `address` is answered, or `status` says why nobody answers."""

    address: str
    ms: int
    status: str = "answered"
    phone: Phone | None = None

    @property
    def answered(self) -> bool:
        return self.status == "answered"


class People:
    """Everybody who can be rung."""

    def __init__(self, settings: Settings) -> None:
        self.seed = 0
        self.phones = {
            address: Phone(name, address)
            for name, agent in settings.agents.items()
            if (address := agent.number or agent.sip)
        }  # fmt: skip

    def ring(self, addresses: Sequence[str], *, wish: Wish, timeout_s: float, nth: int = 0) -> Pickup:
        """All of `addresses` at once; the first who answers has it. A phone that answers, or rings alone, is taken."""
        found = [self._one(address, wish=wish, nth=nth) for address in addresses]
        answers = [one for one in found if one.answered and one.ms <= timeout_s * 1000]
        best = min(answers, key=lambda one: one.ms) if answers else max(found, key=lambda one: one.ms)
        if not answers and best.ms > timeout_s * 1000:
            best = msgspec.structs.replace(best, ms=int(timeout_s * 1000), status="no_answer")
        if best.phone:
            best.phone.take()
        return best

    def _one(self, address: str, *, wish: Wish, nth: int) -> Pickup:
        phone = self.phones.get(address)
        if phone is None:
            return self._person(address, wish=wish, nth=nth)
        if phone.busy:
            return Pickup(address, BUSY_MS, "busy")
        answers, ms = picks_up(self.seed, agent=phone.agent, nth=phone.nth)
        phone.nth += 1
        return Pickup(address, ms, "answered" if answers else "no_answer", phone)

    def _person(self, address: str, *, wish: Wish, nth: int) -> Pickup:
        """Nobody of ours."""
        status, ms = dialled(wish, nth)
        return Pickup(address, ms, status)


def kind_of(address: str, agent: str | None) -> str:
    """What a dialled side is called."""
    return "agent" if agent else "sip" if address.startswith("sip:") else "external"


def dial_fields(address: str, *, started: str, seconds: int, status: str) -> Mapping[str, str]:
    """What the PBX says of a dial that is over."""
    word = {"answered": "completed", "no_answer": "no-answer", "canceled": "cancel"}.get(status, status)
    return {"dialDestinationNumber": address, "dialStartTime": started, "dialDurationInSeconds": str(seconds), "dialCallStatus": word}
