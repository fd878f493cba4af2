"""The statement lines that count: of each line the version that stands, which is its latest. Older versions stay in the table."""

from __future__ import annotations

from projections.statement_lines import TABLE

COLUMNS = tuple(str(column.name) for column in TABLE.columns)
_SAID = ", ".join(f'l."{name}"' for name in COLUMNS)
_SAME = " AND ".join(f'o."{name}" = l."{name}"' for name in ("tenant", "account", "kind", "row_id"))
_LATER = (
    '(o."updated_at" IS NOT NULL AND l."updated_at" IS NULL OR o."updated_at" > l."updated_at" '
    'OR o."updated_at" IS NOT DISTINCT FROM l."updated_at" AND (o."received_at", o."digest") > (l."received_at", l."digest"))'
)


def latest(schema: str = "live") -> str:
    """A source of rows for FROM, with the columns of table statement_lines: the latest version of each line, by updated_at (none is before
    all), then received_at, then digest. A condition on it (tenant, account, kind, a range of `at`, a call) goes down to an index."""
    table = f"{schema}.statement_lines"
    return f"(SELECT {_SAID} FROM {table} l WHERE NOT EXISTS (SELECT FROM {table} o WHERE {_SAME} AND {_LATER}))"


LATEST = latest()
