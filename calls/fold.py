"""The set of deliveries of linked calls → the journeys they tell. The one function that everything else stands on.

Pure: any order, any duplication, any lateness of the deliveries gives the same journeys. It asks no clock; what time
decides (a presumed end) is an event like the rest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType

from calls.attribution import attribute, bot_result
from calls.building import PARTICIPANT, PERSON, UNREPORTED, Building
from calls.clock import Micros, milliseconds
from calls.configuration import Configuration, valid_at
from calls.events import CallStarted, Event
from calls.finish_call import Finished, finish
from calls.fold_call import read
from calls.history import Delivery, Families, families, reading_order, stand
from calls.journey import Anomaly, Call, Durations, Journey, journey_id
from calls.outcome import outcome_of, who_hung_up
from calls.providers import PROVIDERS
from calls.rating.charging import charges_of
from calls.rating.terms import Plan

VERSION = 6  # of the fold's meaning: a change makes `safiri migrate` rebuild
MOST_EVENTS = 10_000  # of one journey; later ones are kept and counted, but not folded
NOT_THE_JOURNEYS = (UNREPORTED, PARTICIPANT)  # attributes that speak of one event only
SKEW: Micros = 300_000_000  # a delivery that happened this much after we received it has another clock

NO_PLANS: Mapping[str, Plan] = MappingProxyType({})
Facts = list[tuple[Event, str, Micros]]


def fold(
    tenant: str, deliveries: list[Delivery], configurations: list[Configuration], plans: Mapping[str, Plan] = NO_PLANS
) -> list[Journey]:
    """The journeys of one group of linked calls, each with all ids of its calls. Every delivery is in exactly one.

    `plans`: the tenant's rate plans by their names, with all versions that are known by now.
    """
    standing, conflicts = stand(deliveries)
    if not standing:
        return []
    tied = families(standing)
    by_stream: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in standing:
        by_stream[delivery.stream].append(delivery)
    lost: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in conflicts:
        lost[delivery.stream].append(delivery)
    return [
        _journey(tenant, members, tied, by_stream=by_stream, lost=lost, configurations=configurations, plans=plans)
        for members in tied.journeys
        if any(sid in by_stream for call in members for sid in tied.calls[call])
    ]


def _journey(
    tenant: str, members: list[int], tied: Families, *, by_stream: dict[str, list[Delivery]], lost: dict[str, list[Delivery]],
    configurations: list[Configuration], plans: Mapping[str, Plan],
) -> Journey:  # fmt: skip
    sids = [sid for call in members for sid in tied.calls[call]]
    everything = [delivery for sid in sids for delivery in by_stream.get(sid, ())]
    if len(sids) > 1:
        everything.sort(key=reading_order)
    first_received = min(delivery.received_at for delivery in everything)
    configuration = valid_at(configurations, first_received)
    country = configuration.country(tenant)
    folded = everything[:MOST_EVENTS]
    finished: dict[int, Finished] = {}
    for call in members:
        own = tied.calls[call]
        parts = folded if len(members) == 1 else [delivery for delivery in folded if delivery.stream in own]
        if parts:
            finished[call] = _call(parts, tied.calls[call], aliases=tied.aliases, configuration=configuration, country=country)
    root = _root(finished, tied)
    _too_late(root, finished)
    journey = _assembled(tenant, root, finished)
    journey.call_sids = sids
    journey.charges = charges_of(journey, plans, configurations=configurations, first_received=first_received)
    _forget_receipts(journey)
    journey.events = len(everything) + sum(len(lost.get(sid, ())) for sid in sids)
    journey.anomalies = _anomalies(finished, everything, conflicts=[one for sid in sids for one in lost.get(sid, ())])
    journey.anomalies = sorted(journey.anomalies + _refused(tied.refused, set(sids)))
    _labels(journey, everything)
    return journey


def _call(parts: list[Delivery], sids: list[str], *, aliases: set[str], configuration: Configuration, country: str) -> Finished:
    ordered = sids if len(sids) == 1 else _by_rank(parts, sids, aliases)
    facts: Facts = [(fact, part.event_id, part.received_at) for part in parts for fact in part.facts]
    if len(facts) > len(parts):  # what one delivery says beside its first fact may belong earlier
        facts.sort(key=lambda pair: (pair[0].at, pair[0].rank, pair[1]))
    building = Building(ordered[0], configuration, facts[0][0].at, min(part.received_at for part in parts))
    building.last_at = max((fact.at for fact, *_ in facts if fact.rank != 96), default=0)
    read(building, facts)
    first = next((part for part in parts if isinstance(part.facts[0], CallStarted)), parts[0])
    call = Call(ordered[0], first.account, first.provider, building.first_at, aliases=ordered[1:])
    return finish(building, call, country)


def _forget_receipts(journey: Journey) -> None:
    """A charge keeps its leg's; where there is none, a copy that was received earlier changes nothing."""
    for call in journey.calls:
        for leg in call.legs:
            leg.received_at = 0


def _by_rank(parts: list[Delivery], sids: list[str], aliases: set[str]) -> list[str]:
    """The id by which a call is known first: the provider's REST id before the PBX's, what nobody called an alias, the smallest."""
    ranks = [PROVIDERS[name].sid_rank for name in dict.fromkeys(part.provider for part in parts) if name in PROVIDERS]
    return sorted(sids, key=lambda sid: (max((rank(sid) for rank in ranks), default=0), sid in aliases, sid))


def _root(finished: dict[int, Finished], tied: Families) -> Finished:
    """The call without a parent, then the earliest start, then the smallest SID."""
    return min(
        finished.items(),
        key=lambda item: (tied.parents.get(item[0]) in finished, item[1].call.started_at, item[1].call.call_sid),
    )[1]


def _too_late(root: Finished, finished: dict[int, Finished]) -> None:
    """An agent who was rung for a waiting caller and answered after that caller had gone has talked with nobody."""
    gone = root.call.ended_at
    if gone is None or not root.building.visits:
        return
    rung = [part.main for part in finished.values() if _rung_for(part, root)]
    if not rung:
        return
    heard = any(leg.answered_at is not None and leg.answered_at < gone for leg in [*rung, *root.call.legs[1:]] if leg.kind in PERSON)
    unheard = not heard and _gave_up(root, gone)
    for leg in rung:
        if leg.answered_at is not None and leg.answered_at >= gone and (leg.started_at < gone or unheard):
            leg.too_late = True
            leg.segments = [segment for segment in leg.segments if segment.kind != "talk"]


def _rung_for(part: Finished, root: Finished) -> bool:
    """Whether that call is an agent's, placed for the root's caller."""
    begun = part.building.started
    return part.main.kind == "agent" and begun is not None and begun.parent_call_sid in (root.call.call_sid, *root.call.aliases)


def _gave_up(root: Finished, gone: Micros) -> bool:
    """Whether the root's caller left a queue by hanging up, though it was said later that somebody answered them out of it."""
    late = [visit for visit in root.building.visits if visit.outcome == "answered" and visit.left_at is not None and visit.left_at > gone]
    for visit in late:
        visit.left_at, visit.outcome = max(gone, visit.entered_at), "abandoned"
        for segment in root.main.segments:
            if (segment.kind, segment.queue, segment.started_at) == ("queue", visit.queue, visit.entered_at):
                segment.ended_at = visit.left_at
    return bool(late)


def _assembled(tenant: str, root: Finished, finished: dict[int, Finished]) -> Journey:
    others = sorted((one for one in finished.values() if one is not root), key=lambda one: (one.call.started_at, one.call.call_sid))
    parts = [root, *others]
    call = root.call
    journey = Journey(tenant, journey_id(tenant, call.call_sid), call.account, call.provider, call.started_at)
    journey.direction, journey.caller, journey.called = call.direction, call.caller, call.called
    journey.answered_at, journey.ended_at = call.answered_at, call.ended_at
    journey.calls = [part.call for part in parts]
    journey.queue_visits = sorted((visit for part in parts for visit in part.building.visits), key=lambda one: (one.entered_at, one.queue))
    journey.menu_path = sorted((step for part in parts for step in part.building.steps), key=lambda one: one.at)
    attribute(journey)
    over = all(part.ended for part in parts)
    presumed = any(part.presumed for part in parts)
    journey.state = "open" if not over else "presumed_ended" if presumed else "ended"
    journey.durations = _durations(journey)
    journey.outcome = outcome_of(journey, root, parts)
    journey.ended_by = who_hung_up(root) if root.ended else None
    journey.flow = next((part.building.flow for part in parts if part.building.flow), None)
    journey.bot = bot_result(journey, handed_over=any(part.building.handed_over for part in parts))
    journey.complete = journey.state == "ended" and all(map(_whole, parts))
    journey.last_sign_at = max(part.building.last_at for part in parts)
    return journey


def _whole(part: Finished) -> bool:
    """Everything that this provider sends of a call has come."""
    provider = PROVIDERS.get(part.call.provider)
    types = part.building.types
    return part.building.whole and (provider is None or bool(provider.starts & types and provider.ends & types))


def _durations(journey: Journey) -> Durations:
    spent = Durations()
    if journey.ended_at is not None:
        spent.total_ms = milliseconds(journey.started_at, journey.ended_at)
    for call in journey.calls:
        for leg in call.legs:
            for segment in leg.segments:
                length = segment.duration_ms or 0
                if segment.kind != "wrap_up":
                    field = f"{segment.kind}_ms"
                    setattr(spent, field, getattr(spent, field) + length)
    return spent


def _anomalies(finished: dict[int, Finished], everything: list[Delivery], *, conflicts: list[Delivery]) -> list[Anomaly]:
    found = [anomaly for part in finished.values() for anomaly in part.building.anomalies]
    for conflict in conflicts:
        detail = "it came again under the same event id with another body; the first received stands"
        found.append(Anomaly("conflicting_copy", detail, [conflict.event_id]))
    for delivery in everything:
        if delivery.at - delivery.received_at > SKEW:
            late = round((delivery.at - delivery.received_at) / 1_000_000)
            found.append(Anomaly("clock_skew", f"its time is {late} s after it was received", [delivery.event_id]))
    for part in finished.values():
        if part.ended and not _begins(part):
            found.append(Anomaly("missing_start", f"the beginning of call {part.call.call_sid} was not received", []))
    if len(everything) > MOST_EVENTS:
        detail = f"{len(everything)} events; those after the first {MOST_EVENTS} are kept but not folded"
        found.append(Anomaly("too_many_events", detail, []))
    return found


def _refused(links: list[tuple[str, str]], sids: set[str]) -> list[Anomaly]:
    """One for all links of this journey's calls: a storm of links must not make every page as long as the storm."""
    ours = [pair for pair in links if not sids.isdisjoint(pair)]
    if not ours:
        return []
    detail = f"{len(ours)} links would make the journey too large, the first that of {ours[0][0]} and {ours[0][1]}; they stay apart"
    return [Anomaly("too_many_calls", detail, [])]


def _begins(part: Finished) -> bool:
    provider = PROVIDERS.get(part.call.provider)
    return provider is None or bool(provider.starts & part.building.types)


def _labels(journey: Journey, everything: list[Delivery]) -> None:
    """Attributes (a later value replaces an earlier one) and the names that came from outside."""
    labels: dict[str, None] = {}
    for delivery in everything:
        for fact in delivery.facts:
            if fact.attributes:
                journey.attributes |= {name: value for name, value in fact.attributes.items() if name not in NOT_THE_JOURNEYS}
            if isinstance(fact, CallStarted):
                labels |= {name: None for name in (fact.client_request_id, fact.journey_id) if name}
    journey.labels = list(labels)
