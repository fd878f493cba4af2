"""Where calls stand in their flows: one operational row a call and flow, read and written for many calls at once.

The row decides; what this process remembers of it serves only while Postgres is away. The answer that brought a call where it
stands is kept with it: a request that is behind gets it again, and of two that race the loser is given the winner's.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec
from psycopg.types.json import Jsonb

from api.voice.link import Batched, Link
from calls.voice.decide import State
from runtime.problems import Retry

Bot: TypeAlias = Literal["open", "handed_over", "ended", "failed"]
REMEMBERED = 10_000
OWED_S, AT_ONCE = 1.2, 500  # how soon, and how many together, what Postgres could not take is written
SEPARATOR = "\x1f"
_encode_state = msgspec.json.Encoder().encode
_decode_state = msgspec.json.Decoder(State).decode

_COLUMN = "string_to_array(%s, E'\\x1f')"  # psycopg's own way of writing an array costs ten times as much
_KEYS = ", ".join([_COLUMN] * 4)
FIND = f"""
SELECT asked.n, found.state, found.answer, found.content_type
  FROM unnest({_KEYS}) WITH ORDINALITY AS asked(tenant, account, call_sid, flow, n)
  JOIN safiri.voice_calls AS found USING (tenant, account, call_sid, flow)
"""
KEEP = f"""
INSERT INTO safiri.voice_calls AS kept (tenant, account, call_sid, flow, visit, state, answer, content_type)
SELECT tenant, account, call_sid, flow, visit::int, state, decode(answer, 'hex'), content_type
  FROM unnest({_KEYS}, {", ".join([_COLUMN] * 4)}) AS new(tenant, account, call_sid, flow, visit, state, answer, content_type)
ON CONFLICT (tenant, account, call_sid, flow) DO UPDATE
   SET visit = excluded.visit, state = excluded.state, answer = excluded.answer, content_type = excluded.content_type,
       updated_at = clock_timestamp()
 WHERE kept.visit < excluded.visit
RETURNING tenant, account, call_sid, flow
"""
OF_CALL = """
SELECT flow, state, answer, content_type FROM safiri.voice_calls
 WHERE tenant = %s AND account = %s AND call_sid = %s ORDER BY updated_at DESC LIMIT 1
"""
MARK = """
UPDATE safiri.voice_calls SET state = (state::jsonb || %s)::text
 WHERE tenant = %s AND account = %s AND call_sid = %s AND (flow = %s OR %s)
   AND coalesce(state::jsonb ->> %s::text, '') = ANY(%s)
RETURNING flow, state
"""


class Key(NamedTuple):
    """`flow` "": any, where a call is marked whatever flow it is in."""

    tenant: str
    account: str
    call_sid: str
    flow: str


class Position(NamedTuple):
    state: State
    answer: bytes
    content_type: str


class Positions:
    """Every method raises Retry where Postgres is away and this process remembers nothing better."""

    def __init__(self, database_url: str):
        self.link = Link(database_url, "voice positions")
        self._remembered: OrderedDict[Key, Position] = OrderedDict()
        self._owed: OrderedDict[Key, None] = OrderedDict()
        self._making_good: asyncio.Task[None] | None = None
        self._find: Batched[Key, Position | None] = Batched(self.link, self._found)
        self._keep: Batched[tuple[Key, Position], bool] = Batched(self.link, self._kept)

    async def find(self, key: Key) -> Position | None:
        """Where the call stands in the flow; None where it was never heard of. What is remembered is ahead of the row where
        that could not be written."""
        known = self._remembered.get(key)
        try:
            found = await self._find(key)
        except Retry:
            if known is None:
                raise
            return known
        if known is not None and (found is None or found.state.visit < known.state.visit):
            return known
        if found is not None:
            self._remember(key, found)
        return found

    async def keep(self, key: Key, position: Position) -> Position:
        """The position that now stands: this one, or that of another request which was quicker."""
        before = self._remembered.get(key)
        if before is None or before.state.visit < position.state.visit:
            self._remember(key, position)
        try:
            written = await self._keep((key, position))
        except Retry:
            self._owe(key)
            raise
        return position if written else await self._find(key) or position

    def _owe(self, key: Key) -> None:
        """What could not be written is written later, from what is remembered."""
        self._owed[key] = None
        while len(self._owed) > REMEMBERED:
            self._owed.popitem(last=False)
        if self._making_good is None or self._making_good.done():
            self._making_good = asyncio.create_task(self._make_good(), name="voice positions owed")

    async def _make_good(self) -> None:
        while self._owed:
            await asyncio.sleep(OWED_S)
            keys = list(self._owed)[:AT_ONCE]
            with suppress(Retry):
                await self._kept([(key, self._remembered[key]) for key in keys if key in self._remembered])
                for key in keys:
                    self._owed.pop(key, None)

    async def of_call(self, key: Key) -> tuple[str, Position] | None:
        """(flow, where the call stands in it), of the flow it was in last."""
        rows = await self.link.rows(OF_CALL, key[:3])
        return (rows[0][0], _read(rows[0][1:])) if rows else None

    # ------------------------------------------------------------ what others know of the call

    async def mark_bot(self, tenant: str, account: str, call_sid: str, flow: str, bot: Bot) -> None:
        """What became of the bot's audio. The first word on its end stands."""
        await self._mark(Key(tenant, account, call_sid, flow), {"bot": bot}, where="bot", among=["", "open"])

    async def mark_served(self, *, tenant: str, account: str, call_sid: str) -> None:
        """An agent joins the caller who waits."""
        await self._mark(Key(tenant, account, call_sid, ""), {"served": True}, where="waits", among=["queue"])

    async def mark_dialled(self, key: Key, answered: bool | None) -> None:
        """The dial is over."""
        await self._mark(key, {"dial_answered": answered}, where="waits", among=["dial"])

    async def _mark(self, key: Key, changes: dict[str, object], *, where: str, among: list[str]) -> None:
        """Changes the state, in the row and in what is remembered, where its field `where` is one of `among`."""
        for one in [one for one in self._remembered if one[:3] == key[:3]] if not key.flow else [key]:
            self._mark_remembered(one, changes, where=where, among=among)
        rows = await self.link.rows(MARK, (Jsonb(changes), *key[:3], key.flow, not key.flow, where, among))
        for flow, state in rows:
            known = self._remembered.get(key._replace(flow=flow))
            if known is not None:
                self._remember(key._replace(flow=flow), known._replace(state=_decode_state(state)))

    def _mark_remembered(self, key: Key, changes: dict[str, Any], *, where: str, among: list[str]) -> None:
        known = self._remembered.get(key)
        if known is not None and getattr(known.state, where) in among:
            self._remember(key, known._replace(state=msgspec.structs.replace(known.state, **changes)))

    # ------------------------------------------------------------ many at once

    async def _found(self, keys: list[Key]) -> Sequence[Position | None]:
        found: list[Position | None] = [None] * len(keys)
        for row in await self.link.rows(FIND, _columns(keys)):
            with suppress(msgspec.MsgspecError):  # a state of another version of ours: as if it were not there
                found[row[0] - 1] = _read(row[1:])
        return found

    async def _kept(self, asked: list[tuple[Key, Position]]) -> Sequence[bool]:
        """Whether each stands. Of two for the same call the one that is further is written; sorted, so that no two processes wait
        for each other."""
        best: dict[Key, Position] = {}
        for key, position in asked:
            if key not in best or best[key].state.visit < position.state.visit:
                best[key] = position
        keys = sorted(best)
        rows = [(key, best[key]) for key in keys]
        values = [
            (*key, str(one.state.visit), _encode_state(one.state).decode(), one.answer.hex(), one.content_type) for key, one in rows
        ]  # fmt: skip
        written = {Key(*row) for row in await self.link.rows(KEEP, _columns(values))}
        return [key in written and best[key] is position for key, position in asked]

    def _remember(self, key: Key, position: Position) -> None:
        self._remembered[key] = position
        self._remembered.move_to_end(key)
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)

    async def close(self) -> None:
        if self._making_good is not None:
            self._making_good.cancel()
        await self._find.close()
        await self._keep.close()
        await self.link.close()


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Each column as one text. No id that we take has a control character in it, and JSON escapes its own."""
    return [SEPARATOR.join(column) for column in zip(*rows, strict=True)]


def _read(row: Sequence[Any]) -> Position:
    state, answer, content_type = row
    return Position(_decode_state(state), bytes(answer), content_type)
