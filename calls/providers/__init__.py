"""The registry of providers. A provider is one file of pure translation and one line here.

To add one: write `calls/providers/x.py` with a `Provider`, add it to `PROVIDERS`, put samples and what they must
become under `tests/corpus/providers/x/`. The registry tests do the rest.
"""

from __future__ import annotations

from calls.providers import africastalking, asterisk_queue_log, minivoice, neutral, sautikit
from calls.providers.interface import Delivered, Identity, NotUnderstood, Provider

PROVIDERS: dict[str, Provider] = {
    provider.name: provider
    for provider in (sautikit.PROVIDER, minivoice.PROVIDER, africastalking.PROVIDER, asterisk_queue_log.PROVIDER, neutral.PROVIDER)
}

__all__ = ["PROVIDERS", "Delivered", "Identity", "NotUnderstood", "Provider"]
