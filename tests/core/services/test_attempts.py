"""What is told after trying again: a change that may have happened is never called one that did not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bookcli.core.db import notifications as queries
from bookcli.core.db.engine import RetryableConflict
from bookcli.core.errors import BookcliError, OutcomeUnknown, Unavailable
from bookcli.core.services import notifications
from bookcli.core.services.attempts import after_saving, until_known
from tests.clinic import Clinic


def _asking(*answers: BookcliError | str) -> Callable[[], str]:
    waiting = list(answers)

    def ask() -> str:
        answer = waiting.pop(0)
        if isinstance(answer, BookcliError):
            raise answer
        return answer

    return ask


def test_a_lost_answer_followed_by_a_busy_slot_stays_unknown() -> None:
    busy = RetryableConflict("busy", code="busy")
    with pytest.raises(OutcomeUnknown):
        until_known(_asking(OutcomeUnknown("lost"), busy, busy))


def test_a_busy_slot_alone_is_told_as_nothing_changed() -> None:
    busy = RetryableConflict("busy", code="busy")
    with pytest.raises(Unavailable, match="Too many desks"):
        until_known(_asking(busy, busy))


def test_a_lost_answer_is_asked_again_until_it_is_known() -> None:
    away = Unavailable("away", details={"sqlstate": "57P03"})
    assert until_known(_asking(OutcomeUnknown("lost"), away, away, "booked")) == "booked"


def test_a_connection_the_server_ended_is_opened_again_once() -> None:
    ended = Unavailable("away", details={"sqlstate": "57P01"})
    assert until_known(_asking(ended, "booked")) == "booked"
    with pytest.raises(Unavailable):
        until_known(_asking(ended, ended, "booked"))


def test_what_was_saved_but_not_read_back_is_never_told_as_unchanged() -> None:
    with pytest.raises(OutcomeUnknown, match="Patient P1 was saved"), after_saving("Patient P1"):
        raise Unavailable("The database does not answer.", hint="Nothing was changed.")


def test_a_message_whose_answer_was_lost_is_not_sent_a_second_time(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def lost(_: object, number: int) -> str:
        asked.append(number)
        raise OutcomeUnknown("The answer was lost.")

    monkeypatch.setattr(queries, "retry", lost)
    with pytest.raises(OutcomeUnknown):
        notifications.retry(clinic.context, 1)
    assert asked == [1]
