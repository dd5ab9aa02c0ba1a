"""What a desk asks for is looked at before it is sent or kept anywhere, however it was made."""

from __future__ import annotations

from typing import Any

import pytest

from bookcli.core.errors import InvalidInput
from bookcli.core.model.requests import BookingRequest, Place

HOSTILE = ["a\x00b", "a\udcffb", "\x1b[31m", "\u202eb", "x" * 10_000_000]


@pytest.mark.parametrize("hostile", HOSTILE, ids=["nul", "surrogate", "escape", "right-to-left", "ten million"])
@pytest.mark.parametrize("field", ["patient", "test", "site", "moves", "status", "note"])
def test_text_that_cannot_be_stored_never_leaves_the_desk(field: str, hostile: str) -> None:
    fields: dict[str, Any] = {"place": Place(site=hostile)} if field == "site" else {field: hostile}
    with pytest.raises(InvalidInput) as refusal:
        BookingRequest(**fields).document()
    assert hostile not in refusal.value.message + refusal.value.hint


def test_a_note_is_sent_as_it_is_kept_and_asking_again_sends_the_same() -> None:
    request = BookingRequest("P1", "mri", Place(slot=1), note="  Brings  an interpreter \r\n")
    assert request.document()["note"] == "Brings an interpreter"
    assert request.document() == request.document()
    assert "note" not in BookingRequest("P1", "mri", Place(slot=1), note=" \n").document()
