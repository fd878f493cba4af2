"""Money as people read it. Amounts are whole minor units, hundredths of their currency; nothing here is a float."""

from __future__ import annotations


def money(minor: int, currency: str | None) -> str:
    """`KES 4.50`, `KES -1,234.50`; without a currency the number alone."""
    whole, cents = divmod(abs(minor), 100)
    number = f"{'-' if minor < 0 else ''}{whole:,}.{cents:02d}"
    return f"{currency} {number}" if currency else number


def amount(minor: int | None, currency: str | None) -> str:
    """What a leg costs; one without an amount is unrated, and never free."""
    return "unrated" if minor is None else money(minor, currency)
