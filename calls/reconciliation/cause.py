"""The causes of differences, by their codes. Apart from the frames, so that who names a cause need not load Polars."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Cause: TypeAlias = Literal[
    "missing_ours", "missing_theirs", "duplicate_ours", "duplicate_theirs", "duration_ours_longer", "duration_theirs_longer", "clock_skew",
    "increment_rule", "rounding_mode", "rate_value", "rate_version", "direction", "unanswered_charged", "tax_basis", "currency_unit",
    "period_boundary", "non_call_charge", "top_up", "unexplained",
]  # fmt: skip
CAUSES: tuple[Cause, ...] = get_args(Cause)
