"""The reports, by keys pressed and text seen, on the real database."""

from __future__ import annotations

import re
import threading
from datetime import date, timedelta
from functools import partial

import pytest
from rich.style import Style
from rich.text import Text

from bookcli.core.context import Context
from bookcli.core.model.reports import Missed, Wait, grid
from bookcli.core.model.text import visible
from bookcli.core.services import appointments, reports
from bookcli.tui.widgets import report_pictures
from tests.clinic import Clinic
from tests.faults import outages
from tests.servers import Server
from tests.tui.harness import HOSTILE, LARGE, SMALL, Seat, sit

SHAPES = "▁▂▃▄▅▆▇█"


def book(clinic: Clinic, patient: int, test: str, index: int = 0, day: int = 1) -> str:
    """Books in a slot of a day; the reference."""
    outcome = appointments.book(clinic.context, clinic.request(patient, test, clinic.slot(test, day, index)))
    return outcome.verdicts[0].reference or ""


def came(clinic: Clinic, reference: str) -> None:
    """Notes that somebody came."""
    clinic.run("UPDATE appointment SET status = 'fulfilled' WHERE app.reference_of(appointment_id) = %s", (reference,))


def missed(clinic: Clinic, reference: str) -> None:
    """Notes that somebody did not come, as if it were over."""
    clinic.run(
        "UPDATE appointment SET during = tstzrange(now() - interval '1 h', now())"
        " WHERE app.reference_of(appointment_id) = %s",
        (reference,),
    )
    appointments.set_status(clinic.context, reference, "noshow")


def rooms(clinic: Clinic, names: list[str], first: str, last: str) -> None:
    """More resources, each with a slot of an hour at every full hour of day 1 from the first to the last."""
    clinic.run(
        "INSERT INTO resource (site_id, code, name) SELECT site_id, 'r' || 100 + n, called"
        " FROM site, unnest(%s::text[]) WITH ORDINALITY u (called, n) WHERE code = 'north'",
        (names,),
    )
    clinic.run(
        "INSERT INTO slot (site_id, resource_id, starts_at, ends_at, local_start, capacity)"
        " SELECT site_id, resource_id, at AT TIME ZONE zone, at AT TIME ZONE zone + interval '1 h', at, 1"
        " FROM site JOIN resource r USING (site_id), generate_series(%s::timestamp, %s::timestamp, interval '1 h') at"
        " WHERE r.code ~ '^r[0-9]+$'",
        (f"{clinic.day(1)} {first}", f"{clinic.day(1)} {last}"),
    )


def line(seat: Seat, *words: str) -> str:
    """The first line of the picture that begins with the first of the words and has the others."""
    lines = (one.strip() for one in seat.text().splitlines())
    return next((one for one in lines if one.startswith(words[0]) and all(word in one for word in words)), "")


async def enter(seat: Seat, *keys: str, on: str = "", sees: str = "How full") -> None:
    """Goes to the reports of a period."""
    await seat.sees("No slots")
    await seat.press("7")
    await seat.sees("How full", "There were no slots from")
    if on:
        await seat.press("d", f"paste:{on}", "enter")
    await seat.press(*keys)
    await seat.sees(sees)


def test_of_an_empty_period_one_sentence_is_said_with_the_keys_to_another(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("(28 days)", "[ earlier · ] later · d another period", "a all sites")
        await seat.press("question_mark", "paste:picture", "enter")
        await seat.sees("Of no appointment is noted who came from")
        await seat.press("ctrl+p", "paste:lead")
        await seat.sees("Key: w")
        await seat.press("enter")
        await seat.sees("There were no appointments from")
        await seat.pilot.click("#pictures", offset=(5, 0))
        await seat.sees("There were no slots from")
        await seat.press("left_square_bracket", "right_square_bracket", "right_square_bracket")
        await seat.sees("all resources")

    sit(clinic.context, play, SMALL)


def test_the_heat_map_shows_what_the_service_counts_by_shape_and_figure_in_any_size_and_without_colour(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    for patient in (1, 2, 3):
        book(clinic, patient, "blood")
    book(clinic, 4, "mri", 2), book(clinic, 5, "mri", 3)
    day = clinic.day(1)
    rows = {(row["resource"], row["hour"]): row for row in reports.utilisation(clinic.context, (day, day), "north")}
    assert (rows["lab", 8]["booked"], rows["lab", 8]["capacity"]) == (3, 8)

    def shown(seat: Seat, name: str) -> list[tuple[str, str]]:
        return re.findall(rf"([{SHAPES}])\1* *(\d+)", line(seat, name))

    async def play(seat: Seat) -> None:
        await enter(seat, on=f"{day}", sees="all resources")
        await seat.sees("Clinic North", f"{day:%a %d %b %Y}", "6% taken, 5 of 80")
        for size, theme in ((SMALL, "dark"), (LARGE, "light"), ((200, 60), "ansi-dark")):
            seat.app.theme = theme
            await seat.pilot.resize_terminal(*size)
            heads = "08:00 " if size != SMALL else " 08 "
            await seat.eventually(lambda: line(seat, "all", heads), "drawn for the room there is")  # noqa: B023
            await seat.pilot.pause()
            # 3 of 8 in the laboratory at eight, both of the scanner at nine; all day 5 of 80, 3 of 64 and 2 of 16.
            assert shown(seat, "all res") == [("▂", "6"), ("▃", "30"), ("▃", "20"), *[("▁", "0")] * 6]
            assert shown(seat, "Laboratory") == [("▂", "5"), ("▄", "38"), *[("▁", "0")] * 7]
            assert shown(seat, "MRI 1") == [("▂", "12"), ("▁", "0"), ("█", "100"), *[("▁", "0")] * 6]

    sit(clinic.context, play, SMALL)


def test_arrows_walk_over_the_cells_and_the_exact_figures_are_said(clinic: Clinic) -> None:
    for patient in (1, 2, 3):
        book(clinic, patient, "blood")

    async def play(seat: Seat) -> None:
        await enter(seat, on=f"{clinic.day(1)}", sees="all resources  all hours  4%  3 of 80 places taken  32 slots")
        await seat.press("down", "right")
        await seat.sees("Laboratory  08:00–09:00  38%  3 of 8 places taken  2 slots")
        await seat.press("j", "l", "l")
        await seat.sees("MRI 1  10:00–11:00  0%  0 of 2 places taken  2 slots")
        book(clinic, 4, "mri", 4)
        await seat.press("r")
        await seat.sees("MRI 1  10:00–11:00  50%  1 of 2 places taken  2 slots")
        await seat.press("k", "h", "left", "up")
        await seat.sees("all resources  08:00–09:00")

    sit(clinic.context, play, SMALL)


def test_no_shows_are_sorted_and_few_are_said_to_be_few(clinic: Clinic) -> None:
    blood = [book(clinic, n, "blood", n % 5) for n in range(1, 13)]
    mri = [book(clinic, n, "mri", n - 8) for n in (13, 14)]
    for reference in (*blood[:9], mri[0]):
        came(clinic, reference)
    for reference in (*blood[9:], mri[1]):
        missed(clinic, reference)
    day = clinic.day(1)

    async def play(seat: Seat) -> None:
        await enter(seat, "n", on=f"{day}", sees="all tests")
        await seat.sees("29% did not come, 4 of 14")
        await seat.eventually(lambda: line(seat, "all tests", "every day", "4 of 14", "29%", "████"), "all of them")
        many, few = line(seat, "Blood draw", f"{day:%a}", "3 of 12", "25%", "████"), line(seat, "MRI", "1 of 2", "50%")
        assert many and all(word in few for word in ("░░", "few"))
        assert seat.text().index(many) < seat.text().index(few)
        await seat.press("down", "down")
        await seat.sees(f"MRI  {day:%a}  50%  1 of 2 did not come; of so few it says little")

    sit(clinic.context, play, SMALL)


def test_lead_times_are_divided_bars_with_median_and_ninetieth(clinic: Clinic) -> None:
    for patient, days in ((1, 0), (2, 3), (3, 10), (4, 40)):
        reference = book(clinic, patient, "blood", patient)
        clinic.run(
            "UPDATE appointment SET created_at = lower(during) - make_interval(days => %s, hours => 12)"
            " WHERE app.reference_of(appointment_id) = %s",
            (days, reference),
        )
    day = clinic.day(1)
    (row,) = reports.lead_time(clinic.context, (day, day), "north")
    assert (row["days_median"], row["days_ninetieth"]) == (7.0, 31.5)

    async def play(seat: Seat) -> None:
        await enter(seat, "w", on=f"{day}", sees="Blood draw")
        divided = re.compile(r"(█+)(▓+)(▒+)(░+) +1 +1 +1 +1 +7\.0 +31\.5")
        await seat.eventually(lambda: divided.search(line(seat, "Blood draw")), "a divided bar")
        await seat.press("down")
        await seat.sees("Blood draw  4 appointments: day 25%, week 25%, month 25%, more 25%", "nine of ten within 31.5")

    sit(clinic.context, play, SMALL)


def test_all_sites_are_shown_together_and_then_the_one_that_was(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await enter(seat, "a", on=f"{clinic.day(1)}", sees="south X-ray 1")
        await seat.sees("All sites", "north Laboratory", "0 of 112")
        await seat.press("s", "text:s", "enter")
        await seat.sees("Clínica Sul", "0 of 32")
        await seat.misses("Laboratory")

    sit(clinic.context, play, SMALL)


def test_a_period_is_typed_as_people_say_it_and_stepped_by_its_length(clinic: Clinic) -> None:
    day = clinic.day(1)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.press("d", "paste:nonsense", "enter")
        await seat.sees("The date is not clear.")
        await seat.press("ctrl+u", "paste:2026-10-01 to 2026-10-31")
        await seat.sees("01 Oct – 31 Oct 2026 (31 days)")
        await seat.press("enter")
        await seat.sees("from Thu 01 Oct 2026 to Sat 31 Oct 2026")
        await seat.press("[")
        await seat.sees("from Tue 01 Sep 2026 to Wed 30 Sep 2026")
        await seat.press("d", f"paste:{day} to {day + timedelta(days=1)}", "enter")
        await seat.sees("all resources", "0 of 160", "(2 days)")
        await seat.press("]")
        await seat.sees(f"{day + timedelta(days=2):%d %b}", "0 of 160")
        await seat.press("t")
        await seat.sees("(28 days)", "There were no slots")

    sit(clinic.context, play, SMALL)


def test_more_hours_and_resources_than_fit_are_scrolled_with_heads_in_sight(clinic: Clinic) -> None:
    rooms(clinic, [f"Room {n}" for n in range(10, 50)], "04:00", "23:00")

    async def play(seat: Seat) -> None:
        await enter(seat, on=f"{clinic.day(1)}", sees="Room 10")
        assert "Room 49" not in seat.text()
        await seat.press("ctrl+end", "end")
        await seat.sees("Room 49  23:00–24:00  0%  0 of 1 places taken  1 slot")
        await seat.eventually(lambda: line(seat, "Σ", " 22 23") and line(seat, "Room 49", "▁▁"), "scrolled")
        assert line(seat, "all res")
        await seat.press("pageup", "ctrl+home", "home", "right")
        await seat.sees("all resources  all hours")

    sit(clinic.context, play, (60, 24))


def test_who_may_not_manage_schedules_is_told_so_and_sees_nothing(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await enter(seat, on=f"{clinic.day(1)}", sees="Laboratory")
        clinic.run("DELETE FROM app.role_permission WHERE permission = 'manage-schedules'")
        await seat.press("r")
        await seat.sees("▲ Reports are for whoever may manage schedules, and you may not.")
        await seat.misses("Laboratory")

    sit(clinic.context, play, SMALL)


def test_while_the_database_is_away_what_was_read_stays_with_its_age(
    clinic: Clinic, server: Server, database: str
) -> None:
    day = clinic.day(1)

    async def play(seat: Seat) -> None:
        await enter(seat, on=f"{day}", sees="Laboratory")
        with outages.stopped(server, database):
            await seat.press("r")
            await seat.sees("The database does not answer. What you see is", "Laboratory")
            await seat.press("]")
            await seat.hears("The database does not answer.")
            await seat.sees(f"{day:%a %d %b %Y}", "Laboratory")
            await seat.press("w")
            await seat.sees("▲ The database does not answer.", "r tries again")
        await seat.misses("r tries again")

    sit(clinic.context, play)


def test_a_slow_answer_blocks_nothing_and_is_not_shown_when_another_was_asked_for(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answers = threading.Event(), threading.Event()
    utilisation = reports.utilisation

    def slow(context: Context, days: tuple[date, date], site: str = "") -> list[dict[str, object]]:
        rows = utilisation(context, days, site)
        if site == "":
            asked.set()
            answers.wait(30)
        return rows

    monkeypatch.setattr(reports, "utilisation", slow)

    async def play(seat: Seat) -> None:
        await enter(seat, on=f"{clinic.day(1)}", sees="Laboratory")
        await seat.press("a")
        await seat.eventually(asked.is_set, "asked")
        await seat.press("down", "right")
        await seat.sees("Laboratory  08:00–09:00")
        await seat.press("a", "]")
        await seat.sees(f"{clinic.day(2):%a %d %b %Y}")
        answers.set()
        await seat.press("r")
        await seat.eventually(lambda: not seat.app.calls._running, "all answers")
        await seat.sees("Clinic North", f"{clinic.day(2):%a %d %b %Y}")
        await seat.misses("0 of 112")

    sit(clinic.context, play)


def test_names_are_shown_and_never_obeyed(clinic: Clinic) -> None:
    book(clinic, 1, "blood")
    rooms(clinic, HOSTILE, "08:00", "08:00")
    clinic.run("UPDATE test SET name = %s WHERE code = 'blood'", (HOSTILE[0] + HOSTILE[3],))
    clinic.run("UPDATE site SET name = %s WHERE code = 'north'", (HOSTILE[1] + HOSTILE[4],))

    async def play(seat: Seat) -> None:
        await enter(seat, on=f"{clinic.day(1)}", sees="all resources")
        await seat.sees(*(visible(name)[:9] for name in HOSTILE), visible(HOSTILE[1] + HOSTILE[4]))
        await seat.press("ctrl+end", "right")
        await seat.sees(f"{visible(HOSTILE[-1])}  08:00–09:00")
        assert not {"\x1b", "\u202e"} & set(seat.text())
        await seat.press("w", "down")
        await seat.sees(f"{visible(HOSTILE[0] + HOSTILE[3])}  1 appointment:")
        assert not {"\x1b", "\u202e"} & set(seat.text())

    sit(clinic.context, play, SMALL)


@pytest.mark.parametrize("room", [40, 79, 199])
def test_of_too_many_rows_the_rest_is_counted_and_every_line_fits(room: int) -> None:
    codes = [f"r{n:03}" for n in range(600)]
    rows = [{"site": "north", "resource": code, "hour": 8, "slots": 1, "booked": 1, "capacity": 2} for code in codes]
    missed = [Missed(9 + n % 2, n % 9, "north", code, 1) for n, code in enumerate(codes)]
    waits = [Wait("north", code, 3, 1.5, 9.0, (1, 1, 0, n)) for n, code in enumerate(codes)]
    for draw in (
        partial(report_pictures.heat, grid(rows)),
        partial(report_pictures.noshow, missed),
        partial(report_pictures.waits, waits),
    ):
        drawing = draw(report_pictures.Names(), room, lambda _: Style())
        assert len(drawing.lines) == 502
        assert drawing.lines[-1].facts == ("100 more are not shown, but are in the sums",)
        assert sum(width for _, width in drawing.columns) <= max(room, 79)
        for one in drawing.lines[:-1]:
            widths = [one.cell_len for one in one.cells if isinstance(one, Text)]
            assert all(have == width for have, (_, width) in zip(widths, drawing.columns, strict=False))
