"""Laws that the numbers obey: what must be equal, or never more than something else, wherever it is looked at.

A law is broken by a bug of ours, or by somebody's hand in the derived tables; never by what a provider sends, however odd. Each
compares two ways to the same amount: what one table keeps, and what another one or the journey's own story comes to. How a law is
asked of the tables is in `runtime/laws`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Relation: TypeAlias = Literal["=", "<="]


class Law(msgspec.Struct, frozen=True):
    """`left` `relation` `right`, for each `per`. `of` is the instant that says whether something lies in a range [from, to)."""

    id: str
    relation: Relation
    left: str
    right: str
    per: str
    of: str

    @property
    def says(self) -> str:
        """The law in one sentence."""
        return f"{self.left} {'is' if self.relation == '=' else 'is at most'} {self.right}, for each {self.per}"

    def holds(self, left: int, right: int) -> bool:
        return left == right if self.relation == "=" else left <= right


_JOURNEY = "started_at of the journey"
_VISIT = "entry into the queue"
_DAY = "the begin of the agent's day"
_BEGIN = "the begin of the interval"
_CUT = "what of it lies in the range"

LAWS: tuple[Law, ...] = (
    Law("queue.offered", "=", "what was offered to a queue", "answered + abandoned + flowed out + refused + waiting",
        "queue and quarter of an hour", _VISIT),
    Law("queue.waiting", "=", "the number of visits nobody has left", "the number of those that wait", "queue and quarter of an hour",
        _VISIT),
    Law("queue.answered_by", "<=", "the number of visits that an agent answered", "the number of that agent's talks of that entry",
        "journey, entry and agent", _JOURNEY),
    Law("queue.slots", "=", "what the sums by quarter of an hour say", "what visits, legs and segments come to",
        "queue, quarter of an hour and column", "the quarter of an hour"),
    Law("calls.outcomes", "=", "the number of journeys", "the sum of all outcomes, states and directions", "quarter of an hour", _JOURNEY),
    Law("calls.open", "=", "whether a journey is open", "whether one of its calls is", "journey", _JOURNEY),
    Law("calls.indexed", "=", "every id of a journey's calls", "the ids that lead to it", "journey and id", _JOURNEY),
    Law("journeys.counts", "=", "how many visits and answers of people a journey says it has", "how many there are", "journey", _JOURNEY),
    Law("journeys.times", "=", "a journey's times in menus, queues, rings, talks, holds and with bots", "the sum of its segments",
        "journey and kind", _JOURNEY),
    Law("journeys.first", "=", "the agent a journey names", "the first named person who took the caller", "journey", _JOURNEY),
    Law("journeys.bots", "=", "what became of a journey with a bot", "what its bots, queues and people say", "journey", _JOURNEY),
    Law("journeys.told", "=", "every row of a journey", "what its document tells", "row and digest of what it says", _JOURNEY),
    Law("rows.belong", "=", "the rows of all tables", "those whose journey exists", "table and journey",
        "the row's own time; rows that no metric reads are looked at when no range is given"),
    Law("lengths.instants", "=", "every length that is kept", "what lies between its two instants", "journey and table", _JOURNEY),
    Law("lengths.negative", "=", "the number of rows", "the number of rows without anything below 0 or that ends before it starts",
        "table and row", "started_at of the journey, the quarter of an hour, or the agent's day"),
    Law("legs.parts", "<=", "ringing, talk, hold and bot of a leg that is over", "the leg's length", "leg", _JOURNEY),
    Law("handled.cohorts", "=", "the number of people's answers", "those of them counted to an answered visit's entry, or to themselves",
        "journey", _JOURNEY),
    Law("handled.segments", "=", "the segments that have a cohort", "the segments of people's answers, with their leg's cohort and menu",
        "leg, cohort and menu", _JOURNEY),
    Law("menus.last", "=", "the menu that a visit or a person's answer names", "the last menu before it", "row", _JOURNEY),
    Law("charges.legs", "=", "the charges of legs", "those whose leg is over and was as they say", "leg", _JOURNEY),
    Law("charges.working", "=", "the charges of legs", "those whose working comes to their amount", "leg", _JOURNEY),
    Law("charges.sums", "=", "what a journey says it was charged, and how many legs are unrated", "the sum of its charges",
        "journey and currency", _JOURNEY),
    Law("agents.logged_in", "=", "the sum of all states of an agent", "the time in which they were reported logged in, or talked", "agent",
        _CUT),
    Law("agents.states", "=", "the sum of all states", "the time logged in", "agent, day and quarter of an hour", "the quarter of an hour"),
    Law("agents.busy", "=", "the time an agent is talking", "the time in which at least one of their talks runs", "agent", _CUT),
    Law("agents.talk", "<=", "the time an agent is talking", "the sum of their talks", "agent", _CUT),
    Law("agents.heard", "=", "every reported state", "those whose delivery is in the journal", "agent and event",
        "the instant of the state"),
    Law("agents.disjoint", "=", "the intervals of an agent", "those that begin when the one before is over", "agent and begin", _BEGIN),
    Law("agents.reported", "=", "every interval in a reported state", "the state and reason last reported", "interval", _BEGIN),
    Law("agents.legs", "=", "the intervals of talk, hold, ringing and of wrap-up after a talk", "those whose leg says so", "interval",
        _BEGIN),
    Law("agents.days", "=", "the days of agents, their intervals and states", "those that lie where the days say", "agent and day", _DAY),
    Law("agents.shifts", "=", "first login and last logout of a day", "the begin of its first and the end of its last interval",
        "agent and day", _DAY),
    Law("agents.slots", "=", "what the sums by quarter of an hour say of agents", "what intervals and talks come to",
        "agent, quarter of an hour and column", "the quarter of an hour"),
    Law("statements.heard", "=", "the lines of statements in the journal", "the rows that are made of them", "account, receipt and digest",
        "the receipt of the line"),
)  # fmt: skip
BY_ID: dict[str, Law] = {law.id: law for law in LAWS}
