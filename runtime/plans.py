"""Rate plans that are files: those shipped with Safiri, and any other by its path."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from calls.faults import Faults
from calls.rating.plan import parse
from calls.rating.terms import Plan
from runtime.problems import Refused, refusal
from runtime.settings import Account

LARGEST = 4 << 20
_SHIPPED = files("calls.rating") / "plans"


@cache
def shipped() -> dict[str, Plan]:
    """Every plan that comes with Safiri, by its name, which is its file's."""
    texts = {one.name.removesuffix(".toml"): one.read_text("utf-8") for one in _SHIPPED.iterdir() if one.name.endswith(".toml")}
    return {name: parse(texts[name], name=name) for name in sorted(texts)}


def shipped_text(name: str) -> str:
    """The file as it was written, with its comments."""
    return (_SHIPPED / f"{plan_named(name).id}.toml").read_text("utf-8")


def plan_named(name: str) -> Plan:
    """Raises Refused (404) where there is none."""
    if name not in shipped():
        raise Refused(404, "Unknown plan", f"there is no plan {name[:64]!r}; there are {', '.join(shipped())}")
    return shipped()[name]


def to_be_posted(accounts: Mapping[str, Account]) -> list[str]:
    """What to know of accounts whose plan does not come with Safiri. It may well have been posted; these files do not tell."""
    return [
        f"accounts.{name}.rate_plan: {account.rate_plan[:64]!r} does not come with Safiri: until it is posted (POST /v1/rate-plans), its "
        "legs are unrated"
        for name, account in accounts.items()
        if account.rate_plan and account.rate_plan not in shipped()
    ]


def plan_in(file: Path) -> Plan:
    """The plan in a TOML file; its name is the file's. Raises Refused with every fault."""
    try:
        return parse(text_of(file), name=file.stem)
    except Faults as faults:
        raise refused(faults, "Invalid plan") from None


def text_of(file: Path) -> str:
    """What stands in the file of a plan. Raises Refused where it cannot be read."""
    try:
        if file.stat().st_size > LARGEST:
            raise Refused(413, "Too large", f"{file}: a plan has at most {LARGEST} bytes")
        return file.read_text("utf-8-sig")
    except OSError as error:
        raise Refused(422, "Unreadable", f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Refused(422, "Unreadable", f"{file}: is no UTF-8 text") from None


def refused(faults: Faults, title: str) -> Refused:
    """422 with every field; in words the first of them."""
    (field, detail), *others = faults.faults
    return refusal(faults, title=title, detail=f"{field}: {detail}" + (f" (and {len(others)} more)" if others else ""))
