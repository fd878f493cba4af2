"""The charges that count: those of closed periods as they were closed, all others as the projection has them now."""

from __future__ import annotations

from projections.charges import TABLE

COLUMNS = tuple(str(column.name) for column in TABLE.columns)
_SAID = ", ".join(f'c."{name}"' for name in COLUMNS)
_CLOSED = (
    "SELECT FROM safiri.closed_periods p WHERE p.tenant = c.tenant AND p.account = c.account AND p.from_at <= c.started_at "
    "AND c.started_at < p.to_at"
)


def charged(schema: str = "live") -> str:
    """A source of rows for FROM, with the columns of table charges. Ask it for a tenant, an account and a range of `started_at`."""
    return f"(SELECT {_SAID} FROM {schema}.charges c WHERE NOT EXISTS ({_CLOSED}) UNION ALL SELECT {_SAID} FROM safiri.closed_charges c)"


CHARGED = charged()
