"""Card numbers: none survives, in any nesting or escape, and nothing else is touched."""

from __future__ import annotations

import json
import re
import time
from urllib.parse import quote, quote_plus, urlencode
from uuid import UUID

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from calls.masking import mask, mask_text
from calls.providers import PROVIDERS

NONE: frozenset[str] = frozenset()
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
CARD = "4111111111111111"
SEPARATORS = [" ", "-", "+", ".", "%20", "%2D", "%2d", "%2B", "%2E", "\u00a0", "%C2%A0", "%A0", "  ", " - ", "-.-", "\\u0020"]


def luhn(digits: str) -> bool:
    total = sum(int(one) if n % 2 == 0 else sum(divmod(2 * int(one), 10)) for n, one in enumerate(reversed(digits)))
    return total % 10 == 0


def closed(front: str) -> str:
    """`front` and the digit that makes it pass."""
    return next(front + one for one in "0123456789" if luhn(front + one))


CARDS = st.from_regex(r"[3-6][0-9]{11,17}", fullmatch=True).map(closed)
GROUPED = st.tuples(CARDS, st.sampled_from(["", *SEPARATORS]), st.integers(1, 6))


def grouped(card: str, separator: str, size: int) -> str:
    return separator.join(card[n : n + size] for n in range(0, len(card), size))


def digits_of(text: str) -> str:
    return re.sub(r"[^0-9]", "", text)


# ---------------------------------------------------------------- examples


@pytest.mark.parametrize("separator", ["", *SEPARATORS])
def test_all_but_the_last_four_digits_go_and_separators_stay(separator: str) -> None:
    assert mask_text(separator.join(["4111"] * 1 + ["1111"] * 3)) == separator.join(["****"] * 3 + ["1111"])


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",
        "411111111111",
        "0" * 16,
        "0000 0000 0000 0000",
        "4111    1111    1111    1111",
        "4111/1111/1111/1111",
        "+254711000100",
        "2026-09-01T08:00:00.000Z",
        "2026-09-01 08:00:00",
        "01900000-0000-7000-8000-000000000001",
        "41111111-1111-1111-1111-111111111111",
        "HD_0cdf315f02e9",
        "call_20260529",
        "",
        "4111,1111,1111,1111",
        "1 2 3",
        "*" * 12 + "1111",
    ],
)
def test_what_is_no_card_stays(text: str) -> None:
    assert mask_text(text) == text
    body = json.dumps({"a": text}).encode()
    assert mask(body, JSON, NONE) is body


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("378282246310005", "***********0005"),
        ("6011 1111 1111 1117", "**** **** **** 1117"),
        ("5-5-5-5-5-5-5-5-5-5-5-5-4-4-4-4", "*-*-*-*-*-*-*-*-*-*-*-*-4-4-4-4"),
        ("pay 4111111111111111 now", "pay ************1111 now"),
        ("x4111111111111111y", "x************1111y"),
        ("254711000100 4111111111111111", "254711000100 ************1111"),
        ("4111 1111 1111 1111 123", "**** **** **** 1111 123"),
        ("4222222222222", "*********2222"),
        ("6304000000000000000", "***************0000"),
        ("41111111111111111226123", "*******************6123"),
        ("*4111111111111111#", "*************1111#"),
        ("%34111111111111111", "************1111"),
        ("4111111111111111-1111-1111-1111-111111111111", None),
        ("4\x001\x001\x001\x001\x001\x001\x001\x001\x001\x001\x001\x001\x001\x001\x001\x00", None),
    ],
)
def test_where_a_card_may_stand(text: str, masked: str | None) -> None:
    assert CARD[:12] not in digits_of(mask_text(text))
    if masked is not None:
        assert mask_text(text) == masked


@pytest.mark.parametrize(
    ("body", "masked"),
    [
        (b'{"a":4111111111111111}', b'{"a":"************1111"}'),
        (b'{"a":-4111111111111111}', b'{"a":"************1111"}'),
        (b"4111111111111111", b'"************1111"'),
        (b'{"a":4.111111111111111E15}', b'{"a":"************1111"}'),
        (b'{"a":4111111111111111.0}', b'{"a":"************1111"}'),
        (rb'{"a":"\u0034111\u0020\u0031111 1111 1111"}', b'{"a":"**** **** **** 1111"}'),
        (rb'{"a":"\u003411\u00311111\u002d11111111"}', b'{"a":"*******-*****1111"}'.replace(b"*******-*****", b"********-****")),
        (b'{"4111111111111111":{"5555555555554444":[]}}', b'{"************1111":{"************4444":[]}}'),
        (b'["a",[["4111-1111-1111-1111"]]]', b'["a",[["****-****-****-1111"]]]'),
        (b'{"a":"4111111111111111","a" : 1e0, "b":1.50}', b'{"a":"************1111","a" : 1e0, "b":1.50}'),
        (b'{"x":0.4111111111111111}', b'{"x":0.4111111111111111}'),
        (
            b'{"id":"4111111111111111","to":["4111111111111111"],"b":{"id":4111111111111111},"c":"4111111111111111"}',
            b'{"id":"4111111111111111","to":["4111111111111111"],"b":{"id":4111111111111111},"c":"************1111"}',
        ),
        (
            b'{"ID":"4111111111111111","to":{"n":"4111111111111111"},"d":[{"id":"4111111111111111"},"4111111111111111"]}',
            b'{"ID":"4111111111111111","to":{"n":"************1111"},"d":[{"id":"4111111111111111"},"************1111"]}',
        ),
        (b'{"what": 4111111111111111 is this', b'{"what": ************1111 is this'),
        (b'{"a":"\\"4111111111111111\\\\"}', b'{"a":"\\"************1111\\\\"}'),
    ],
)
def test_json_is_masked_in_place(body: bytes, masked: bytes) -> None:
    assert mask(body, JSON, frozenset({"id", "to"})) == masked
    if masked[:1] == b"{" and masked[-1:] == b"}":
        json.loads(masked)


@pytest.mark.parametrize(
    ("body", "masked"),
    [
        (b"Digits=4111+1111+1111+1111&x=%20", b"Digits=****+****+****+1111&x=%20"),
        (b"Digits=4111%201111%201111%201111", b"Digits=****%20****%20****%201111"),
        (b"id=4111111111111111&a=4111111111111111", b"id=4111111111111111&a=************1111"),
        (b"%69%64=4111111111111111", b"%69%64=4111111111111111"),
        (b"d=%341111111%311111111", b"d=************1111"),
        (b"4111111111111111=1", b"************1111=1"),
        (b"4111111111111111", b'"************1111"'),
        (b"\xff\x004111111111111111", b"\xff\x00************1111"),
        (b"4111\xc2\xa01111\xc2\xa01111\xc2\xa01111=", b"****\xc2\xa0****\xc2\xa0****\xc2\xa01111="),
    ],
)
def test_forms_and_bytes_are_masked_in_place(body: bytes, masked: bytes) -> None:
    assert mask(body, FORM, frozenset({"id"})) == masked


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_a_dialect_knows_is_kept_and_what_was_typed_is_not(provider: str) -> None:
    ids = {"minivoice": "provider_call_id", "neutral": "call_sid", "asterisk-queue-log": "callid"}
    known = ids.get(provider, "callerNumber")
    for body, kind in (
        (json.dumps({known: CARD, "digits": CARD}).encode(), JSON),
        (urlencode({known: CARD, "digits": CARD}).encode(), FORM),
    ):
        masked = PROVIDERS[provider].mask(body, kind, PROVIDERS[provider].exempt)
        assert masked.count(CARD.encode()) == 1
        assert b"************1111" in masked


@pytest.mark.parametrize(
    ("body", "masked"),
    [
        (b"1404377805|1404377800.3456|q|NONE|ENTERQUEUE||4111111111111111|1", None),  # a caller's number, and ids that would pass
        (b"1404377805.123459|4111111111.111111|q|4111111111111111|CONNECT|8|4111111111.111111|4", None),
        (
            b"1404377805|4111111111.111111|q|NONE|SURVEY| 4111111111111111 |1",
            b"1404377805|4111111111.111111|q|NONE|SURVEY| ************1111 |1",
        ),
        (
            b'1404377805,4111111111.111111,q,NONE,SURVEY,"4111 1111 1111 1111, he said",1',
            b'"1404377805","4111111111.111111","q","NONE","SURVEY","**** **** **** 1111, he said","1"',
        ),
        (
            b'{"time": "1404377805", "callid": "4111111111.111111", "event": "ENTERQUEUE", "data1": "4111111111111111", "data2": "4111111111111111"}',
            b'{"time": "1404377805", "callid": "4111111111.111111", "event": "ENTERQUEUE", "data1": "************1111", "data2": "4111111111111111"}',
        ),
        (b"4111111111111111", b'"************1111"'),
        (b"a|4111111111111111", b"a|************1111"),
        (b"1404377805|4111111111.111111|q|NONE|ENTERQUEUE||4111111111111111|1\r\n", None),
        (b"1404377805|c|q|NONE|SURVEY|4111111111111111\n", b"1404377805|c|q|NONE|SURVEY|************1111\n"),
        (b"1|c|q|NONE|FULL\n1|4111111111111111|q|NONE|FULL", b"1|c|q|NONE|FULL\n1|************1111|q|NONE|FULL"),
    ],
)
def test_ids_of_a_line_are_known_by_their_place(body: bytes, masked: bytes | None) -> None:
    provider = PROVIDERS["asterisk-queue-log"]
    assert provider.mask(body, "", provider.exempt) == (masked or body)


# ---------------------------------------------------------------- whatever the nesting and the escapes

NESTED = st.recursive(
    st.just("CARD"),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=2) | st.dictionaries(st.sampled_from(["a", "digits", "CARD"]), inner, min_size=1, max_size=2)
    ),
    max_leaves=4,
)


@settings(max_examples=200, deadline=None)
@given(CARDS, st.sampled_from(["", *SEPARATORS]), st.integers(1, 6), NESTED, st.sampled_from(["", "x", "\u00e9 ", "\n", '"', "\\"]))
def test_no_card_survives_in_json(card: str, separator: str, size: int, shape: object, beside: str) -> None:
    text = beside + grouped(card, separator, size) + beside
    body = json.dumps(shape).replace('"CARD"', json.dumps(text, ensure_ascii=False)).encode()
    escaped = re.sub(rb"[0-9]", lambda digit: b"\\u003%b" % digit[0], body)
    for one in (body, escaped):
        masked = mask(one, JSON, NONE)
        seen = json.dumps(json.loads(masked), ensure_ascii=False)
        assert grouped(card, separator, size) not in seen
        assert card[:-4] not in digits_of(seen.replace("%20", "").replace("u00", ""))
        assert mask(masked, JSON, NONE) is masked


@settings(max_examples=100, deadline=None)
@given(CARDS, st.sampled_from(["%d", "[%d]", '{"a":%d}', '{"a":[{"b":%d}]}', '{"a" : -%d }', '{"a":%d.0}', '{"a":%d.00e0}']))
def test_no_card_survives_as_a_number(card: str, shape: str) -> None:
    masked = mask((shape % int(card)).encode(), JSON, NONE)
    assert card.encode()[:-4] not in masked
    assert "*" * (len(card) - 4) + card[-4:] in json.dumps(json.loads(masked))
    assert mask(masked, JSON, NONE) is masked


@settings(max_examples=200, deadline=None)
@given(
    CARDS,
    st.sampled_from(["", " ", "-", ".", "\u00a0"]),
    st.integers(1, 6),
    st.sampled_from([quote, quote_plus, str, "hard"]),
    st.booleans(),
)
def test_no_card_survives_in_a_form(card: str, separator: str, size: int, how: object, as_name: bool) -> None:
    text = grouped(card, separator, size)
    written = how(text) if callable(how) else "".join(f"%{byte:02x}" for byte in text.encode())
    body = (f"{written}=1&b=2" if as_name else f"a=1&digits={written}&b=2").encode()
    masked = mask(body, FORM, NONE)
    assert masked != body
    assert masked.count(b"*") == len(card) - 4
    assert mask(masked, FORM, NONE) is masked


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=30), CARDS, st.binary(max_size=30), st.sampled_from([JSON, FORM, ""]))
def test_no_card_survives_in_unreadable_bytes(before: bytes, card: str, after: bytes, kind: str) -> None:
    assume(not before[-1:].isdigit() and not after[:1].isdigit())
    body = before + b"\xff|" + card.encode() + b"|" + after
    masked = mask(body, kind, NONE)
    assert card.encode() not in masked
    assert mask(masked, kind, NONE) is masked


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="0123456789 -+.%*\\u3x", max_size=90))
def test_masking_twice_is_masking_once(text: str) -> None:
    for body, kind in ((text.encode(), FORM), (json.dumps([text, {text: text}]).encode(), JSON)):
        masked = mask(body, kind, NONE)
        assert mask(masked, kind, NONE) is masked
    assert mask_text(mask_text(text)) == mask_text(text)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120), st.sampled_from([JSON, FORM, "text/plain", ""]))
def test_any_bytes_are_survived_and_keep_their_length_or_hide_digits(body: bytes, kind: str) -> None:
    masked = mask(body, kind, NONE)
    assert masked is body or b"*" in masked


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.floats(-1e11, 1e11)
        | st.integers(-(10**11), 10**11)
        | st.uuids().map(str)
        | st.text(alphabet='abc é"\\\n', max_size=9),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(alphabet="abc", max_size=3), inner, max_size=4),
        max_leaves=20,
    )
)
def test_bodies_without_cards_are_the_same_object(value: object) -> None:
    for body in (json.dumps(value).encode(), json.dumps(value, indent=1, ensure_ascii=False).encode()):
        assert mask(body, JSON, NONE) is body


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**128 - 1))
def test_a_uuid_is_no_card(number: int) -> None:
    text = str(UUID(int=number))
    for body in (f'{{"id":"{text}","b":["{text.upper()}"]}}'.encode(), f"a={text}&b={text}".encode(), text.encode()):
        assert mask(body, JSON, NONE) is body


# ---------------------------------------------------------------- what it costs


@pytest.mark.parametrize(
    "body",
    [
        b"1" * (1 << 18),
        b"1 " * (1 << 17),
        b"4111111111111111 " * (1 << 14),
        b'{"a":"' + b"1-" * (1 << 17) + b'"}',
        b"[" * (1 << 18),
        b"%31" * 87_381,
        b'["4111111111111111"' + b',"x"' * 200_000 + b"]",
        b'{"a":' + b"9" * 5_000 + b"}",
        b'{"a":1e999999999,"b":4111111111111111}',
        b"\\u0031" * 100_000,
    ],
    ids=["digits", "groups", "cards", "dashes", "nest", "percent", "long", "number", "exponent", "escapes"],
)
def test_a_hostile_body_takes_no_long_time(body: bytes) -> None:
    began = time.perf_counter()
    mask(body, JSON, NONE)
    assert time.perf_counter() - began < 5
