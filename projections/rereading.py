"""Another time zone or country of a tenant: what its accounts' streams say is read anew, for times without a zone and numbers without a
country are of the last configuration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from projections import account_streams, generations
from projections.project import configurations
from runtime.postgres import rows_as_kept


def mark(connection: psycopg.Connection[Any], tenants: Sequence[str]) -> None:
    """What these tenants' accounts said is to be read anew, as the configuration of this transaction has them."""
    connection.execute("INSERT INTO safiri.rereads SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING", (list(tenants),))


def reread(connection: psycopg.Connection[Any]) -> int:
    """Reads into the live tables what is marked; returns how many deliveries. `connection`: autocommit. A rebuild that is under way is
    waited for; one that is broken off leaves the marks."""
    tenants = [tenant for (tenant,) in connection.execute("SELECT tenant FROM safiri.rereads ORDER BY 1").fetchall()]
    if not tenants:
        return 0
    rows_as_kept(connection)
    account_streams.prepare(connection)
    connection.execute("SELECT pg_advisory_lock(%s)", (generations.MAKING,))
    try:
        with connection.transaction(), connection.cursor() as cursor:  # projectors that begin after it read the new configuration
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (generations.GATE,))
            until = account_streams.latest(cursor)
        after, count = 0, 0
        while after < until:
            with connection.transaction(), connection.cursor() as cursor:
                n, _ = generations.enter(cursor)
                generations.use(cursor, n)
                said, after = account_streams.page(cursor, after, until, tenants=tenants)
                account_streams.keep(cursor, said, configurations(cursor))
            count += len(said)
        connection.execute("DELETE FROM safiri.rereads WHERE tenant = ANY(%s)", (tenants,))
        return count
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", (generations.MAKING,))
