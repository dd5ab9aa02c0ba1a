"""The messages of a site, by keys pressed and text seen, on the real database."""

from __future__ import annotations

from bookcli.core.services import appointments, notifications, undo
from tests.clinic import Clinic
from tests.faults import outages
from tests.servers import Server
from tests.tui.harness import SMALL, Seat, sit
from tests.tui.test_agenda import line
from tests.tui.test_appointment import booked


def becomes(clinic: Clinic, reference: str, what: str) -> None:
    """Lets something have become of the message about an appointment, as columns of SQL."""
    clinic.run(
        f"UPDATE app.notification SET {what} WHERE app.reference_of(appointment_id) = %s",
        (reference,),
    )


def states(clinic: Clinic) -> list[str]:
    """What the messages are, in the order in which they were made."""
    return [row["state"] for row in reversed(notifications.list_(clinic.context))]


async def enter(seat: Seat) -> None:
    """Goes to the messages."""
    await seat.sees("No slots")
    await seat.press("5")


def test_no_message_is_said(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("There is no message here.", "0 failed  0 waiting", "Send now", "Stop…")
        await seat.press("t", "x", "v", "enter", "f")
        await seat.sees("There is no message that is failed here.")

    sit(clinic.context, play, SMALL)


def test_failed_and_waiting_come_first_with_the_reason_in_words(clinic: Clinic) -> None:
    failed, waiting, sent = (booked(clinic, n, index=n) for n in (1, 2, 3))
    becomes(clinic, failed, "failed_at = now(), channel = 'email', reason = 'smtp-away'")
    becomes(clinic, waiting, "reason = 'quiet-hours'")
    becomes(clinic, sent, "sent_at = now(), channel = 'sms'")

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("▲ failed", "◷ waiting", "✔ sent", "1 failed  1 waiting")
        lines = seat.text().splitlines()
        found = [next(n for n, one in enumerate(lines) if name in one) for name in (failed, waiting, sent)]
        assert found == sorted(found)
        assert all(word in line(seat, failed) for word in ("▲ failed", "confirmation", "email", "does not answer"))
        assert "until quiet hours are over" in line(seat, waiting)
        assert all(word in line(seat, sent) for word in ("✔ sent", "sms"))

    sit(clinic.context, play)


def test_the_whole_reason_of_the_row_under_the_cursor_is_below_the_table(clinic: Clinic) -> None:
    failed, waiting = booked(clinic, 1), booked(clinic, 2, index=1)
    becomes(clinic, failed, "failed_at = now(), channel = 'email', reason = 'smtp-away'")
    becomes(clinic, waiting, "reason = 'quiet-hours'")

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("Why: the mail server does not answer")
        await seat.press("down")
        await seat.sees("Why: until quiet hours are over")

    sit(clinic.context, play, SMALL)


def test_a_confirmation_of_what_is_cancelled_is_dropped_before_any_worker_has_looked(clinic: Clinic) -> None:
    reference = booked(clinic)
    appointments.cancel(clinic.context, reference)
    assert states(clinic) == ["cancelled", "waiting"]
    assert [row["kind"] for row in notifications.list_(clinic.context, state="waiting")] == ["cancellation"]
    assert [row["kind"] for row in notifications.list_(clinic.context, state="cancelled")] == ["confirmation"]

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("✕ dropped", "not booked any more", "0 failed  1 waiting")
        await seat.press("down", "t")
        await seat.hears("It cannot be sent: it is not booked any more.")
        await seat.press("enter")
        await seat.sees("confirmation dropped (it is not booked any more)", "cancellation waiting")

    sit(clinic.context, play)
    undo.undo(clinic.context, reference)
    assert [row["kind"] for row in notifications.list_(clinic.context, state="waiting")] == ["confirmation"]


def test_a_desk_that_does_not_know_the_sender_says_so_without_naming_settings(clinic: Clinic) -> None:
    booked(clinic)
    object.__setattr__(clinic.context.settings, "mail_from", "nobody")

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("◷ waiting")
        await seat.press("v")
        await seat.hears("this desk does not know whom letters come from")
        await seat.misses("mail_from")

    sit(clinic.context, play)


def test_f_goes_through_the_states(clinic: Clinic) -> None:
    failed, sent = booked(clinic, 1), booked(clinic, 2, index=1)
    becomes(clinic, failed, "failed_at = now(), reason = 'smtp-550'")
    becomes(clinic, sent, "sent_at = now(), channel = 'email'")

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees(failed, sent)
        await seat.press("f")
        await seat.sees("only failed", failed)
        await seat.misses(sent)
        await seat.press("f")
        await seat.sees("only waiting", "There is no message that is waiting here.")
        await seat.press("f", "f")
        await seat.sees("only sent", sent)
        await seat.press("f", "f")
        await seat.sees("1 failed", failed, sent)

    sit(clinic.context, play, SMALL)


def test_t_sends_what_failed_and_asks_before_a_patient_gets_it_twice(clinic: Clinic) -> None:
    failed, sent = booked(clinic, 1), booked(clinic, 2, index=1)
    becomes(clinic, failed, "failed_at = now(), reason = 'smtp-550'")
    becomes(clinic, sent, "sent_at = now(), channel = 'email'")

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("▲ failed", "✔ sent")
        await seat.press("t")
        await seat.hears(f"The confirmation {failed} will be sent now.")
        await seat.sees("◷ waiting", "0 failed  1 waiting")
        assert states(clinic) == ["waiting", "sent"]
        await seat.press("down", "t")
        await seat.sees("It is sent. Send it all the same?", "The patient would get it twice.", "Keep")
        await seat.press("enter")
        await seat.misses("Send it all the same?")
        assert states(clinic) == ["waiting", "sent"]
        await seat.press("t")
        await seat.sees("Send it all the same?")
        await seat.press("y")
        await seat.sees("0 failed  2 waiting")

    sit(clinic.context, play, SMALL)


def test_stopping_is_asked_for_keeping_is_the_default_and_the_cursor_stays(clinic: Clinic) -> None:
    first, second = booked(clinic, 1), booked(clinic, 2, index=1)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("0 failed  2 waiting")
        await seat.press("down", "x")
        await seat.sees(f"Stop the confirmation about {first}?", "Keep")
        await seat.press("enter")
        await seat.misses("Stop the confirmation")
        assert states(clinic) == ["waiting", "waiting"]
        becomes(clinic, second, "failed_at = now(), reason = 'smtp-550'")
        await seat.press("r")
        await seat.sees("1 failed  1 waiting")
        await seat.press("x")
        await seat.sees(f"Stop the confirmation about {first}?")
        await seat.press("y")
        await seat.hears(f"The confirmation {first} will not be sent.")
        await seat.sees("✕ dropped", "somebody stopped it")
        assert states(clinic) == ["cancelled", "failed"]
        becomes(clinic, first, "sent_at = now(), channel = 'email', cancelled_at = NULL, reason = ''")
        await seat.press("x", "y")
        await seat.hears("The message is sent.")
        await seat.sees("✔ sent")

    sit(clinic.context, play)


def test_enter_opens_the_appointment(clinic: Clinic) -> None:
    reference = booked(clinic)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees(reference)
        await seat.press("enter")
        await seat.sees("● booked", "Ana Müller  P1", "History")
        await seat.press("escape")
        await seat.sees("1 waiting")

    sit(clinic.context, play)


def test_what_somebody_may_not_do_is_said_in_one_sentence(clinic: Clinic) -> None:
    booked(clinic)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("◷ waiting")
        clinic.run("DELETE FROM app.role_permission WHERE permission = 'book'")
        await seat.press("x", "y")
        await seat.hears("You are not allowed to do that.")
        assert states(clinic) == ["waiting"]
        clinic.run("DELETE FROM app.role_permission WHERE permission = 'see-patients'")
        await seat.press("r")
        await seat.sees("▲ You are not allowed to do that.", "r tries again")
        await seat.misses("◷ waiting")
        assert "whoami" not in seat.text()

    sit(clinic.context, play)


def test_while_the_database_is_away_what_was_read_stays_and_nothing_is_changed(
    clinic: Clinic, server: Server, database: str
) -> None:
    reference = booked(clinic)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("◷ waiting", reference)
        with outages.stopped(server, database):
            await seat.press("r")
            await seat.sees("The database does not answer. What you see is", reference)
            await seat.press("t")
            await seat.hears("The database does not answer.")
        await seat.misses("What you see is")
        await seat.press("x", "y")
        await seat.sees("✕ dropped")

    sit(clinic.context, play)
