"""`safiri tail`: follows the journal, one line a delivery, as they come.

Numbers of the journal become visible a little out of order (transactions commit when they commit), so the last seconds
are looked through again and again, and what was shown is not shown twice.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from cli.options import common
from cli.reading import connected, known_tenant, tenant_option
from runtime.problems import Missing, Retry
from runtime.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

EVERY_S = 0.25
LOOK_BACK_S = 10.0
AT_ONCE = 1000


@click.command("tail")
@tenant_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line (NDJSON).")
@common
def command(settings: Settings, tenant: str, as_json: bool) -> None:
    """Follow calls as they come, until interrupted: time, call SID, type, account."""
    known_tenant(settings, tenant)
    follower = Follower(tenant)
    with connected(settings) as engine:
        follower.begin(engine)
    away = False
    while True:
        try:
            with connected(settings) as engine:
                for row in follower.rows(engine):
                    if away:
                        click.echo("safiri: Postgres answers again", err=True)
                    away = False
                    if row is not None:
                        _show(row, as_json=as_json)
        except (Retry, Missing) as error:
            if not away:
                click.echo(f"safiri: {error}; waiting", err=True)
            away = True
            time.sleep(1)


class Follower:
    """Remembers which numbers of the journal were seen: those above `low` one by one, everything up to `low` wholly."""

    def __init__(self, tenant: str) -> None:
        self.tenant, self.low = tenant, 0
        self._seen: set[int] = set()
        self._marks: deque[tuple[float, int]] = deque()  # when the journal had got this far

    def begin(self, engine: sa.Engine) -> None:
        """Only what comes after now is followed."""
        import sqlalchemy as sa

        with engine.connect() as connection:
            self.low = int(connection.execute(sa.text("SELECT last_value FROM safiri.journal_seq")).scalar_one())

    def rows(self, engine: sa.Engine) -> Iterator[Any]:
        """Each new row once; None after a look that found nothing more. Ends only by an error of the database."""
        while True:
            found = self._look(engine)
            yield from found
            yield None
            if len(found) < AT_ONCE:
                time.sleep(EVERY_S)

    def _look(self, engine: sa.Engine) -> list[Any]:
        import sqlalchemy as sa

        from api.journal import JOURNAL

        numbers = sa.select(JOURNAL.c.seq).where(JOURNAL.c.seq > self.low)
        with engine.connect() as connection:
            new = sorted(set(connection.execute(numbers).scalars()) - self._seen)[:AT_ONCE]
            wanted = sa.select(JOURNAL).where(JOURNAL.c.tenant == self.tenant, JOURNAL.c.seq.in_(new)).order_by(JOURNAL.c.seq)
            found = list(connection.execute(wanted)) if new else []
        self._remember(new)
        return found

    def _remember(self, new: list[int]) -> None:
        now = time.monotonic()
        self._seen.update(new)
        if new:
            self._marks.append((now, new[-1]))
        while self._marks and self._marks[0][0] < now - LOOK_BACK_S:
            self.low = max(self.low, self._marks.popleft()[1])
            self._seen = {number for number in self._seen if number > self.low}


def _show(row: Any, *, as_json: bool) -> None:
    import json

    from api.journal import facts_of
    from calls.clock import rfc3339, to_micros
    from calls.events import name_of
    from calls.ladder import plain

    first = facts_of(row)[0]
    sid = first.call_sid or row.stream
    if as_json:
        shown = {
            "occurred_at": rfc3339(first.at), "received_at": rfc3339(to_micros(row.received_at)), "call_sid": sid, "type": name_of(first),
            "account": row.account, "event_id": row.event_id, "stream_kind": row.stream_kind,
        }  # fmt: skip
        line = json.dumps(shown)
    else:
        line = f"{rfc3339(first.at)}  {plain(sid)}  {name_of(first)}  {plain(row.account)}"
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
