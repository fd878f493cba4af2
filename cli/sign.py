"""`safiri sign`: the headers that a provider would send for a body; `--send` sends it."""

from __future__ import annotations

import sys
import time
import uuid
from pathlib import Path

import click

from cli.options import common
from runtime.problems import Missing, Refused
from runtime.settings import Settings


@click.command("sign")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--account", required=True, help="Whose signing secret to use (the first one).")
@click.option("--send", metavar="URL", help="POST the body there with these headers.")
@click.option("--content-type", help="Default: JSON, or a form where the body is no JSON.")
@common
def command(settings: Settings, file: Path, account: str, send: str | None, content_type: str | None) -> None:
    """Print the headers a provider would send for FILE (- for standard input)."""
    body = _read(file)
    headers = _headers(settings, account, body)
    for name, value in headers.items():
        click.echo(f"{name}: {value}")
    if send:
        kind = content_type or ("application/json" if body.lstrip()[:1] in (b"{", b"[") else "application/x-www-form-urlencoded")
        _send(send, body, headers | {"Content-Type": kind})


def _read(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Refused(422, "Unreadable", f"{file}: {error.strerror}") from None


def _headers(settings: Settings, account: str, body: bytes) -> dict[str, str]:
    from calls.providers import PROVIDERS

    known = settings.accounts.get(account)
    if known is None or known.provider not in PROVIDERS:
        names = ", ".join(sorted(settings.accounts)) or "none"
        raise Refused(422, "Unknown account", f"no account {account!r} that receives webhooks; known: {names}")
    if not known.signing_secrets:
        raise Refused(422, "No secret", f"accounts.{account} has no signing_secrets to sign with")
    secret = known.signing_secrets[0].get_secret_value()
    return PROVIDERS[known.provider].sign(body, secret, int(time.time()), f"msg_{uuid.uuid4().hex}")


def _send(url: str, body: bytes, headers: dict[str, str]) -> None:
    import httpx

    try:
        reply = httpx.post(url, content=body, headers=headers, timeout=15)
    except httpx.InvalidURL as error:
        raise Refused(422, "No address", f"--send {url!r}: {error}") from None
    except httpx.HTTPError as error:
        raise Missing(f"{url} does not answer: {error}") from error
    click.echo(f"{reply.status_code} {reply.reason_phrase}", err=True)
    if reply.status_code >= 300:
        raise Refused(reply.status_code, "Refused", f"{url} answered {reply.status_code}: {reply.text[:300]}")
