"""The law of statement lines, as SQL: each delivery of one is a row, and each row is of a delivery."""

from __future__ import annotations

from runtime.laws.sides import both

_TIME = "{0}.tenant = %(tenant)s AND {0}.received_at >= %(since)s AND {0}.received_at < %(until)s"
_SAID = "{0}.account, {0}.received_at, encode({0}.digest, 'hex') AS digest, 1 AS amount"
HEARD = both(
    ("account", "received_at", "digest"),
    f"SELECT {_SAID.format('e')} FROM safiri.journal e "
    f"WHERE e.stream_kind = 'account' AND e.source IN ('statement', 'poll') AND {_TIME.format('e')}",
    f"SELECT {_SAID.format('t')} FROM live.statement_lines t WHERE {_TIME.format('t')}",
)
