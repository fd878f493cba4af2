"""Every provider against the corpus of its deliveries, and against bodies that nobody would send in good faith."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calls.clock import parse_time
from calls.events import TYPES, CallAnswered, CallEnded, CallStarted, Event, MenuDigits, shown
from calls.providers import PROVIDERS, Delivered, NotUnderstood

ROOT = Path(__file__).parent.parent / "corpus" / "providers"
RECEIVED_AT = "2026-09-01T08:30:00.000Z"
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
# What each provider is documented or observed to send: a folder that lacks one of these is not complete.
NEEDED = {
    "sautikit": """call.started call.answered call.ended call.failed call.seen call.linked recording.ready recording.notice menu.digits
        conference.joined conference.left bot.started bot.ended leg.ended wallet.top_up wallet.low_balance number.provisioned
        number.released storage.tier_changed unrecognised""",
    "minivoice": "call.started call.answered call.ended call.failed call.linked menu.digits recording.ready recording.notice unrecognised",
    "africastalking": """call.started call.seen call.answered call.ended call.failed call.reported call.linked menu.digits recording.ready
        leg.started leg.answered leg.ended queue.left unrecognised""",
    "asterisk-queue-log": """queue.entered queue.left call.seen call.ended call.failed leg.started leg.answered leg.ended agent.state
        unrecognised""",
    "neutral": """call.started call.answered call.ended call.failed call.linked call.unlinked menu.entered menu.digits menu.left
        queue.entered queue.left leg.started leg.answered leg.ended hold.started hold.ended conference.joined conference.left bot.started
        bot.turn bot.handed_over bot.ended recording.ready call.reported agent.state unrecognised""",
}


def samples(provider: str) -> list[Path]:
    return sorted(path for path in (ROOT / provider).glob("*.json") if not path.name.endswith(".expected.json"))


def delivered(path: Path) -> Delivered:
    """`{content_type, body, headers?, body_hex?, received_at?}`; an object is sent as JSON or as a form, a text as it is."""
    sample = json.loads(path.read_text(encoding="utf-8"))
    body = sample["body"]
    if "body_hex" in sample:
        raw = bytes.fromhex(sample["body_hex"])
    elif isinstance(body, str):
        raw = body.encode()
    else:
        raw = (urlencode(body) if "form" in sample["content_type"] else json.dumps(body)).encode()
    return delivery(raw, sample["content_type"], sample.get("headers"), sample.get("received_at", RECEIVED_AT))


def delivery(raw: bytes, content_type: str = JSON, headers: dict[str, str] | None = None, received_at: str = RECEIVED_AT) -> Delivered:
    received = parse_time(received_at)
    assert received is not None
    return Delivered(body=raw, content_type=content_type, headers=headers or {}, received_at=received, account="acme")


def became(provider: str, one: Delivered) -> dict[str, object]:
    """Whose the delivery is and what it says, as `.expected.json` writes it."""
    try:
        who = PROVIDERS[provider].identify(one)
        identity: dict[str, object] = {"kind": who.kind, "stream": who.stream, "event_id": who.event_id}
    except NotUnderstood as why:
        identity = {"not_understood": str(why)}
    return {"identity": identity, "facts": [shown(fact) for fact in PROVIDERS[provider].parse(one)]}


# ---------------------------------------------------------------- the corpus


@pytest.mark.parametrize(("provider", "path"), [pytest.param(p, s, id=f"{p}/{s.stem}") for p in PROVIDERS for s in samples(p)])
def test_a_delivery_becomes_what_is_expected(provider: str, path: Path) -> None:
    expected = json.loads(path.with_suffix(".expected.json").read_text(encoding="utf-8"))
    assert became(provider, delivered(path)) == expected


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_is_complete(provider: str) -> None:
    one = PROVIDERS[provider]
    assert one.name == provider
    assert all(name == name.lower() for name in one.exempt | one.kept_headers)
    assert one.ends | one.starts <= set(TYPES)
    seen = {fact["type"] for path in samples(provider) for fact in became(provider, delivered(path))["facts"]}  # type: ignore[attr-defined]
    assert set(NEEDED[provider].split()) <= seen, "the corpus lacks a kind of event that this provider sends"
    assert any("not_understood" in became(provider, delivered(path))["identity"] for path in samples(provider))  # type: ignore[operator]


def test_every_expectation_has_its_sample() -> None:
    assert {folder.name for folder in ROOT.iterdir()} == set(PROVIDERS)
    left = [path for path in ROOT.rglob("*.expected.json") if not path.with_name(path.name.replace(".expected", "")).exists()]
    assert left == []


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_is_said_of_a_call_is_said_of_its_stream(provider: str) -> None:
    for path in samples(provider):
        result = became(provider, delivered(path))
        identity = result["identity"]
        assert isinstance(identity, dict)
        if identity.get("kind") == "call":
            assert {fact["call_sid"] for fact in result["facts"]} == {identity["stream"]}, path.name  # type: ignore[attr-defined]


# ---------------------------------------------------------------- what cannot be read never raises

_NAMES = """
kind event event_kind event_id id data payload call call_id callSid sessionId session_id pbx_call_id SessionId CallId From To from
to callerNumber destinationNumber clientDialedNumber callSessionState streamEvent streamSid isActive direction durationInSeconds
Digits dtmfDigits duration_seconds answered_at ended_at occurred_at created_at hangup_cause failure_reason workspace_id
conference_name participant_id caller RecordingUrl RecordingStatus amount currencyCode status variables provider_call_id event_key
digits timed_out recording type call_sid attributes agent state queue leg reason kind to_call_sid alias duration_ms
dialDestinationNumber dialDurationInSeconds dialStartTime callStartTime download_url size_bytes menu room text
"""
NAMES = _NAMES.split()
_WORDS = """
call.started call.answered call.completed call.failed call.gathered call.created call.recording.ready wallet.top_up
number.released agent.state queue.entered leg.ended call.linked Ringing Completed DigitsCollected StreamStarted DialCompleted Busy
join leave inbound 2026-09-01T08:00:00.000Z 2026-09-01 9999-12-31T23:59:59-23:59 0001-01-01T00:00:00+23:59 HD_0cdf315f02e9
queue-HD_0cdf315f02e9 1 0 true 73 73.5 -1 1e400 nan 99999999999999999999999
"""
WORDS = _WORDS.split()
SCALARS = (
    st.none()
    | st.booleans()
    | st.sampled_from(WORDS)
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["9" * 10_000, "x" * 257, "\x00", "\ud800", " ", "+" * 300])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), VALUES, max_size=12)


def survives(raw: bytes, content_type: str) -> None:
    one = delivery(raw, content_type, {"x-sautikit-event-id": "\x00", "x-sautikit-event": "call.started"})
    for provider in PROVIDERS.values():
        facts = provider.parse(one)
        assert facts
        text = msgspec.json.encode([shown(fact) for fact in facts])  # shows, and is valid UTF-8
        assert b"\\u0000" not in text
        try:
            who = provider.identify(one)
        except NotUnderstood as why:
            assert str(why)
            continue
        assert 0 < len(who.stream) <= 256
        assert who.stream.isprintable() or not any(char < " " for char in who.stream)
        assert provider.identify(one) == who


@settings(max_examples=250, deadline=None)
@given(st.binary(max_size=200), st.sampled_from([JSON, FORM, "", "text/plain"]))
def test_any_bytes_are_survived(raw: bytes, content_type: str) -> None:
    survives(raw, content_type)


@settings(max_examples=120, deadline=None)
@given(OBJECTS)
def test_any_object_is_survived(fields: dict[str, object]) -> None:
    survives(json.dumps(fields).encode(), JSON)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), st.sampled_from(WORDS) | st.text(alphabet="0 +%\x00aé", max_size=9), max_size=12))
def test_any_form_is_survived(fields: dict[str, str]) -> None:
    survives(urlencode(fields).encode(), FORM)


_CELLS = """
1788249600 1788249600.5 -1 1e9 9999999999999 NONE q Agent/1 c.1 ENTERQUEUE CONNECT ABANDON COMPLETEAGENT ATTENDEDTRANSFER LINK FULL
RINGNOANSWER PAUSE ADDMEMBER PAUSED WRAPUPSTART SYSCOMPAT QUEUESTART EXITWITHKEY 99999999999999999999999
"""
CELLS = st.sampled_from(["", " ", "\x00", '"', *_CELLS.split()]) | st.text(max_size=6)


@settings(max_examples=200, deadline=None)
@given(st.lists(CELLS, max_size=12), st.sampled_from("|,"))
def test_any_row_is_survived(cells: list[str], separator: str) -> None:
    survives(separator.join(["1788249600", *cells]).encode("utf-8", "surrogatepass"), "text/plain")


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[", b'"', b"=", b"&", b"%zz=&&", b"\xff\xfe=%zz&&", b"[" * 200_000, b'{"a":' * 200_000, b"\xef\xbb\xbf"]
)
def test_broken_bodies_are_survived(raw: bytes) -> None:
    survives(raw, JSON)
    survives(raw, FORM)


# ---------------------------------------------------------------- single rules


def facts_of(provider: str, fields: object) -> list[Event]:
    return PROVIDERS[provider].parse(delivery(json.dumps(fields).encode()))


def test_two_gathers_of_one_call_are_two_events_and_a_copy_is_one() -> None:
    def event_id(name: str) -> str | None:
        return PROVIDERS["minivoice"].identify(delivered(ROOT / "minivoice" / f"{name}.json")).event_id

    assert len({event_id(f"call.gathered.{name}") for name in ("first", "same_second", "again")}) == 3
    assert event_id("call.gathered.first") == event_id("call.gathered.first")


def test_a_minivoice_id_does_not_depend_on_how_the_json_is_written() -> None:
    body = {
        "event": "call.gathered",
        "created_at": "2026-09-01T08:00:00Z",
        "call": {"id": "c-1"},
        "data": {"digits": "1", "status": "done"},
    }
    other = {**body, "data": {"status": "done", "digits": "1"}}
    ids = {
        PROVIDERS["minivoice"].identify(delivery(json.dumps(one, indent=i).encode())).event_id for one in (body, other) for i in (None, 2)
    }
    assert len(ids) == 1


@pytest.mark.parametrize("name", ["uuid", "", "00000000-0000-0000-0000-000000000000", None, 7, "call_123"])
def test_a_placeholder_joins_no_calls(name: object) -> None:
    facts = facts_of(
        "minivoice", {"event": "call.created", "created_at": "2026-09-01T08:00:00Z", "call": {"id": "call_123", "provider_call_id": name}}
    )
    assert [type(fact) for fact in facts] == [CallStarted]


@pytest.mark.parametrize("state", ["Completed", "COMPLETED", "completed", "Hangup"])
@pytest.mark.parametrize("seconds", ["0", 0, None])
def test_a_completed_call_of_no_length_is_never_answered(state: str, seconds: object) -> None:
    facts = facts_of("sautikit", {"sessionId": "HD_1", "callSessionState": state, "durationInSeconds": seconds, "isActive": "0"})
    assert isinstance(facts[0], CallEnded)
    assert not any(isinstance(fact, CallAnswered) for fact in facts)


@pytest.mark.parametrize(
    "spelling", ["sessionId", "SessionId", "session_id", "callSid", "CallSid", "call_sid", "call_id", "CallId", "callId", "streamSid"]
)
def test_a_pbx_body_names_its_call_in_any_spelling(spelling: str) -> None:
    one = delivery(json.dumps({spelling: "HD_1", "callSessionState": "Ringing"}).encode())
    assert PROVIDERS["sautikit"].identify(one).stream == "HD_1"
    assert isinstance(PROVIDERS["sautikit"].parse(one)[0], CallStarted)


def test_the_rest_id_names_the_call_wherever_it_stands() -> None:
    for rest, pbx in (("call_id", "sessionId"), ("sessionId", "call_id"), ("CallSid", "pbx_call_id")):
        one = delivery(json.dumps({rest: "0197b0c2-5d1e-7a44-9c3b-2f60d1a7e801", pbx: "HD_1", "callSessionState": "Ringing"}).encode())
        assert PROVIDERS["sautikit"].identify(one).stream == "0197b0c2-5d1e-7a44-9c3b-2f60d1a7e801"
        assert {shown(fact).get("alias") for fact in PROVIDERS["sautikit"].parse(one)} == {None, "HD_1"}


def test_the_idempotency_key_names_no_event() -> None:
    body = json.dumps({"kind": "call.started", "workspace_id": "w", "data": {"call_id": "c"}}).encode()
    assert PROVIDERS["sautikit"].identify(delivery(body, headers={"x-sautikit-idempotency-key": "d-1"})).event_id is None


def row_mark(body: str) -> str | None:
    return PROVIDERS["asterisk-queue-log"].identify(delivery(body.encode(), "text/plain")).event_id


def test_a_row_of_a_queue_log_is_one_event_in_any_writing_and_other_rows_are_others() -> None:
    same = [
        "1788249600|c-1|support|NONE|ABANDON|1|1|13",
        " 1788249600 | c-1 | support | NONE | abandon | 1 | 1 | 13 |||",
        "2026-09-01 08:00:00.000000+00,c-1,support,NONE,ABANDON,1,1,13,,",
        '{"time": "2026-09-01T08:00:00Z", "callid": "c-1", "queuename": "support", "agent": "", "event": "ABANDON", "data1": 1, "data2": "1", "data3": "13"}',
        '["1788249600.000000", "c-1", "support", "", "ABANDON", "1", "1", 13, "", null]',
    ]
    assert len({row_mark(body) for body in same}) == 1
    others = [
        same[0].replace(*change) for change in (("600|", "601|"), ("c-1", "c-2"), ("support", "sales"), ("|13", "|14"), ("|1|1|", "|11||"))
    ]
    assert len({row_mark(body) for body in [same[0], *others]}) == 1 + len(others)


def test_masked_digits_are_still_digits() -> None:
    fact = facts_of("sautikit", {"sessionId": "HD_1", "callSessionState": "DigitsCollected", "Digits": "************1111"})[0]
    assert isinstance(fact, MenuDigits)
    assert fact.digits == "************1111"
