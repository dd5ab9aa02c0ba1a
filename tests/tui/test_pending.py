"""What was kept while the database was away, by keys pressed and text seen, on a real database that goes away."""

from __future__ import annotations

from bookcli.core.adapters.spool import ENDED, TOLD, WAITING, Spool
from bookcli.core.model.pending import booking
from bookcli.core.services import appointments, pending
from tests.clinic import Clinic
from tests.faults import outages
from tests.servers import Server
from tests.tui.harness import SMALL, Seat, sit


def kept(clinic: Clinic, patient: int, test: str = "mri", note: str = "", index: int = 0) -> None:
    """A request in the spool of another database than the clinic's, so that nothing sends it beside the test."""
    request = clinic.request(patient, test, clinic.slot(test, 1, index), note=note)
    keep(clinic, pending.Kept(booking(request), pending.clock.now(), "tests", "desk", "elsewhere", "another"))


def keep(clinic: Clinic, what: pending.Kept) -> None:
    """Puts it on the disk."""
    Spool(clinic.context.paths.spool).add(what.asked.key, what.document())


def spooled(clinic: Clinic, *states: str) -> int:
    """How many files of the spool are in these states."""
    return Spool(clinic.context.paths.spool).count(*states)


async def enter(seat: Seat) -> None:
    """Goes to what was kept."""
    await seat.sees("No slots")
    await seat.press("4")


def test_nothing_kept_is_said(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("Nothing waits, and nothing has ended since yesterday.", "0 waiting", "Send now", "Drop…")
        await seat.press("x", "enter", "s")
        await seat.hears("Nothing waits.")

    sit(clinic.context, play, SMALL)


def test_a_request_is_seen_and_not_sent_while_the_database_is_away_and_by_s_when_it_is_back(
    clinic: Clinic, server: Server, database: str
) -> None:
    slot = clinic.slot("mri")

    async def play(seat: Seat) -> None:
        await seat.sees("No slots", "● db")
        with outages.stopped(server, database):
            assert appointments.book(clinic.context, clinic.request(1, "mri", slot)).outcome == "pending"
            await seat.press("4")
            await seat.sees("just now", "P1", f"mri, slot {slot}", "◷ waiting, not booked", "1 waiting")
            await seat.press("s")
            await seat.hears("1 still waits. The database does not answer.")
            assert spooled(clinic, WAITING) == 1
        await seat.press("s")
        await seat.sees("✔ booked", "0 waiting  1 ended")
        (reference,) = clinic.row(
            "SELECT app.reference_of(appointment_id) FROM appointment WHERE slot_id = %s", (slot,)
        )
        await seat.sees(f"✔ booked {reference}")
        await seat.eventually(lambda: spooled(clinic, TOLD) == 1 and not spooled(clinic, ENDED, WAITING), "told")

    sit(clinic.context, play, SMALL)


def test_a_refusal_is_said_in_words_and_enter_tells_the_rest(clinic: Clinic, server: Server, database: str) -> None:
    slot = clinic.slot("mri")
    appointments.book(clinic.context, clinic.request(2, "mri", slot))

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("✕ refused: That slot is full.")
        await seat.press("enter")
        await seat.sees(
            "Request ", "Why       That slot is full.", "Patient   P1", "Note      Bring the card.", "by tests"
        )
        await seat.press("escape")
        await seat.misses("Bring the card.")

    with outages.stopped(server, database):
        appointments.book(clinic.context, clinic.request(1, "mri", slot, note="Bring the card."))
    sit(clinic.context, play, SMALL)


def test_dropping_is_asked_for_and_keeping_is_the_default(clinic: Clinic) -> None:
    kept(clinic, 1)
    kept(clinic, 2, index=1)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("P1", "P2", "2 waiting")
        await seat.press("down", "x")
        await seat.sees("Drop the request mri for P2?", "It will never be sent", "Keep")
        await seat.press("enter")
        await seat.misses("Drop the request")
        assert spooled(clinic, WAITING) == 2
        await seat.press("r", "x")
        await seat.sees("Drop the request mri for P2?")
        await seat.press("y")
        await seat.hears("The request is forgotten.")
        await seat.sees("1 waiting")
        await seat.misses("P2")
        assert spooled(clinic, WAITING) == 1

    sit(clinic.context, play, SMALL)


def test_what_was_asked_of_another_database_is_not_sent_to_this_one(clinic: Clinic) -> None:
    kept(clinic, 1)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("◷ waiting, not booked")
        await seat.press("s")
        await seat.hears("1 still waits. They were asked of another database")

    sit(clinic.context, play)
    assert clinic.row("SELECT count(*) FROM appointment") == (0,)


def test_what_arrives_and_what_ends_appears_without_a_key_and_the_cursor_stays(clinic: Clinic) -> None:
    kept(clinic, 1)
    kept(clinic, 2, index=1)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("P1", "P2")
        await seat.press("down")
        kept(clinic, 3, index=2)
        await seat.sees("P3", "3 waiting")
        pending.drop(clinic.context, pending.items(clinic.context)[0])
        await seat.misses("P1")
        await seat.press("x")
        await seat.sees("Drop the request mri for P2?")

    sit(clinic.context, play)


def test_a_directory_that_is_open_to_others_is_said_in_one_sentence(clinic: Clinic) -> None:
    kept(clinic, 1)
    clinic.context.paths.spool.chmod(0o755)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("belongs to others or is open to", "r tries again")
        clinic.context.paths.spool.chmod(0o700)
        await seat.press("r")
        await seat.sees("◷ waiting, not booked")

    sit(clinic.context, play)


def test_a_damaged_file_is_a_line_that_can_be_dropped(clinic: Clinic) -> None:
    kept(clinic, 1)
    (file,) = clinic.context.paths.spool.glob("*.waiting")
    file.write_text("{")

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("▲ damaged, cannot be read")
        await seat.press("enter")
        await seat.sees("Request ", "Key ")
        await seat.press("escape", "x")
        await seat.sees("will never be sent")
        await seat.press("y")
        await seat.sees("Nothing waits")

    sit(clinic.context, play)
