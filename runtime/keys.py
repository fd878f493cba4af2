"""API keys: `sfk_<id>_<secret>`, shown once, kept as SHA-256. Scopes: read < write < admin, each may what the lesser may.

`Keys.find` asks Postgres at most once in ten seconds a key; while Postgres is away it goes on knowing, for ten minutes,
the keys it knew, so that receivers need no database.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Literal, TypeAlias, TypedDict

import msgspec
import sqlalchemy as sa

from runtime.problems import Retry

Scope: TypeAlias = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
FRESH_S = 10.0
STALE_S = 600.0
KEPT = 4096
_SHAPE = re.compile(r"sfk_[A-Za-z0-9]{8}_[A-Za-z0-9_-]{43}", re.ASCII)
_ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

TABLE = sa.Table(
    "api_keys", sa.MetaData(schema="safiri"), sa.Column("id", sa.Text, primary_key=True), sa.Column("tenant", sa.Text),
    sa.Column("name", sa.Text), sa.Column("scope", sa.Text), sa.Column("hash", sa.LargeBinary),
    sa.Column("created_at", sa.TIMESTAMP(timezone=True), server_default=sa.func.clock_timestamp()),
    sa.Column("revoked_at", sa.TIMESTAMP(timezone=True)),
)  # fmt: skip


class Grant(msgspec.Struct, frozen=True):
    """What a key opens: one tenant's rows, up to `scope`."""

    id: str
    tenant: str
    name: str
    scope: Scope

    def allows(self, scope: Scope) -> bool:
        return SCOPES.index(self.scope) >= SCOPES.index(scope)


class Listed(TypedDict):
    id: str
    tenant: str
    name: str
    scope: Scope
    created_at: datetime
    revoked_at: datetime | None


def create(connection: sa.Connection, *, name: str, tenant: str, scope: Scope) -> str:
    """Stores a new key's digest; returns the key, which nobody can read again. The caller commits."""
    identity = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    key = f"sfk_{identity}_{secrets.token_urlsafe(32)}"
    connection.execute(TABLE.insert().values(id=identity, tenant=tenant, name=name, scope=scope, hash=_hash(key)))
    return key


def listing(connection: sa.Connection) -> list[Listed]:
    """All keys, oldest first, revoked ones too; never their secrets."""
    chosen = (TABLE.c.id, TABLE.c.tenant, TABLE.c.name, TABLE.c.scope, TABLE.c.created_at, TABLE.c.revoked_at)
    found = connection.execute(sa.select(*chosen).order_by(TABLE.c.created_at, TABLE.c.id)).mappings()
    return [Listed(**row) for row in found]  # type: ignore[typeddict-item]


def revoke(connection: sa.Connection, identity: str) -> bool:
    """True where there is such a key; revoked twice stays revoked since the first time. The caller commits."""
    since = sa.func.coalesce(TABLE.c.revoked_at, sa.func.clock_timestamp())
    done = connection.execute(TABLE.update().where(TABLE.c.id == identity).values(revoked_at=since))
    return done.rowcount > 0


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def from_postgres(engine: sa.Engine) -> Callable[[bytes], Grant | None]:
    """How `Keys` asks: digest -> grant, None where there is none or it is revoked; Retry where Postgres does not answer."""
    wanted = sa.select(TABLE.c.id, TABLE.c.tenant, TABLE.c.name, TABLE.c.scope).where(
        TABLE.c.hash == sa.bindparam("hash"), TABLE.c.revoked_at.is_(None)
    )

    def ask(digest: bytes) -> Grant | None:
        try:
            with engine.connect() as connection:
                row = connection.execute(wanted, {"hash": digest}).one_or_none()
        except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
            raise Retry("Postgres does not answer, so the API key cannot be checked") from error
        return Grant(*row) if row else None

    return ask


class Keys:
    """Finds grants by key. Safe for several threads: a lost race costs one more question."""

    def __init__(self, ask: Callable[[bytes], Grant | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._clock = ask, clock
        self._known: OrderedDict[bytes, tuple[float, Grant]] = OrderedDict()

    def known(self, key: str) -> Grant | None:
        """The grant where it was asked for lately; never blocks."""
        kept = self._known.get(_hash(key)) if _SHAPE.fullmatch(key) else None
        return kept[1] if kept and self._clock() - kept[0] < FRESH_S else None

    def find(self, key: str) -> Grant | None:
        """None where the key is nonsense, unknown or revoked; may block. Raises Retry where nobody can say."""
        if not _SHAPE.fullmatch(key):
            return None
        return self.known(key) or self._asked(_hash(key))

    def _asked(self, digest: bytes) -> Grant | None:
        try:
            grant = self._ask(digest)
        except Retry:
            kept = self._known.get(digest)
            if kept and self._clock() - kept[0] < STALE_S:
                return kept[1]
            raise
        if grant is None:
            self._known.pop(digest, None)
            return None
        self._known[digest] = (self._clock(), grant)
        while len(self._known) > KEPT:
            self._known.popitem(last=False)
        return grant
