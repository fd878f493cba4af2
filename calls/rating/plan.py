"""A rate plan read from TOML text or from the same as an object, or everything that is wrong with it, field by field."""

from __future__ import annotations

from calls.faults import Faults
from calls.rating.terms import Applies, Plan, Rule, Standing, Step, Tax, Version

__all__ = ["Applies", "Faults", "Plan", "Rule", "Standing", "Step", "Tax", "Version"]
