"""One writing of every party, and None for what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls.parties import LONGEST, calling_code, normalise, readable

NUMBER = "+254712345678"


@pytest.mark.parametrize("written", [
    NUMBER, "0712345678", "712345678", "254712345678", "+254 712 345 678", "0712-345-678", "(0712) 345 678", " 254712345678", "00254712345678",
    "000254712345678", "tel:+254712345678", "TEL:0712345678", "+254 (0)712 345 678", "\u0660\u0667\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668",
    "\uff0b254712345678", "0712.345.678", "0712\u00a0345\u00a0678",
])  # fmt: skip
def test_every_writing_of_a_number_is_one(written: str) -> None:
    assert normalise(written, "KE") == readable(written, "KE") == NUMBER


@pytest.mark.parametrize(("written", "country", "one"), [
    ("+254199999999", "KE", "+254199999999"),  # possible, though nobody has it
    ("0199999999", "KE", "+254199999999"), ("254199999999", "KE", "+254199999999"), ("020 7946 0958", "GB", "+442079460958"),
    ("14155552671", "KE", "+14155552671"), ("0712345678", "", "0712345678"), ("0712345678", "XX", "0712345678"), ("40345", "KE", "40345"),
    ("40 345", "KE", "40345"), ("*100#", "KE", "*100#"), ("1999", "KE", "1999"), ("sip:amina@pbx.example.com", "KE", "sip:amina@pbx.example.com"),
    ("amina@pbx", "KE", "amina@pbx"), ("Anonymous", "KE", "anonymous"), ("RESTRICTED", "KE", "restricted"),
])  # fmt: skip
def test_other_parties_are_parties_too(written: str, country: str, one: str) -> None:
    assert normalise(written, country) == readable(written, country) == one


@pytest.mark.parametrize("written", ["", " ", "nobody", "+", "abc 0712345678", "\0", "sip:", "0712 345 678 ext 5", "' OR 1=1"])
def test_what_is_no_party_stays_as_it_is(written: str) -> None:
    assert readable(written, "KE") is None
    assert normalise(written, "KE") == written.strip()


@given(st.text(max_size=400) | st.from_regex(r"[+0-9 ()*#.-]{0,30}", fullmatch=True), st.sampled_from(["KE", "UG", "GB", "US", "", "??"]))
def test_it_never_fails_and_is_done_once(text: str, country: str) -> None:
    once = normalise(text, country)
    assert len(once) <= LONGEST
    if readable(text, country) is not None:
        assert normalise(once, country) == once
        assert readable(once, country) == once


@pytest.mark.parametrize(("number", "code"), [
    ("+254720000001", "+254"), ("+254", "+254"), ("+1415", "+1"), ("+447", "+44"), ("+7", "+7"), ("+999", None), ("+", None), ("2547", None), ("", None),
])  # fmt: skip
def test_a_number_begins_with_the_code_of_its_country(number: str, code: str | None) -> None:
    assert calling_code(number) == code
