"""What `safiri metrics` and `safiri explain` share: options out of the API's own parameters, and numbers as people read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from cli.options import Function

if TYPE_CHECKING:
    from calls.metrics.parameters import Parameter

Pairs = Iterable[tuple[str, str]]


def parameters(known: dict[str, Parameter], *, without: tuple[str, ...] = ()) -> Callable[[Function], Function]:
    """An option for each parameter: `threshold_s` is --threshold-s. The command receives them as `asked_NAME`."""

    def decorate(function: Function) -> Function:
        for name, one in reversed(known.items()):
            if name not in without:
                option = click.option(f"--{name.replace('_', '-')}", f"asked_{name}", metavar="VALUE", multiple=one.many, help=one.says)
                function = option(function)
        attribute = click.option("--attr", "attributes", multiple=True, metavar="NAME=VALUE", help="An attribute has this text.")
        return attribute(function)

    return decorate


def items(given: dict[str, Any], attributes: tuple[str, ...], *, prefix: str = "attr.") -> Iterator[tuple[str, str]]:
    """Names and texts as a request would bring them."""
    for name, value in given.items():
        for text in value if isinstance(value, tuple) else () if value is None else (value,):
            yield name.removeprefix("asked_"), text
    yield from pairs(attributes, prefix)


def pairs(written: tuple[str, ...], prefix: str) -> Pairs:
    """`NAME=VALUE` as parameters `prefix.NAME`."""
    for one in written:
        name, _, value = one.partition("=")
        yield f"{prefix}{name}", value


def figure(value: float | None, unit: str, currency: str | None = None) -> str:
    """A value with its unit: `83.02 %`, `12.3 s`, `KES 4.50`, `1060`; `-` where there is none."""
    from calls.ladder import spoken
    from calls.money import money

    if value is None:
        return "-"
    if unit == "ratio":
        return f"{value * 100:.2f} %"
    if unit == "ms":
        return spoken(round(value))
    if unit == "minor":
        return money(round(value), currency)
    return str(round(value)) if value == round(value) else f"{value:g}"


def table(head: list[str], rows: list[list[str]], *, left: int) -> Iterator[str]:
    """Lines of a table: the first `left` columns begin at the left, the others end at the right."""
    widths = [max(len(row[n]) for row in [head, *rows]) for n in range(len(head))]
    for row in [head, *rows]:
        cells = (f"{cell:<{width}}" if n < left else f"{cell:>{width}}" for n, (cell, width) in enumerate(zip(row, widths, strict=True)))
        yield "  ".join(cells).rstrip()
