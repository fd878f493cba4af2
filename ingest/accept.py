"""From a delivery to an acknowledged record: Kafka within the deadline, else the spool. Nothing is promised before one has it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress

import structlog

from calls.clock import Micros
from calls.envelope import TOPICS, Envelope, body_fields, digest, encode
from calls.masking import mask_text
from calls.providers import Delivered, NotUnderstood, Provider
from ingest.spool import Spool, Spooled, frames
from runtime.kafka import Publisher
from runtime.problems import Retry
from runtime.settings import Account, Settings

log = structlog.get_logger()
AT_ONCE = 500  # records forwarded in one go


class Origin:
    """Where deliveries come from: one account and the way it was reached."""

    __slots__ = ("account", "exempt", "import_id", "name", "provider", "source", "tenant")

    def __init__(self, name: str, account: Account, provider: Provider, *, source: str, import_id: str = ""):
        self.name, self.account, self.provider = name, account, provider
        self.tenant, self.source, self.import_id = account.tenant, source, import_id
        self.exempt = provider.exempt


def envelope(
    origin: Origin, body: bytes, *, content_type: str, headers: dict[str, str], received_at: Micros, signature: str, reason: str = ""
) -> Envelope:
    """Masks, then digests, then asks the provider whose it is. What nobody understands (or comes with a `reason`) is for quarantine."""
    masked = origin.provider.mask(body, content_type, origin.exempt)
    kept = {name: headers[name] for name in origin.provider.kept_headers if name in headers}
    receipt, mark = os.urandom(16).hex(), digest(masked)
    text, raw = body_fields(masked)
    kind, stream, event_id = "quarantine", receipt, mark
    if reason:
        reason = mask_text(reason)  # it may quote the body
    else:
        try:
            found = origin.provider.identify(Delivered(masked, content_type, kept, received_at, origin.name))
            kind, stream, event_id = found.kind, found.stream, found.event_id or mark
        except NotUnderstood as why:
            reason = str(why)
    return Envelope(
        tenant=origin.tenant, account=origin.name, provider=origin.provider.name, stream_kind=kind, stream=stream,  # type: ignore[arg-type]
        event_id=event_id, receipt=receipt, received_at=received_at, digest=mark, source=origin.source, signature=signature,
        content_type=content_type[:200], headers=kept, body=text, body_bytes=raw, reason=reason, import_id=origin.import_id,
    )  # fmt: skip


class Log:
    """Appends envelopes: to Kafka while it answers, to the spool while it does not, and from there to Kafka again."""

    def __init__(self, settings: Settings, bootstrap: str):
        self.settings, self.bootstrap = settings, bootstrap
        self.spool = Spool(settings.data_dir / "spool", max_bytes=settings.spool_max_bytes)
        self.publisher = Publisher(bootstrap, settings.publish_deadline_ms)
        self.kafka_answers = True
        self._wake = asyncio.Event()
        self._forwarder = asyncio.create_task(self._forward(), name="spool-forwarder")
        if self.spool.depth:
            self._wake.set()

    async def append(self, envelope: Envelope) -> None:
        """One envelope, acknowledged when this returns. Raises Retry where neither Kafka nor the spool can take it."""
        if self.kafka_answers:
            try:
                await self.publisher.send(TOPICS[envelope.stream_kind], envelope.stream, encode(envelope))
                return
            except Retry as error:
                self._lost_kafka(error)
        await self.spool.append([_spooled(envelope)])
        self._wake.set()

    async def append_all(self, envelopes: Sequence[Envelope]) -> None:
        """Many at once; those that Kafka did not acknowledge go to the spool together."""
        left = list(envelopes)
        if self.kafka_answers and left:
            sent = [self.publisher.send(TOPICS[one.stream_kind], one.stream, encode(one)) for one in left]
            await asyncio.wait(sent)
            left = [one for one, done in zip(left, sent, strict=True) if done.exception()]
            if left:
                self._lost_kafka(Retry("not acknowledged"))
        if left:
            await self.spool.append([_spooled(one) for one in left])
            self._wake.set()

    async def append_soon(self, envelopes: Sequence[Envelope], within_s: float) -> None:
        """Many at once, while somebody waits on the phone: Kafka has `within_s`, then they go to the spool together.

        Kafka may have them all the same, later: a receipt counts once. Raises Retry where neither can take them.
        """
        left: list[Envelope] = list(envelopes)
        if self.kafka_answers and left:
            sent = [self.publisher.send(TOPICS[one.stream_kind], one.stream, encode(one)) for one in left]
            left = await self._not_soon(left, sent, within_s)
        if left:
            await self.spool.append([_spooled(one) for one in left])
            self._wake.set()

    async def _not_soon(self, envelopes: list[Envelope], sent: list[asyncio.Future[None]], within_s: float) -> list[Envelope]:
        """Those that Kafka did not acknowledge in time. One timer and plain awaits: asyncio.wait would cost as much as sending."""
        timer = asyncio.get_running_loop().call_later(within_s, _give_up, sent, within_s)
        left: list[Envelope] = []
        try:
            for envelope, done in zip(envelopes, sent, strict=True):
                try:
                    await done
                except Retry as error:
                    self._lost_kafka(error)
                    left.append(envelope)
            return left
        finally:
            timer.cancel()
            for done in sent:  # where we are cancelled ourselves, nobody asks for them any more
                if not done.cancel() and not done.cancelled():
                    done.exception()

    def _lost_kafka(self, error: Exception) -> None:
        if self.kafka_answers:
            log.warning("kafka does not answer, spooling", reason=str(error) or type(error).__name__)
        self.kafka_answers = False
        self._wake.set()

    async def _forward(self) -> None:
        """While something waits: tries Kafka until it answers, then sends all of it, oldest first."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), 10)
            self._wake.clear()
            try:
                await asyncio.to_thread(self.spool.adopt)
                while self.spool.depth or not self.kafka_answers:
                    await self._forward_once()
            except Exception:  # the forwarder must outlive anything; what waits stays on the disk
                log.exception("forwarding the spool failed")
                await asyncio.sleep(1)
                self._wake.set()

    async def _forward_once(self) -> None:
        segments = await asyncio.to_thread(self.spool.closed_segments)
        if not segments:  # nothing waits, but Kafka did not answer: is it there again?
            await asyncio.sleep(0.2)
            self.kafka_answers = True
            return
        forwarded = 0
        for path in segments:  # one in memory at a time
            records = await asyncio.to_thread(list, frames(path))
            forwarded += len(records)
            for start in range(0, len(records), AT_ONCE):
                if not await self._send(records[start : start + AT_ONCE]):
                    await asyncio.sleep(0.2)
                    return
            await asyncio.to_thread(self.spool.remove, path)
        if not self.kafka_answers:
            log.info("kafka answers again", forwarded=forwarded)
        self.kafka_answers = True

    async def _send(self, records: Sequence[Spooled]) -> bool:
        if self.publisher.fatal:
            await self.publisher.close()
            self.publisher = Publisher(self.bootstrap, self.settings.publish_deadline_ms)
        sent = [self.publisher.send(one.topic, one.key, one.value) for one in records]
        await asyncio.wait(sent)
        return all(one.exception() is None for one in sent)

    def waiting(self) -> tuple[int, Micros | None]:
        """(records in the spool, when the oldest got there)."""
        oldest = self.spool.oldest
        return self.spool.depth, None if oldest is None else int(oldest * 1_000_000)

    async def close(self) -> None:
        self._forwarder.cancel()
        with suppress(asyncio.CancelledError):
            await self._forwarder
        await self.publisher.close()
        self.spool.close()


def _give_up(sent: Sequence[asyncio.Future[None]], within_s: float) -> None:
    for done in sent:
        if not done.done():
            done.set_exception(Retry(f"not acknowledged within {within_s:.1f} s"))


def _spooled(envelope: Envelope) -> Spooled:
    return Spooled(TOPICS[envelope.stream_kind], envelope.stream, encode(envelope))
