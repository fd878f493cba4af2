"""What do the virtual provider's people want, and when? One seed gives one demand: the same callers with the same wishes.

A wish says everything that a caller decides: whom they call, how long they wait, which keys they press (`press`), who hangs
up. Who serves them, and when, is decided in real time. Durations are drawn short, so that a morning passes in a minute.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from calls.simulator_trees import MenuKeys, Tree

Shape: TypeAlias = Literal["documented", "observed", "both"]
Result: TypeAlias = Literal["answered", "no_answer", "busy", "rejected", "failed"]
FOREVER_MS = 120_000  # a patient caller's patience: far above any wait
MOST_MENUS = 7  # nobody walks for ever: at the last one the caller hangs up
OUTBOUND = 0.2
AGAIN = 0.12  # callers who call once more
IMPATIENT = 0.16


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """One caller (or one called person), decided before the first call rings.

    `gap`: how long after the wish before it, in mean gaps. `person`: the number that is not ours. `patience_ms`: how long they
    wait in a queue; an impatient one is gone before anybody could answer. `result`: what becomes of an outgoing call, and of
    a person whom the flow dials (`dialled`). `as_json`: the PBX posts JSON, not a form.
    """

    n: int
    seed: str
    tree: Tree
    gap: float
    direction: Literal["inbound", "outbound"]
    person: str
    shape: Shape
    as_json: bool
    result: Result
    dialled: Result
    ring_ms: int
    patience_ms: int
    bot_ms: int
    talk_ms: int
    ends: Literal["caller", "agent"]


class Pressed(msgspec.Struct, frozen=True):
    """What a caller does in a menu: keys after a while, nothing ("") until it times out, or they hang up (`leaves`)."""

    digits: str
    after_ms: int
    leaves: bool = False


def demand(seed: int, *, calls: int, trees: Sequence[Tree]) -> list[Wish]:
    """`calls` wishes, in the order in which they ring."""
    dice = random.Random(f"demand {seed}")
    found: list[Wish] = []
    for n in range(calls):
        tree = trees[dice.randrange(len(trees))]
        before = [wish for wish in found if wish.tree.account == tree.account]
        again = bool(before) and dice.random() < AGAIN
        person = dice.choice(before).person if again else number(dice)
        found.append(_wish(dice, n=n, seed=f"{seed}/{n}", tree=tree, person=person))
    return found


def _wish(dice: random.Random, *, n: int, seed: str, tree: Tree, person: str) -> Wish:
    outbound = dice.random() < OUTBOUND
    # What an outgoing call came to is told by lifecycle webhooks only: nobody answers, so nobody is asked.
    shape: Shape = dice.choice(("documented", "both", "both")) if outbound else dice.choice(("documented", "observed", "both", "both"))
    impatient = not outbound and dice.random() < IMPATIENT
    return Wish(
        n=n, seed=seed, tree=tree, person=person, gap=dice.expovariate(1.0), direction="outbound" if outbound else "inbound", shape=shape,
        as_json=dice.random() < 0.15, result=_result(dice, 0.6), dialled=_result(dice, 0.8), ring_ms=dice.randrange(100, 400),
        patience_ms=dice.randrange(30, 90) if impatient else FOREVER_MS if tree.staffed else dice.randrange(1_000, 2_500),
        bot_ms=dice.randrange(60, 200) if dice.random() < 0.25 else FOREVER_MS, talk_ms=dice.randrange(200, 900),
        ends="agent" if dice.random() < 0.4 else "caller",
    )  # fmt: skip


def _result(dice: random.Random, answered: float) -> Result:
    failures: tuple[Result, ...] = ("no_answer", "no_answer", "busy", "rejected", "failed")
    return "answered" if dice.random() < answered else dice.choice(failures)


def number(dice: random.Random) -> str:
    """A mobile number of the range that the simulator's people have."""
    return f"+2547{dice.randrange(30_000_000, 90_000_000)}"


def passer_by(seed: str, tree: Tree) -> Wish:
    """Somebody who calls, or is called, outside any demand: the same seed is the same person."""
    dice = random.Random(f"passer-by {seed}")
    wish = _wish(dice, n=-1, seed=seed, tree=tree, person=number(dice))
    return msgspec.structs.replace(wish, shape="both", as_json=False, patience_ms=FOREVER_MS, talk_ms=dice.randrange(300, 2_000))


def press(wish: Wish, *, nth: int, menu: MenuKeys) -> Pressed:
    """What the caller does at their `nth` menu (from 0), whatever menu it is."""
    dice = random.Random(f"press {wish.seed}/{nth}")
    after, roll = dice.randrange(60, 320), dice.random()
    if nth >= MOST_MENUS or roll < 0.06:
        return Pressed("", after, leaves=True)
    if roll < 0.10:
        return Pressed("", 0)
    if roll < 0.18 or not menu.choices:
        wrong = [key for key in "1234567890*" if key not in menu.choices]
        return Pressed("".join(dice.choice(wrong or ["0"]) for _ in range(max(1, menu.digits))), after)
    return Pressed(dice.choice(menu.choices), after)


def dialled(wish: Wish, nth: int) -> tuple[Result, int]:
    """What becomes of the `nth` person (from 0) whom the flow dials for the caller, and after how many ms."""
    if nth == 0:
        return wish.dialled, wish.ring_ms
    dice = random.Random(f"dial {wish.seed}/{nth}")
    return _result(dice, 0.8), dice.randrange(100, 400)


def picks_up(seed: int, *, agent: str, nth: int) -> tuple[bool, int]:
    """Whether the agent answers their `nth` ringing (from 0), and after how many ms; a phone that nobody takes rings a little longer."""
    dice = random.Random(f"rings {seed}/{agent}/{nth}")
    answers = dice.random() >= 0.06
    return answers, dice.randrange(150, 350) if answers else dice.randrange(350, 600)
