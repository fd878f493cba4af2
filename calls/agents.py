"""Agents' time: reported states and the stretches of their legs → what each agent did at every instant."""

from __future__ import annotations

VERSION = 1  # of the meaning of agents' time: a change makes `safiri migrate` rebuild
DAY_MS = 86_400_000
LONGEST_MS = 2 * DAY_MS  # of an interval or talk that is counted into quarter hours
STATES = ("talking", "hold", "ringing", "wrap_up", "paused", "available", "communicating")
SLOT_COLUMNS = (*STATES, "logged_in", "talk")
