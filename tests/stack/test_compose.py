"""What only containers can show: compose.yaml as it stands, and our schema and topics on the images that it names."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import yaml
from alembic import command
from confluent_kafka import Consumer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from projections.schema import alembic, migrate
from runtime.kafka import CONSUME, LOG_TOPICS, UPDATES, Publisher, Watcher, ensure_topics
from runtime.settings import Settings

os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")  # these tests remove what they start; the reaper is one more image

ROOT = Path(__file__).parents[2]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
TICK = 1_000_000


def absent() -> str:
    """Why there is no engine; empty where one answers."""
    try:
        asked = subprocess.run(["docker", "info"], check=False, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no container engine: docker info: {error}"
    return f"no container engine: {asked.stderr.strip().splitlines()[-1]}" if asked.returncode else ""


NO_ENGINE = absent()
pytestmark = [pytest.mark.containers, pytest.mark.timeout(300), pytest.mark.skipif(bool(NO_ENGINE), reason=NO_ENGINE)]


def image(service: str) -> str:
    """The image that compose.yaml names, there to be started; skips where it cannot be had."""
    name = str(SERVICES[service]["image"])
    if subprocess.run(["docker", "image", "inspect", name], check=False, capture_output=True).returncode:
        pulled = subprocess.run(["docker", "pull", "--quiet", name], check=False, capture_output=True, text=True)
        if pulled.returncode:
            pytest.skip(f"image {name} cannot be had: {pulled.stderr.strip()[-200:]}")
    return name


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(probe: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := probe():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds:.0f} s")


# ---------------------------------------------------------------- compose.yaml


class Compose:
    """compose.yaml under a project name and on ports of its own."""

    def __init__(self) -> None:
        self.ports = {name: free_port() for name in ("SAFIRI_PORT", "SAFIRI_POSTGRES_PORT", "SAFIRI_KAFKA_PORT")}
        self.env = os.environ | {name: str(port) for name, port in self.ports.items()}
        self.env |= {"COMPOSE_PROJECT_NAME": f"safiri-test-{os.getpid()}", "SAFIRI_CONFIG_FILE": str(ROOT / "safiri.example.toml")}
        self.url = f"http://127.0.0.1:{self.ports['SAFIRI_PORT']}"

    def __call__(self, *args: str, text: str | None = None, check: bool = True) -> str:
        words = ["docker", "compose", *args]
        done = subprocess.run(words, check=False, cwd=ROOT, env=self.env, input=text, capture_output=True, text=True)
        if check:
            assert done.returncode == 0, f"docker compose {' '.join(args)}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
        return done.stdout

    def safiri(self, *args: str, text: str | None = None) -> str:
        return self("exec", "--no-TTY", "http", "safiri", *args, text=text)


@pytest.fixture
def compose() -> Iterator[Compose]:
    for service in ("postgres", "kafka"):
        image(service)
    made = Compose()
    try:
        made("build", "--quiet")
        made("up", "--detach", "--wait", "--wait-timeout", "120")
        yield made
    except BaseException:
        print(made("ps", "--all", check=False), made("logs", "--tail", "40", check=False))
        raise
    finally:
        made("down", "--volumes", "--timeout", "20", check=False)


def test_one_signed_webhook_becomes_a_journey(compose: Compose) -> None:
    states = {one["Service"]: one for one in map(json.loads, compose("ps", "--all", "--format", "json").splitlines())}
    assert states["migrate"]["ExitCode"] == 0
    assert {name for name, one in states.items() if one["State"] == "running"} == set(SERVICES) - {"migrate"}
    assert compose("exec", "--no-TTY", "http", "id", "-u").strip() != "0"

    key = compose.safiri("keys", "create", "--name", "test").split()[-1]
    body = {
        "sessionId": "HD_0cdf315f02e9", "callerNumber": "+254722000111", "destinationNumber": "+254700000001",
        "callSessionState": "Completed", "durationInSeconds": "73", "isActive": "0", "direction": "Inbound",
    }  # fmt: skip
    headers = compose.safiri("sign", "--account", "acme", "-", text=json.dumps(body)).splitlines()
    signed = dict(line.split(": ", 1) for line in headers) | {"Content-Type": "application/json"}
    assert httpx.post(f"{compose.url}/hooks/acme", content=json.dumps(body) + " ", headers=signed).status_code == 401
    assert httpx.post(f"{compose.url}/hooks/acme", content=json.dumps(body), headers=signed).status_code == 202

    def journey() -> Any:
        reply = httpx.get(f"{compose.url}/v1/journeys/HD_0cdf315f02e9", headers={"Authorization": f"Bearer {key}"})
        return reply.json() if reply.status_code == 200 else None

    found = eventually(journey, "the journey")
    assert (found["caller"], found["direction"], found["state"]) == ("+254722000111", "inbound", "ended")
    assert json.loads(compose.safiri("lag", "--json"))["unprojected"] == 0


# ---------------------------------------------------------------- Postgres


def test_the_schema_goes_up_and_down_on_the_image() -> None:
    from testcontainers.community.postgres import PostgresContainer

    with PostgresContainer(image("postgres"), driver=None) as container:
        url = container.get_connection_url()
        migrate(Settings(), url, now=TICK)
        assert schemas(url) >= {"safiri", "live"}
        migrate(Settings(), url, now=2 * TICK)  # again: nothing to do
        command.downgrade(alembic(url), "base")
        assert not schemas(url) & {"safiri", "live"}
        migrate(Settings(), url, now=3 * TICK)
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT count(*) FROM live.journeys").fetchone() == (0,)


def schemas(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        return {name for (name,) in connection.execute("SELECT nspname FROM pg_namespace").fetchall()}


# ---------------------------------------------------------------- Kafka


@pytest.fixture
def bootstrap() -> Iterator[str]:
    """A broker as compose.yaml sets it up, but for its listeners."""
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy

    port = free_port()
    settings = {name: str(value) for name, value in SERVICES["kafka"]["environment"].items()} | {
        "KAFKA_LISTENERS": "HOST://:9092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"HOST://127.0.0.1:{port}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "HOST:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "HOST",
    }
    container = DockerContainer(image("kafka")).with_bind_ports(9092, port).with_envs(**settings)
    with container.waiting_for(LogMessageWaitStrategy("Kafka Server started")):
        yield f"127.0.0.1:{port}"


def test_topics_are_what_they_must_be_and_the_largest_record_passes(bootstrap: str) -> None:
    with closing(Watcher(bootstrap)) as watcher:
        asked(watcher, bootstrap)


def asked(watcher: Watcher, bootstrap: str) -> None:
    eventually(lambda: watcher.identity()[0], "the broker answers")
    ensure_topics(watcher, partitions=3, fsync=False)
    ensure_topics(watcher, partitions=4, fsync=False)  # again, and one partition more
    eventually(lambda: len(watcher.topics()["call-events"]["partitions"]) == 4, "a partition more")
    for name in (*LOG_TOPICS, UPDATES):
        found = configuration(watcher, name)
        assert found["message.timestamp.type"] == "LogAppendTime"
        assert found["max.message.bytes"] == str(4 << 20)
        assert found.get("cleanup.policy", "delete") == ("compact" if name == UPDATES else "delete")
    value = os.urandom(3_500_000)  # incompressible
    asyncio.run(publish(bootstrap, value))
    where = next(where for where, end in watcher.ends().items() if end)
    assert read(bootstrap, *where) == value


def configuration(watcher: Watcher, topic: str) -> dict[str, Any]:
    found = watcher.ask(lambda admin: admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)]))
    return {name: one["value"] if isinstance(one, dict) else one for name, one in found["topic"][topic].items()}


async def publish(bootstrap: str, value: bytes) -> None:
    publisher = Publisher(bootstrap, 20_000)
    await publisher.send("call-events", "a-call", value)
    await publisher.close()


def read(bootstrap: str, topic: str, partition: int) -> bytes | None:
    consumer = Consumer(CONSUME | {"bootstrap.servers": bootstrap, "group.id": "test"})
    consumer.assign([TopicPartition(topic, partition, 0)])
    try:
        message = consumer.poll(20)
        assert message is not None
        assert not message.error()
        return message.value()
    finally:
        consumer.close()
