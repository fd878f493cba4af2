"""Kafka's jars: a pinned list, each file checked against its sha256, kept in a cache that data directories share.

`python -m runtime.embedded.jars` fetches them: a process of its own, because the resolver and its HTTP stack would stay in
the memory of the long-lived one. Progress on stderr; exit 3 and one line on stdout where they cannot be had.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from runtime.problems import Missing

LOCK = Path(__file__).with_name("kafka.lock")  # a line a jar: group:artifact:version sha256 bytes
KAFKA_VERSION = "4.3.1"
ATTEMPTS = 3
THREADS = 8


class Jar(NamedTuple):
    group: str
    artifact: str
    version: str
    sha256: str
    size: int  # bytes

    @property
    def file(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def pinned() -> list[Jar]:
    return [
        Jar(group, artifact, version, digest, int(size))
        for coordinates, digest, size in (line.split() for line in LOCK.read_text().splitlines() if not line.startswith("#"))
        for group, artifact, version in (coordinates.split(":"),)
    ]


def cache_dir() -> Path:
    """SAFIRI_CACHE_DIR, else the user's cache folder."""
    own = os.environ.get("SAFIRI_CACHE_DIR")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "safiri"


def bundle() -> Path:
    """Where the pinned jars are kept once fetched; another list is another folder."""
    return cache_dir() / f"kafka-{KAFKA_VERSION}-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"


def present() -> Path | None:
    """The folder of jars to run: SAFIRI_KAFKA_JARS as it is, or the cache where it is complete; None where it must be fetched."""
    given = os.environ.get("SAFIRI_KAFKA_JARS")
    if given:
        if not any(Path(given).glob("kafka_2.13-*.jar")):
            raise Missing(f"SAFIRI_KAFKA_JARS: no kafka_2.13 jar in {given}: it must hold all jars of a Kafka >= 4.1")
        return Path(given)
    return bundle() if _complete(bundle()) else None


def _complete(folder: Path) -> bool:
    """By name and size. The digests were checked before the folder got its name: 45 MB are not hashed at every start."""
    try:
        return all((folder / jar.file).stat().st_size == jar.size for jar in pinned())
    except OSError:
        return False


def fetch() -> Path:
    """Fetches what is pinned: scratch folder, digests, one rename. Of two at once the second waits and finds it done."""
    target = bundle()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _alone(target.parent / "kafka.flock"):
            if not _complete(target):
                _fetch_into(target)
    except OSError as error:
        raise Missing(f"Kafka's jars cannot be kept in {target.parent}: {error.strerror}; SAFIRI_CACHE_DIR names another folder") from None
    return target


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            _say("another start is fetching Kafka: waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch_into(target: Path) -> None:
    for left in target.parent.glob(".fetch-*"):  # of a start that was killed; we hold the lock
        shutil.rmtree(left, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=".fetch-", dir=target.parent))
    try:
        (scratch / "jars").mkdir()
        _download(pinned(), scratch)
        shutil.rmtree(target, ignore_errors=True)
        (scratch / "jars").rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _download(wanted: list[Jar], scratch: Path) -> None:
    began, done, total = time.monotonic(), 0, sum(jar.size for jar in wanted)
    _say(f"fetching Kafka {KAFKA_VERSION}, once: {len(wanted)} jars, {total / 1e6:.0f} MB, into {bundle()}")
    with ThreadPoolExecutor(THREADS) as pool:
        tasks = {pool.submit(_one, jar, scratch): jar for jar in wanted}
        shown = began
        try:
            for count, task in enumerate(as_completed(tasks), 1):
                task.result()
                done += tasks[task].size
                if time.monotonic() - shown > 1 or count == len(wanted):
                    shown = time.monotonic()
                    _say(f"fetched {count} of {len(wanted)} jars, {done / 1e6:.0f} of {total / 1e6:.0f} MB, {shown - began:.1f} s")
        except BaseException:
            pool.shutdown(cancel_futures=True, wait=False)
            raise


def _one(jar: Jar, scratch: Path) -> None:
    """One verified file into `jars/`. A wrong digest is not asked for again: it would come again."""
    from jgo.maven import MavenContext

    logging.getLogger("jgo").setLevel(logging.ERROR)
    mirror = os.environ.get("SAFIRI_MAVEN_URL")
    why = ""
    for attempt in range(ATTEMPTS):
        time.sleep(attempt)
        maven = MavenContext(repo_cache=scratch / f"{jar.file}.{attempt}", timeout=30, remote_repos={"mirror": mirror} if mirror else None)
        try:
            got = maven.resolver.download(maven.project(jar.group, jar.artifact).at_version(jar.version).artifact())
        except Exception as error:  # whatever its HTTP library raises: reset, timeout, short body
            why = f"{type(error).__name__}: {error}"
            continue
        if got is not None:
            return _keep(jar, got, scratch)
        why = "not found"
    raise Missing(f"cannot fetch {jar.file} ({why[:200]}): {_ways_out()}")


def _keep(jar: Jar, got: Path, scratch: Path) -> None:
    digest = hashlib.sha256(got.read_bytes()).hexdigest()
    if digest != jar.sha256:
        raise Missing(f"{jar.file} is not the pinned file (sha256 {digest}): {_ways_out()}")
    got.rename(scratch / "jars" / jar.file)


def _ways_out() -> str:
    return "check the network; SAFIRI_MAVEN_URL names a mirror, SAFIRI_KAFKA_JARS a folder that has all the jars"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        fetch()
    except Missing as missing:
        print(missing)
        sys.exit(3)
