"""The metrics of answering: what agents did with calls, and how they spent their time. An agent-second is in exactly one state."""

from __future__ import annotations

from calls.metrics.metric import HANDLE, LENGTH, OF_AGENTS, STATE, TALK, Metric, ratio, terms

_AWS = "https://docs.aws.amazon.com/connect/latest/adminguide/metrics-definitions.md"
_GENESYS = "https://community.genesys.com/discussion/does-occupancy-include-all-busy-time"
_HOUSE = "https://www.callcentrehelper.com/difference-occupancy-utilisation-132518.htm"
_HANDLING = "busy + held + wrap_up"


def _handle(id_: str, name: str, *, says: str, formula: str, measure: str) -> Metric:
    return Metric(
        id=f"handle.{id_}", name=name, unit="ms", says=says, formula=formula, numerator=terms(measure), attributions=LENGTH, source=_AWS
    )


def _state(id_: str, name: str, *, says: str, formula: str, measure: str) -> Metric:
    return Metric(
        id=f"agent.{id_}",
        name=name,
        unit="ms",
        says=says,
        formula=formula,
        numerator=terms(measure),
        attributions=STATE,
        dimensions=OF_AGENTS,
    )


def _share(id_: str, name: str, *, says: str, formula: str, top: str, bottom: str, source: str) -> Metric:
    return ratio(id_, name, says=says, formula=formula, top=top, bottom=bottom, attributions=STATE, dimensions=OF_AGENTS, source=source)


AGENT_METRICS: tuple[Metric, ...] = (
    Metric(
        id="handle.count",
        name="Handled",
        unit="count",
        says="Answers by a person: one for each leg, so a call that two agents took counts twice.",
        formula="legs that a person answered",
        numerator=terms("handled"),
        attributions=HANDLE,
    ),
    _handle("talk", "Talk", says="Talk of handled legs, hold not in it.", formula="Σ talk", measure="talk"),
    _handle("hold", "Hold", says="Hold of handled legs.", formula="Σ hold", measure="hold"),
    _handle(
        "wrap_up",
        "Wrap-up",
        says="Time that agents spent in wrap_up, of the queue and the entry of the talk before it.",
        formula="Σ wrap-up",
        measure="wrapped_up",
    ),
    ratio(
        "handle.aht",
        "Average handling time",
        unit="ms",
        says="Mean of talk, hold and wrap-up for each answer; time in other states is not in it.",
        formula="(talk + hold + wrap-up) / handled",
        top="talk + hold + wrapped_up",
        bottom="handled",
        attributions=HANDLE,
        source=_AWS,
    ),
    Metric(
        id="agent.talk",
        name="Talk of agents",
        unit="ms",
        says="The sum of all talks of named agents: two at a time count twice. Hold is not in it.",
        formula="Σ talk",
        numerator=terms("agent_talk"),
        attributions=TALK,
    ),
    _state(
        "busy", "Busy", says="Time in at least one talk: two at a time count once.", formula="the union of an agent's talks", measure="busy"
    ),
    _state("hold", "Holding", says="Time with callers on hold and no talk.", formula="the union of holds, less talk", measure="held"),
    _state(
        "ringing",
        "Ringing",
        says="Time being rung, with no talk and no hold.",
        formula="the union of ringing, less talk and hold",
        measure="ringing",
    ),
    _state(
        "wrap_up",
        "Wrapping up",
        says="Time in the reported state wrap_up.",
        formula="wrap_up, less talk, hold and ringing",
        measure="wrap_up",
    ),
    _state(
        "communicating",
        "Communicating",
        says="Time reported as talking without any call here: a conversation that did not go through these numbers.",
        formula="talking as reported, less talk, hold and ringing",
        measure="communicating",
    ),
    _state("available", "Available", says="Time ready for a call.", formula="available, less talk, hold and ringing", measure="available"),
    _state(
        "paused", "Paused", says="Time not ready, whatever the reason.", formula="paused, less talk, hold and ringing", measure="paused"
    ),
    _state(
        "logged_in",
        "Logged in",
        says="Time in any state but offline. Who talks is logged in.",
        formula="busy + hold + ringing + wrap_up + communicating + available + paused",
        measure="logged_in",
    ),
    _state(
        "shift",
        "Shift",
        says="From the first login to the last logout of each local day, what lies between them included.",
        formula="Σ (last logout − first login) by day",
        measure="shift",
    ),
    _share(
        "occupancy.aws",
        "Occupancy (AWS)",
        says="Of the time that is given to calls or waits for them, the share given to calls.",
        formula="handling / (handling + available), handling = busy + hold + wrap_up",
        top=_HANDLING,
        bottom=f"{_HANDLING} + available",
        source=_AWS,
    ),
    _share(
        "occupancy.genesys",
        "Occupancy (Genesys)",
        says="As occupancy.aws, with communicating time below the line.",
        formula="handling / (handling + communicating + available)",
        top=_HANDLING,
        bottom=f"{_HANDLING} + communicating + available",
        source=_GENESYS,
    ),
    _share(
        "occupancy.logged_in",
        "Occupancy of logged-in time",
        says="The share of logged-in time that is given to calls; pauses lower it.",
        formula="handling / logged_in",
        top=_HANDLING,
        bottom="logged_in",
        source=_HOUSE,
    ),
    _share(
        "utilisation.logged_in",
        "Utilisation of logged-in time",
        says="The share of logged-in time that is given to calls or ready for them.",
        formula="(handling + available) / logged_in",
        top=f"{_HANDLING} + available",
        bottom="logged_in",
        source=_HOUSE,
    ),
    _share(
        "utilisation.shift",
        "Utilisation of the shift",
        says="The share of the time between first login and last logout that is given to calls or ready for them.",
        formula="(handling + available) / shift",
        top=f"{_HANDLING} + available",
        bottom="shift",
        source=_HOUSE,
    ),
)
