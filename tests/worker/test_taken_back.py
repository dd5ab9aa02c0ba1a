"""Whatever is taken back, and whatever becomes of the messages on their way: what a patient was told last is true."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bookcli.core.context import Context
from bookcli.core.model.messages import Outgoing
from bookcli.core.model.requests import BookingRequest, Place
from bookcli.core.services import appointments, notifications, undo
from tests.clinic import Clinic

Told = str | None
"""When the patient thinks that their appointment begins; None: they know of none."""


class Story:
    """One appointment, the messages about it that workers have now, and all that its patient may believe by now."""

    def __init__(self, clinic: Clinic, worker: Context, patient: int) -> None:
        self.clinic, self.worker = clinic, worker
        half, day = divmod(patient - 1, 10)
        self.slots = [clinic.slot("mri", day + 1, 8 * half + index) for index in (0, 2, 4)]
        booked = appointments.book(clinic.context, clinic.request(patient, "mri", self.slots[0]))
        self.reference = booked.verdicts[0].reference or ""
        self.on_their_way: list[tuple[Outgoing, ...]] = []
        self.believed: set[Told] = {None}

    def move(self, slot: int) -> None:
        request = BookingRequest(test="mri", place=Place(slot=self.slots[slot]))
        appointments.reschedule(self.clinic.context, self.reference, request)

    def cancel(self) -> None:
        appointments.cancel(self.clinic.context, self.reference)

    def undo(self) -> bool:
        """Whether the patient is told that something was taken back."""
        return undo.undo(self.clinic.context, self.reference).message_sent

    def lease(self, within: str = "1 day") -> None:
        """A worker takes what is about the appointment and due in that time."""
        mine = "SELECT notification_id FROM notification WHERE appointment_id = app.appointment_id_of(%s)"
        due = f"{mine} AND due_at <= now() + interval '{within}'"
        ids = [number for (number,) in self.clinic.rows(due, (self.reference,))]
        self.on_their_way += notifications.lease(self.worker, ids, 240)

    def ends(self, how: str) -> None:
        """The first of them is sent, perhaps sent, or not; or whoever has it dies over it."""
        message = self.on_their_way.pop(0)
        content = None if message[0].kind == "cancellation" else message[0].starts_at.isoformat()
        ids = [row.notification_id for row in message]
        if how == "sent":
            notifications.mark_sent(self.worker, ids)
            self.believed = {content}
        elif how == "dies":
            self.clinic.run("UPDATE notification SET leased_until = now() WHERE notification_id = ANY (%s)", (ids,))
            self.believed.add(content)
        elif how == "refused":
            notifications.mark_refused(self.worker, message, "smtp-550")
        else:
            notifications.mark_failed(self.worker, message, f"smtp-{how}", perhaps=how == "perhaps")
            self.believed |= {content} if how == "perhaps" else set()

    def tell(self, how: str = "sent", within: str = "1 day") -> None:
        """All that is due in that time, one after the other."""
        self.lease(within)
        while self.on_their_way:
            self.ends(how)

    def is_true(self) -> bool:
        """Whether all that the patient may believe is so, when what waits has been sent."""
        while self.on_their_way:
            self.ends("sent")
        self.tell(within="0")
        self.tell()
        row = appointments.show(self.clinic.context, self.reference)
        return self.believed == {row["starts_at"].isoformat() if row["status"] == "booked" else None}


@pytest.fixture
def stories(clinic: Clinic, working: Context) -> Iterator[Story]:
    return (Story(clinic, working, patient) for patient in range(1, 21))


def test_who_may_have_been_told_of_a_booking_that_was_a_mistake_is_told_so(stories: Iterator[Story]) -> None:
    for how in ("perhaps", "dies", "sent"):
        story = next(stories)
        story.tell(how)
        assert story.undo() and story.is_true(), how
    story = next(stories)
    story.tell("451")
    assert not story.undo() and story.is_true(), "nobody is told that what they never heard of is cancelled"


@pytest.mark.parametrize("how", ["refused", "451", "perhaps"])
def test_who_may_have_been_told_once_stays_so_whatever_becomes_of_the_next_attempt(
    stories: Iterator[Story], how: str
) -> None:
    for first in ("perhaps", "dies"):
        story = next(stories)
        story.tell(first)
        story.tell(how)
        assert story.undo() and story.is_true()


def test_who_may_have_been_told_before_it_was_cancelled_by_mistake_is_told_in_the_end(stories: Iterator[Story]) -> None:
    story = next(stories)
    story.tell("perhaps")
    story.cancel()
    story.tell("451")
    story.undo()
    assert story.undo() and story.is_true()


def test_a_message_that_is_sent_again_on_demand_is_not_forgotten(stories: Iterator[Story], clinic: Clinic) -> None:
    story = next(stories)
    story.tell()
    notifications.retry(clinic.context, clinic.row("SELECT max(notification_id) FROM notification")[0])
    assert story.undo() and story.is_true()


def test_a_confirmation_that_went_out_after_a_move_has_told_of_the_move(stories: Iterator[Story]) -> None:
    story = next(stories)
    story.tell("451")
    story.move(1)
    story.lease()
    story.ends("sent")
    story.ends("451")
    assert story.undo() and story.is_true()


def test_a_move_whose_message_was_dropped_while_it_was_cancelled_is_told_after_all(stories: Iterator[Story]) -> None:
    story = next(stories)
    story.tell()
    story.move(1)
    story.cancel()
    story.tell("451")
    story.undo()
    assert story.is_true()


def test_a_cancellation_that_comes_back_from_its_way_is_not_sent_when_it_is_not_so_any_more(
    stories: Iterator[Story],
) -> None:
    story = next(stories)
    story.tell()
    story.cancel()
    story.lease()
    assert story.undo()
    story.ends("451")
    assert story.is_true()


def test_a_cancellation_does_not_overtake_what_is_on_its_way(stories: Iterator[Story]) -> None:
    story = next(stories)
    story.lease()
    story.cancel()
    story.lease()
    assert [message[0].kind for message in story.on_their_way] == ["confirmation"]
    story.ends("sent")
    assert story.is_true()
