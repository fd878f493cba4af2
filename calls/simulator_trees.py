"""What can a caller meet in a flow? Read from the configuration alone: its menus and their keys, its queues and who serves them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

import msgspec


class MenuKeys(msgspec.Struct, frozen=True):
    """The keys that lead somewhere, and how many a choice has."""

    choices: tuple[str, ...] = ()
    digits: int = 1


UNKNOWN_MENU = MenuKeys(choices=("1", "2", "3"))  # one that the configuration does not show: somebody's own application


class Tree(msgspec.Struct, frozen=True):
    """One flow, as the people who call it may meet it. `queues`: step -> queue; `staffed`: somebody serves at least one of them."""

    flow: str
    account: str
    start: str
    menus: dict[str, MenuKeys]
    queues: dict[str, str]
    staffed: bool = False

    def menu(self, step: str | None) -> MenuKeys:
        return self.menus.get(step or "", UNKNOWN_MENU)

    def queue(self, step: str | None) -> str | None:
        """The queue of a step; of an address that names none, that of the flow's only queue."""
        if step in self.queues:
            return self.queues[step or ""]
        return next(iter(self.queues.values())) if step is None and len(self.queues) == 1 else None


def trees(flows: Mapping[str, object], *, accounts: Collection[str], staffed: Collection[str]) -> list[Tree]:
    """The flows of `accounts`, in order of their names; `staffed`: the queues that have agents."""
    found = []
    for name, flow in sorted(flows.items()):
        account = _text(flow, "account")
        if account in accounts:
            found.append(_tree(name, flow, staffed=staffed))
    return found


def _tree(name: str, flow: object, *, staffed: Collection[str]) -> Tree:
    steps = _part(flow, "steps")
    queues = {step: _text(fields, "queue") for step, fields in steps.items() if _text(fields, "kind") == "queue"}
    menus = {step: _keys(fields) for step, fields in steps.items() if _text(fields, "kind") == "menu"}
    return Tree(
        flow=name, account=_text(flow, "account"), start=_text(flow, "start"), menus=menus, queues=queues,
        staffed=any(queue in staffed for queue in queues.values()),
    )  # fmt: skip


def _keys(fields: object) -> MenuKeys:
    digits = fields.get("digits") if isinstance(fields, Mapping) else None
    return MenuKeys(choices=tuple(sorted(_part(fields, "choices"))), digits=digits if isinstance(digits, int) else 1)


def _part(value: object, name: str) -> dict[str, object]:
    found = value.get(name) if isinstance(value, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def _text(value: object, name: str) -> str:
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, str) else ""


def place(url: str) -> tuple[str | None, str | None]:
    """(flow, step) of an address `…/voice/{flow}[/{step}]`; None for what it does not name."""
    parts = urlsplit(url).path.split("/")
    if "voice" not in parts:
        return None, None
    after = [part for part in parts[parts.index("voice") + 1 :] if part]
    return (after[0] if after else None), (after[1] if len(after) > 1 else None)
