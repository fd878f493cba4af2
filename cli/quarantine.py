"""`safiri quarantine ls|show|redrive`: what could not be understood, why, and again."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import click

from cli.options import as_json, common
from cli.reading import connected, known_tenant, printed
from runtime import addresses
from runtime.problems import Refused
from runtime.settings import Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

MOST = 10_000


@click.group("quarantine")
def command() -> None:
    """What could not be understood, why, and again."""


@command.command("ls")
@click.option("--tenant", metavar="NAME", help="Only this tenant's (default: everybody's).")
@as_json
@common
def list_(settings: Settings, tenant: str | None, as_json: bool) -> None:
    """List what is in quarantine, newest first."""
    if tenant is not None:
        known_tenant(settings, tenant)
    with connected(settings) as engine:
        found = _kept(engine, tenant)
    if len(found) > MOST:
        click.echo(f"only the newest {MOST} are listed", err=True)
    rows = [_row(row) for row in found[:MOST]]
    if as_json:
        printed(rows)
        return
    for row in rows:
        click.echo(f"{row['id']}  {row['received_at']}  {row['account'] or '-':12}  {row['bytes']:>8} B  {_plain(row['reason'])}")
    if not rows:
        click.echo("the quarantine is empty", err=True)


@command.command("show")
@click.argument("identity", metavar="ID")
@as_json
@common
def show(settings: Settings, identity: str, as_json: bool) -> None:
    """Show one of them whole, with its body (masked, as it was stored)."""
    from api.journal import QUARANTINE

    number = _number(identity)
    with connected(settings) as engine, engine.connect() as connection:
        row = connection.execute(QUARANTINE.select().where(QUARANTINE.c.id == number)).one_or_none()
    if row is None:
        raise _unknown(identity)
    if as_json:
        printed(_row(row) | _rest(row) | {"body": _json_body(row.body)})
        return
    for name, value in (_row(row) | _rest(row)).items():
        click.echo(f"{name:14}{_plain(str(value)) if value is not None else '-'}")
    click.echo()
    click.echo(_text(row.body))


@command.command("redrive")
@click.argument("identities", metavar="ID…", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that are kept.")
@as_json
@common
def redrive(settings: Settings, identities: tuple[str, ...], everything: bool, as_json: bool) -> int:
    """Send them through the log again. Exit 1 where some are still not understood."""
    if bool(identities) == everything:
        raise click.UsageError("name the ids to redrive, or give --all")
    from ingest.redrive import redrive as again

    ids = [str(_number(identity)) for identity in identities]
    done: dict[str, Any] = again(settings, addresses.find(settings), ids, everything)
    if as_json:
        printed(done)
    else:
        click.echo(", ".join(f"{name} {value}" for name, value in done.items()))
    return 1 if done["kept"] else 0


def _kept(engine: sa.Engine, tenant: str | None) -> list[Any]:
    import sqlalchemy as sa

    from api.journal import QUARANTINE

    columns = [column for column in QUARANTINE.c if column.name != "body"]
    wanted = sa.select(*columns, sa.func.octet_length(QUARANTINE.c.body).label("bytes")).where(QUARANTINE.c.redriven_at.is_(None))
    if tenant is not None:
        wanted = wanted.where(QUARANTINE.c.tenant == tenant)
    with engine.connect() as connection:
        return list(connection.execute(wanted.order_by(QUARANTINE.c.received_at.desc(), QUARANTINE.c.id).limit(MOST + 1)))


def _row(row: Any) -> dict[str, Any]:
    from calls.clock import rfc3339, to_micros

    size = row.bytes if hasattr(row, "bytes") else len(row.body)
    return {
        "id": str(row.id), "reason": row.reason, "tenant": row.tenant, "account": row.account,
        "received_at": rfc3339(to_micros(row.received_at)), "bytes": size, "attempts": row.attempts,
    }  # fmt: skip


def _rest(row: Any) -> dict[str, Any]:
    return {
        "provider": row.provider, "source": row.source, "content_type": row.content_type, "headers": row.headers,
        "kafka": f"{row.topic}/{row.partition}/{row.offset}", "import_id": row.import_id,
        "tried_at": str(row.tried_at) if row.tried_at else None, "redriven_at": str(row.redriven_at) if row.redriven_at else None,
    }  # fmt: skip


def _number(identity: str) -> uuid.UUID:
    try:
        return uuid.UUID(identity)
    except ValueError:
        raise _unknown(identity) from None


def _unknown(identity: str) -> Refused:
    return Refused(
        404, "Not in quarantine", f"nothing in quarantine has the id {identity[:80]!r}; `safiri quarantine ls` lists what is there"
    )


def _plain(text: str) -> str:
    from calls.ladder import plain

    return plain(text)


def _text(body: bytes) -> str:
    """The body as lines of printable text; what cannot be printed is escaped."""
    try:
        return "\n".join(_plain(line) for line in body.decode().split("\n"))
    except UnicodeDecodeError:
        return "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in body)


def _json_body(body: bytes) -> dict[str, str]:
    import base64

    try:
        return {"text": body.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode()}
