"""The book dialog, by keys pressed and text seen, on the real database."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bookcli.core.context import Context
from bookcli.core.model.appointments import Outcome
from bookcli.core.services import appointments, board, reception
from tests.clinic import Clinic
from tests.faults import outages
from tests.servers import Server
from tests.tui.harness import SMALL, Seat, sit


async def at_tomorrow(seat: Seat) -> None:
    """The board of the first day with slots, the cursor on the first slot of the laboratory."""
    await seat.sees("No slots")
    await seat.press("]")
    await seat.sees("Laboratory", "08:00")


async def booking_mri(seat: Seat) -> None:
    """The book dialog of the first slot of the MRI."""
    await at_tomorrow(seat)
    await seat.press("right", "n")
    await seat.sees("Patient", "mri · mri-contrast")


async def held_mri(seat: Seat, who: str = "muller") -> None:
    """The same, filled in: the place is held."""
    await booking_mri(seat)
    await seat.press(f"text:{who}")
    await seat.sees("P1", "nothing ahead")
    await seat.takes_patient()
    await seat.press("text:mri", "enter")
    await seat.sees("◐ Held 4:5")


def statuses(clinic: Clinic) -> list[tuple[str, ...]]:
    """(test, status) of every appointment."""
    return clinic.rows("SELECT t.code, a.status::text FROM appointment a JOIN test t USING (test_id) ORDER BY 1, 2")


def test_a_slot_of_the_board_is_booked_for_a_patient_found_by_typing(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await held_mri(seat)
        await seat.sees("Ana Müller", "Read aloud  No metal.")
        assert "already has" not in seat.text()
        assert statuses(clinic) == [("mri", "pending")]
        await seat.press("text:claustrophobic", "enter")
        await seat.sees("BOOKED", "Ana Müller P1", "No metal.")
        assert clinic.row("SELECT note, status::text FROM appointment") == ("claustrophobic", "booked")
        await seat.press("enter")
        await seat.sees("█ 1/1")

    sit(clinic.context, play, SMALL)


def test_while_the_dialog_is_open_other_desks_see_the_place_held_and_by_whom(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await held_mri(seat)
        shown = board.day(clinic.context, "north", clinic.day(1))
        (held,) = [cell for column in shown.columns for cell in column.cells if cell.holds]
        assert (held.slot_id, held.holds[0].staff) == (clinic.slot("mri"), "tests")
        await seat.press("escape")
        await seat.sees("Leave without booking?", "Keep")
        await seat.press("enter")
        await seat.sees("◐ Held 4:5")
        await seat.press("escape")
        await seat.sees("Leave without booking?")
        await seat.press("y")
        await seat.eventually(lambda: statuses(clinic) == [("mri", "cancelled")], "given back")
        await seat.misses("for whoever performs it")

    sit(clinic.context, play)


def test_who_has_the_same_test_ahead_already_is_said_while_it_is_booked(clinic: Clinic) -> None:
    has = appointments.book(clinic.context, clinic.request(1, "mri", clinic.slot("mri", 2))).verdicts[0].reference

    async def play(seat: Seat) -> None:
        await booking_mri(seat)
        await seat.press("text:muller")
        await seat.sees("P1")
        await seat.takes_patient()
        await seat.press("text:mri", "enter")
        await seat.sees("◐ Held 4:5", "▲ The patient already has MRI on", "08:00 at north", f"({has})")
        await seat.press("enter")
        await seat.sees("BOOKED")

    sit(clinic.context, play, SMALL)


def test_leaving_says_that_a_place_is_given_back_only_when_one_is_held(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await booking_mri(seat)
        await seat.press("text:mul", "escape")
        await seat.sees("Leave without booking?", "Nothing is booked or held.")

    sit(clinic.context, play)


def test_what_enter_does_is_said_where_the_cursor_is_and_it_books_in_the_offers_too(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await booking_mri(seat)
        await seat.press("text:muller")
        await seat.sees("Enter takes Ana Müller")
        await seat.takes_patient()
        await seat.sees("Enter goes on")
        await seat.press("text:mri", "enter")
        await seat.sees("◐ Held 4:5", "Enter books")
        await seat.press("shift+tab", "down")
        await seat.sees("Enter holds this offer")
        await seat.press("up")
        await seat.sees("Enter books")
        await seat.press("enter")
        await seat.sees("BOOKED")

    sit(clinic.context, play, SMALL)
    assert statuses(clinic) == [("mri", "booked")]


def test_a_dialog_in_which_nothing_was_typed_leaves_without_asking(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await booking_mri(seat)
        await seat.press("escape")
        await seat.misses("for whoever performs it")

    sit(clinic.context, play)


def test_a_place_that_is_taken_already_is_said_and_the_nearest_is_booked_instead(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await booking_mri(seat)
        appointments.book(clinic.context, clinic.request(2, "mri", clinic.slot("mri")))
        await seat.press("text:muller")
        await seat.sees("P1", "nothing ahead")
        await seat.takes_patient()
        await seat.press("text:mri", "enter")
        await seat.sees("That place is not free for it. The nearest are these.", "mri 08:30 mri-1", "Ana Müller P1")
        await seat.press("enter")
        await seat.sees("◐ Held 4:5", "08:30–09:00")
        await seat.press("enter")
        await seat.sees("BOOKED")
        assert clinic.row("SELECT slot_id FROM appointment WHERE patient_id = 1") == (clinic.slot("mri", 1, 1),)

    sit(clinic.context, play, SMALL)


def test_a_place_taken_while_it_is_chosen_is_refused_and_everything_typed_stays(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await held_mri(seat)
        await seat.press("text:claustrophobic", "shift+tab")
        appointments.book(clinic.context, clinic.request(2, "mri", clinic.slot("mri", 1, 1)))
        await seat.press("down", "enter")
        await seat.sees("REFUSED", "full", "The nearest free", "Ana Müller P1", "claustrophobic")
        await seat.press("enter")
        await seat.sees("◐ Held 4:5")
        await seat.press("enter")
        await seat.sees("BOOKED")
        assert statuses(clinic) == [("mri", "booked"), ("mri", "booked"), ("mri", "cancelled")]

    sit(clinic.context, play, SMALL)
    assert clinic.sound()


def test_a_place_that_was_refused_is_not_asked_for_again(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    hold = reception.hold

    def counted(context: Context, before: str, wanted: reception.Wanted) -> Outcome:
        asked.append(wanted)
        return hold(context, before, wanted)

    monkeypatch.setattr(reception, "hold", counted)

    async def play(seat: Seat) -> None:
        await held_mri(seat)
        await seat.press("shift+tab")
        appointments.book(clinic.context, clinic.request(2, "mri", clinic.slot("mri", 1, 1)))
        await seat.press("down", "enter")
        await seat.sees("REFUSED", "full")
        holding = seat.app.screen._holding  # type: ignore[attr-defined]
        await seat.eventually(lambda: not holding.on_its_way, "at rest")
        assert len(asked) == 2

    sit(clinic.context, play)


def test_what_was_offered_before_the_last_letter_is_not_booked(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await held_mri(seat)
        await seat.press("shift+tab", "shift+tab", "paste:+3d", "ctrl+s")
        dialog = seat.app.screen
        await seat.eventually(lambda: not seat.app.calls.is_asking(dialog, "offers"), "asked")
        await seat.eventually(
            lambda: dialog.form.offers.shown and not dialog._holding.on_its_way,  # type: ignore[attr-defined]
            "offers of the other day",
        )
        assert not any(status == "booked" for _, status in statuses(clinic))

    sit(clinic.context, play)


def test_a_hold_that_runs_out_is_said_and_held_again_or_booked(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await held_mri(seat)
        seat.app.screen._holding.held = replace(seat.app.screen._holding.held, ends=0.0)  # type: ignore[attr-defined]
        clinic.run("UPDATE app.appointment SET held_until = now() - interval '1 s'")
        await seat.sees("No longer held")
        await seat.press("ctrl+r")
        await seat.sees("◐ Held 4:5")
        clinic.run("UPDATE app.appointment SET held_until = now() - interval '1 s' WHERE status = 'pending'")
        await seat.press("enter")
        await seat.sees("BOOKED")

    sit(clinic.context, play)
    assert clinic.sound()


def test_a_hold_goes_on_while_somebody_types(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await held_mri(seat)
        holding = seat.app.screen._holding  # type: ignore[attr-defined]
        holding.held = replace(holding.held, ends=holding.held.ends - 270)
        await seat.press("text:a")
        await seat.eventually(lambda: holding.held.seconds > 200, "renewed")
        assert clinic.row("SELECT count(*) FROM audit WHERE action = 'renew'") == (1,)

    sit(clinic.context, play)


def test_a_new_patient_is_written_down_without_leaving_the_dialog(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await booking_mri(seat)
        await seat.press("text:Grace Hopper")
        await seat.sees("Nobody is called so")
        await seat.press("enter")
        await seat.sees("New patient", "Grace Hopper", "Birth date")
        await seat.press("tab", "text:1806-13-40", "tab", "text:030 901820")
        await seat.sees("birth date")
        await seat.press("ctrl+s")
        await seat.sees("New patient")
        await seat.press("ctrl+u", "text:1906-12-09", "ctrl+s")
        await seat.sees("1906-12-09")
        await seat.misses("Birth date")
        await seat.press("text:mri", "enter")
        await seat.sees("◐ Held 4:5")
        await seat.press("enter")
        await seat.sees("BOOKED", "Grace Hopper")

    sit(clinic.context, play)


def test_somebody_who_may_be_there_already_is_shown_and_taken(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await booking_mri(seat)
        await seat.press("ctrl+n", "text:ana muller")
        await seat.sees("May be there already", "Ana Müller")
        await seat.press("ctrl+t")
        await seat.sees("Ana Müller P1", "nothing ahead")

    sit(clinic.context, play)


def test_opened_without_a_slot_tests_and_days_are_typed_and_a_visit_is_booked(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        await seat.press("b")
        await seat.sees("Patient", "blood · mri")
        await seat.press("text:p3")
        await seat.sees("Łukasz Żółć")
        await seat.takes_patient()
        await seat.press("text:mri blood", "enter", "text:tomorrow am", "enter")
        await seat.sees("blood 08:00 lab · mri 08:30 mri-1", "MRI, Blood draw", "00:00–12:00")
        await seat.press("down", "enter")
        await seat.sees("◐ Held 4:5", "Nothing to eat for 8 hours.")
        await seat.press("enter")
        await seat.sees("BOOKED", "Blood draw, lab", "MRI, mri-1")
        await seat.hears("BOOKED 2 appointments: ", ", ")
        assert statuses(clinic) == [("blood", "booked"), ("mri", "booked")]

    sit(clinic.context, play, SMALL)


def test_a_refusal_by_a_rule_keeps_what_was_typed(clinic: Clinic) -> None:
    appointments.book(clinic.context, clinic.request(1, "blood", clinic.slot("blood")))

    async def play(seat: Seat) -> None:
        await at_tomorrow(seat)
        await seat.press("right", "n")
        await seat.sees("Patient", "mri · mri-contrast")
        await seat.press("text:muller")
        await seat.sees("blood", "P1")
        await seat.takes_patient()
        await seat.press("text:mri", "enter")
        await seat.sees("The patient already has an appointment at that time", "The nearest are these.")
        await seat.sees("mri 08:30 mri-1", "Ana Müller P1", "Enter holds this offer")

    sit(clinic.context, play, SMALL)


def test_while_the_database_is_away_the_request_is_kept_and_said_to_be_pending(
    clinic: Clinic, server: Server, database: str
) -> None:
    async def play(seat: Seat) -> None:
        await booking_mri(seat)
        with outages.stopped(server, database):
            await seat.eventually(lambda: seat.app.lights is not None and seat.app.lights.database == "away")
            await seat.press("text:P1")
            await seat.sees("Type the whole number")
            await seat.takes_patient()
            await seat.press("text:mri")
            await seat.sees("Not held", "PENDING — not booked")
            await seat.press("enter")
            await seat.sees("Enter keeps it")
            await seat.press("enter")
            await seat.sees("PENDING — not booked.", "Tell the patient", "You will be called", "1 PENDING")
        await seat.sees("✔ BOOKED", "sent when it did", "kept while the database was away is", "BOOKED: ")
        await seat.misses("PENDING — not booked.", "Tell the patient")

    sit(clinic.context, play)
    assert statuses(clinic) == [("mri", "booked")]


def test_a_database_that_freezes_with_a_place_held_leaves_the_keys_alive_and_books_when_it_is_back(
    clinic: Clinic, server: Server, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    object.__setattr__(clinic.context.settings, "deadline", "1")

    async def play(seat: Seat) -> None:
        await held_mri(seat)
        with outages.frozen(server, database):
            await seat.press("enter")
            await seat.press("text:still here")
            await seat.sees("still here", "UNKNOWN — perhaps booked, perhaps not.")
        await seat.sees("BOOKED")

    sit(clinic.context, play)
    assert statuses(clinic) == [("mri", "booked")]
    assert clinic.sound()


def test_what_becomes_of_a_booking_that_was_left_under_way_is_told(
    clinic: Clinic, server: Server, database: str
) -> None:
    async def play(seat: Seat) -> None:
        await held_mri(seat)
        with outages.frozen(server, database):
            await seat.press("enter", "escape")
            await seat.sees("Leave without booking?", "you are told")
            await seat.press("y")
            await seat.misses("for whoever performs it")
        await seat.hears("BOOKED", "u takes it back")
        await seat.sees("█ 1/1")

    sit(clinic.context, play)
    assert statuses(clinic) == [("mri", "booked")]


def test_a_dialog_that_was_opened_before_it_was_known_who_is_signed_in_books(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await at_tomorrow(seat)
        # As when a desk is started while the database is away, and it comes back meanwhile.
        staff, seat.app.calls.staff = seat.app.calls.staff, ""
        await seat.press("right", "n")
        await seat.sees("Patient", "mri · mri-contrast")
        seat.app.calls.staff = staff
        await seat.press("text:muller")
        await seat.sees("P1", "nothing ahead")
        await seat.takes_patient()
        await seat.press("text:mri", "enter")
        await seat.sees("◐ Held 4:5")
        await seat.press("enter")
        await seat.sees("BOOKED", "Ana Müller P1")

    sit(clinic.context, play)
    assert statuses(clinic) == [("mri", "booked")]


def test_a_dialog_that_was_opened_before_the_site_was_known_learns_its_tests(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await at_tomorrow(seat)
        # As when a desk is started while the database is away, and it comes back meanwhile.
        site, seat.app.site = seat.app.site, None
        await seat.press("b")
        await seat.sees("Patient", "Tests")
        seat.app.site = site
        await seat.sees("blood · mri")

    sit(clinic.context, play)


def test_for_a_day_that_is_not_clear_nothing_is_offered_and_nothing_is_held(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        await seat.press("b")
        await seat.sees("Patient", "blood · mri")
        await seat.press("text:p1")
        await seat.sees("Ana Müller")
        await seat.takes_patient()
        await seat.press("text:mri", "enter", "text:31 feb", "enter")
        await seat.sees("▲ 31 feb is no day.")
        await seat.press("ctrl+s")
        await seat.misses("◐ Held", "08:00 mri-1")
        await seat.press("shift+tab", "ctrl+u", f"text:{clinic.day(1)}", "enter")
        await seat.sees("mri 08:00 mri-1")
        await seat.misses("no day")
        await seat.press("shift+tab", "ctrl+u", "text:soonish", "enter")
        await seat.sees("It is not clear what is meant by soonish.")

    sit(clinic.context, play)
    assert statuses(clinic) == []


def test_enter_in_the_note_is_for_the_offers_that_are_shown_and_the_focus_stays(
    clinic: Clinic, server: Server, database: str
) -> None:
    first, second = clinic.day(1), clinic.day(2)

    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        await seat.press("b")
        await seat.sees("Patient", "blood · mri")
        await seat.press("text:p1")
        await seat.sees("Ana Müller")
        await seat.takes_patient()
        await seat.press("text:mri", "enter", f"text:{first}", "enter")
        await seat.sees("mri 08:00 mri-1")
        form = seat.app.screen.form  # type: ignore[attr-defined]
        with outages.frozen(server, database):
            await seat.press("shift+tab", "ctrl+u", f"text:{second}", "tab", "tab", "text:a", "enter")
            await seat.sees("looks for what is free")
            assert seat.app.focused is form.note
        await seat.sees(f"{second:%a %d %b} 08:00", "mri 08:00 mri-1")
        await seat.misses("looks for what is free")
        assert statuses(clinic) == [] and seat.app.focused is form.note
        await seat.press("enter")
        await seat.sees("◐ Held 4:5")
        assert clinic.row("SELECT slot_id FROM appointment") == (clinic.slot("mri", 2),)

    sit(clinic.context, play)
