"""The statement lines that count: of each line the version that stands, which is its latest. Older versions stay in the table."""

from __future__ import annotations

from projections.statement_lines import TABLE

COLUMNS = tuple(str(column.name) for column in TABLE.columns)
_SAID = ", ".join(f'l."{name}"' for name in COLUMNS)
_LINE = "l.tenant, l.account, l.kind, l.row_id"


def latest(schema: str = "live") -> str:
    """A source of rows for FROM, with the columns of table statement_lines: the latest version of each line, by updated_at (none is before
    all), then received_at, then digest. Ask it for a tenant and an account: a condition on these, and on the kind, goes down to the key.

    In the order of the key, so that a table of which the planner knows nothing yet is never compared line by line with itself.
    """
    return (
        f"(SELECT DISTINCT ON ({_LINE}) {_SAID} FROM {schema}.statement_lines l "
        f"ORDER BY {_LINE}, l.updated_at DESC NULLS LAST, l.received_at DESC, l.digest DESC)"
    )


LATEST = latest()
