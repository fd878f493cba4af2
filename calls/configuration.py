"""The part of the configuration that a fold may know. It is an input with a date: editing a file rewrites no history."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from calls.clock import Micros


class Configuration(msgspec.Struct, frozen=True):
    """What was configured from `since` on. Numbers are E.164; `agents` maps a number or SIP URI to the agent's id."""

    since: Micros = 0
    countries: dict[str, str] = {}  # tenant -> ISO 3166 country in which national numbers are read
    numbers: dict[str, list[str]] = {}  # account -> its own numbers
    agents: dict[str, str] = {}  # address -> agent
    timezones: dict[str, str] = {}  # tenant -> IANA zone of its local days; the last version's count for all time
    rate_plans: dict[str, str] = {}  # account -> the name of its rate plan

    def country(self, tenant: str) -> str:
        return self.countries.get(tenant, "KE")

    def zone(self, tenant: str) -> str:
        return self.timezones.get(tenant, "Africa/Nairobi")


def valid_at(versions: Sequence[Configuration], first_received: Micros) -> Configuration:
    """The version in force when a journey was first heard of; the first one for what came before any."""
    chosen = versions[0] if versions else Configuration()
    for version in versions:
        if version.since <= first_received:
            chosen = version
    return chosen
