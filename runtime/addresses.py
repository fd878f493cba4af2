"""Where the running stack is: the environment's addresses, else what `safiri up` wrote into its data directory."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TypedDict

from runtime.problems import Missing
from runtime.settings import Settings

VIRTUAL = "virtual"  # an account's api_url that says so
VENDORS = {"sautikit": "https://api.sautikit.com", "minivoice": "https://api.minivoice.eu"}


class Addresses(TypedDict):
    """Of one running stack. `pid` is that of `safiri up`, 0 where there is none (external); `virtual` is the virtual
    provider's, "" where no account is with it."""

    http: str
    database: str
    kafka: str
    virtual: str
    pid: int


def file_of(data_dir: Path) -> Path:
    return data_dir / "run.json"


def write(data_dir: Path, addresses: Addresses) -> None:
    """For the owner's eyes only: the database address has a password in it."""
    scratch = file_of(data_dir).with_suffix(".new")
    with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        json.dump(addresses, out)
    scratch.rename(file_of(data_dir))


def find(settings: Settings) -> Addresses:
    """Raises Missing where nothing runs on the data directory and the environment names no addresses."""
    here = _running(settings.data_dir)
    database, kafka = settings.database_url, settings.kafka_bootstrap
    if here is None and not (database and kafka):
        raise Missing(f"nothing runs on {settings.data_dir}: start it with `safiri up`, or name it with --data-dir")
    return {
        "http": here["http"] if here else settings.public_url or f"http://{settings.http_host}:{settings.http_port}",
        "database": database or (here["database"] if here else ""),
        "kafka": kafka or (here["kafka"] if here else ""),
        "virtual": settings.virtual_url or (here.get("virtual", "") if here else ""),
        "pid": here["pid"] if here else 0,
    }


def api_url(settings: Settings, account: str) -> str:
    """The base of an account's provider's REST (`{base}/v1/calls`); "" where there is none.

    `virtual` is the virtual provider of this stack, which serves every account under its own path.
    """
    known = settings.accounts.get(account)
    if known is None:
        return ""
    if known.api_url != VIRTUAL:
        return (known.api_url or VENDORS.get(known.provider, "")).rstrip("/")
    here = None if settings.virtual_url else _running(settings.data_dir)
    base = settings.virtual_url or (here.get("virtual", "") if here else "")
    return f"{base.rstrip('/')}/{account}" if base else ""


def virtual_accounts(settings: Settings) -> list[str]:
    """Those whose provider is the virtual one."""
    return [name for name, account in settings.accounts.items() if account.api_url == VIRTUAL]


def _running(data_dir: Path) -> Addresses | None:
    try:
        found: Addresses = json.loads(file_of(data_dir).read_text())
        os.kill(found["pid"], 0)
    except PermissionError:
        return found  # it runs, as somebody else
    except (OSError, ValueError, KeyError):
        return None
    return found
