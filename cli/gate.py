"""Started early by `safiri up`, a role imports its code while the stack comes up, then waits at a gate until it may go on."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Sequence

from cli.serve import ROLES
from runtime.children import GATE

# What `safiri migrate` will need; a name that is not there is no fault here.
MIGRATE = ("cli.migrate", "runtime.telemetry", "runtime.kafka", "projections.schema", "alembic.command")


def wait(args: Sequence[str]) -> None:
    """No gate in the environment, no wait."""
    gate = os.environ.pop(GATE, None)
    if gate is None:
        return
    needed = (ROLES.get(args[1], "cli"),) if args[:1] == ["serve"] else MIGRATE
    for module in needed:
        with contextlib.suppress(ImportError):  # the command itself says it better
            importlib.import_module(module)
    while os.read(int(gate), 1):
        pass
    os.close(int(gate))
