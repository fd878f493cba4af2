"""Remembers. The registry of projections, each one table and one pure function of a journey.

To add one: write `projections/x.py` with a `PROJECTION` and add it to `PROJECTIONS`. No migration: a changed set of
derived tables is a new generation, which `safiri migrate` makes and fills from the journal.
"""

from __future__ import annotations

from projections import (
    agent_days,
    agent_intervals,
    agent_slots,
    agent_states,
    calls_table,
    charges,
    journeys,
    labels,
    legs,
    menu_steps,
    queue_slots,
    queue_visits,
    segments,
    statement_lines,
)
from projections.shape import AccountTable, AgentTable, Aggregate, Projection

PROJECTIONS: tuple[Projection, ...] = (
    journeys.PROJECTION,
    calls_table.PROJECTION,
    legs.PROJECTION,
    segments.PROJECTION,
    queue_visits.PROJECTION,
    menu_steps.PROJECTION,
    labels.PROJECTION,
    charges.PROJECTION,
)
AGGREGATES: tuple[Aggregate, ...] = (queue_slots.AGGREGATE,)
AGENT_TABLES: tuple[AgentTable, ...] = tuple(AgentTable(one.TABLE) for one in (agent_states, agent_days, agent_intervals, agent_slots))
ACCOUNT_TABLES: tuple[AccountTable, ...] = (statement_lines.ACCOUNT_TABLE,)
