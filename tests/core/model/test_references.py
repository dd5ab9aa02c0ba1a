"""References: one for each appointment, hard to mistype, read in every form people write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookcli.core.errors import InvalidInput
from bookcli.core.model.references import appointment_id_of, reference_of

IDS = st.integers(1, 2**35 - 1)
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@given(IDS)
def test_a_reference_leads_back_to_its_appointment(appointment_id: int) -> None:
    reference = reference_of(appointment_id)
    assert len(reference) == 9
    assert reference[4] == "-"
    assert appointment_id_of(reference) == appointment_id


@given(IDS)
def test_a_reference_is_read_as_people_write_it(appointment_id: int) -> None:
    reference = reference_of(appointment_id)
    spoken = reference.replace("0", "o").replace("1", "l").lower().replace("-", " ")
    for written in (spoken, f" {spoken} ", reference.replace("-", ""), reference.replace("1", "I")):
        assert appointment_id_of(written) == appointment_id


@given(IDS, st.integers(0, 7), st.sampled_from(ALPHABET))
def test_one_mistyped_character_is_always_noticed(appointment_id: int, place: int, char: str) -> None:
    word = reference_of(appointment_id).replace("-", "")
    mistyped = word[:place] + char + word[place + 1 :]
    if mistyped != word:
        with pytest.raises(InvalidInput):
            appointment_id_of(mistyped)


def test_the_references_of_the_first_appointments_never_change() -> None:
    assert [reference_of(n) for n in (1, 2, 3, 2**35 - 1)] == ["QD3G-6Z9H", "00YB-7Q3D", "NAXA-5C9Y", "S3F5-FE1S"]


def test_neighbouring_appointments_share_no_reference() -> None:
    assert len({reference_of(n) for n in range(1, 20_001)}) == 20_000


@pytest.mark.parametrize(
    "text", ["", "7F3K", "7F3K-Q2MU", "QD3G-6Z9J", "QD3G-6Z9H0", "١٢٣٤٥٦٧٨", "\udc80", "é" * 8, "x" * 10**6]
)
def test_what_is_not_a_reference_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        appointment_id_of(text)
    assert caught.value.code == "reference-invalid"


def test_no_reference_leads_to_appointment_zero() -> None:
    for check in ALPHABET:
        with pytest.raises(InvalidInput):
            appointment_id_of(_word_of_zero() + check)


def _word_of_zero() -> str:
    value = 1640531527
    value = (value ^ value >> 17) * 1103515245 % 2**35
    return "".join(ALPHABET[value >> shift & 31] for shift in range(30, -1, -5))


@pytest.mark.parametrize("appointment_id", [0, -1, 2**35])
def test_an_id_out_of_range_has_no_reference(appointment_id: int) -> None:
    with pytest.raises(ValueError, match="appointment id"):
        reference_of(appointment_id)
