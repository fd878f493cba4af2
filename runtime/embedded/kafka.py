"""One Kafka node, broker and controller in one, run from its jars: no distribution, no shell scripts."""

from __future__ import annotations

import base64
import os
import socket
import struct
import subprocess
import sys
import uuid
from pathlib import Path

from runtime.embedded import jars, java, spawn
from runtime.problems import Missing

MAX_MESSAGE = 4 << 20  # bytes; a delivery of 1 MiB grows in its envelope
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={log}
auto.create.topics.enable=false
message.max.bytes={max_message}
replica.fetch.max.bytes={max_message}
# One node: no second copy of anything is possible.
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# After a kill the controller holds the dead registration this long before the new one may come.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=4
# Small: each partition would reserve 2 x 10 MB of index, and the cleaner 128 MB.
log.segment.bytes=67108864
log.index.size.max.bytes=1048576
log.cleaner.dedupe.buffer.size=8388608
"""
LOGGING = """\
status=error
appender.c.type=Console
appender.c.name=c
appender.c.layout.type=PatternLayout
appender.c.layout.pattern=%d{ISO8601} %p %c{1} %m%n
rootLogger.level=warn
rootLogger.appenderRef.c.ref=c
"""
# A small heap and the first compiler only: start to ready is a third quicker, and on few cores throughput is better too.
# A small young generation is collected before it has touched its whole share of the heap: 50 MB less of memory when idle.
JVM = ("-Xmx256m", "-Xms32m", "-Xmn16m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")


def prepare(home: Path, broker: int, controller: int) -> spawn.Part:
    """Fetches the jars and formats the log where needed; returns what to run. Raises Missing without Java or jars."""
    runtime = java.find()
    libraries = jars.present() or _fetch()
    folder = spawn.make_folder(home / "kafka", None)
    log = folder / "log"
    properties = folder / "server.properties"
    properties.write_text(PROPERTIES.format(broker=broker, controller=controller, log=log, max_message=MAX_MESSAGE))
    (folder / "log4j2.properties").write_text(LOGGING)
    # Sorted by name: archives of loaded classes are refused when the order of the path changes.
    path = ":".join(str(jar) for jar in sorted(libraries.glob("*.jar")))
    command: spawn.Command = [runtime, *JVM, f"-Dlog4j2.configurationFile={folder}/log4j2.properties", "-cp", path]
    if not (log / "bootstrap.checkpoint").exists():
        spawn.run([*command, "kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", _cluster_id(), "-c", properties])
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in ("CLASSPATH", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS")
    }
    return spawn.Part(
        name="kafka",
        argv=[*command, "kafka.Kafka", properties],
        answers=lambda: answers(broker),
        env=env | {"MALLOC_ARENA_MAX": "2"},  # glibc would keep an arena for each of its many threads
        cwd="/",
    )


def answers(port: int, host: str = "127.0.0.1") -> bool:
    """Whether producers and groups work already: InitProducerId and FindCoordinator answer without an error.

    Asking also makes Kafka create what the first client would wait for (0.6 s for an ack, 3.7 s for a group).
    """
    producer = _ask((host, port), 22, struct.pack(">hi", -1, 60000))
    if producer[12:14] != b"\0\0":
        return False
    return _ask((host, port), 10, struct.pack(">h", 2) + b"up")[8:10] == b"\0\0"


def _ask(address: tuple[str, int], api: int, body: bytes) -> bytes:
    """The start of the answer to one request, version 0; empty where there is none."""
    request = struct.pack(">hhih", api, 0, 1, 2) + b"up" + body
    try:
        with socket.create_connection(address, 1) as wire:
            wire.sendall(struct.pack(">i", len(request)) + request)
            return wire.recv(64)
    except OSError:
        return b""


def _fetch() -> Path:
    """In a process of its own; its progress goes to our stderr."""
    done = subprocess.run(
        spawn.shimmed([sys.executable, "-P", "-m", "runtime.embedded.jars"]), stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise Missing(done.stdout.strip() or f"Kafka could not be fetched (exit code {done.returncode})")
    return jars.bundle()


def _cluster_id() -> str:
    made = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    return made if made[0] != "-" else _cluster_id()  # one that begins with a dash would be read as an option
