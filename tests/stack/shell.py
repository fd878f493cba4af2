"""`safiri …` as a person types it, on a running stack."""

from __future__ import annotations

import sys

from forked import FORKED
from whole import Stack


def shell(stack: Stack, *args: str, **env: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr); a traceback is never what a person sees."""
    done = FORKED.run([*args, "--data-dir", str(stack.up.data)], env=stack.up.env | env)
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    return done.returncode, done.stdout, done.stderr


def command(stack: Stack, *args: str) -> list[str]:
    return [sys.executable, "-P", "-m", "cli", *args, "--data-dir", str(stack.up.data)]
