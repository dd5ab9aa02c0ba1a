"""Nobody is woken: what waits for the end of quiet hours, what does not, and when they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bookcli.core.context import Context
from bookcli.core.services import notifications
from tests.clinic import Clinic
from tests.worker.conftest import Workers, book, states
from tests.worker.mail_server import MailServer
from tests.worker.web_server import WebServer

NOW_QUIET = (
    "UPDATE site SET quiet_from = (now() AT TIME ZONE zone - interval '1 hour')::time,"
    " quiet_until = (now() AT TIME ZONE zone + interval '1 hour')::time"
)


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.stop()


@pytest.fixture
def texting(workers: Workers, clinic: Clinic, web: WebServer) -> Workers:
    """Workers with a gateway, and one patient who prefers it."""
    workers.environment["BOOKCLI_SMS_URL"] = f"json://127.0.0.1:{web.port}/{{phone}}"
    clinic.run("UPDATE patient SET phone = '+4915112345678', channel = 'sms' WHERE mrn = 'P1'")
    return workers


def _waits(clinic: Clinic) -> list[tuple[int, str, bool]]:
    return clinic.rows(
        "SELECT attempts, reason, due_at BETWEEN now() + interval '50 min' AND now() + interval '61 min'"
        " FROM notification WHERE sent_at IS NULL"
    )


def test_text_messages_and_reminders_wait_and_mail_about_a_booking_does_not(
    clinic: Clinic, texting: Workers, mail: MailServer, web: WebServer
) -> None:
    book(clinic, 2)
    clinic.run(NOW_QUIET)
    texting.burst()
    assert [message["To"] for message in mail.accepted] == ["p2@patients.example"] and web.posts == []
    assert _waits(clinic) == [(0, "quiet-hours", True)], "the desk sees why, and it was no attempt"
    clinic.run("UPDATE appointment SET status = 'arrived' WHERE patient_id = 1")
    clinic.run("UPDATE test SET remind_before = '{20 days}'")
    assert notifications.remind(clinic.context, None) == (1, 1)
    texting.burst()
    assert len(mail.accepted) == 1 and _waits(clinic) == [(0, "quiet-hours", True)] * 2
    clinic.run("UPDATE site SET quiet_from = NULL, quiet_until = NULL")
    clinic.run("UPDATE notification SET due_at = now() WHERE sent_at IS NULL")
    texting.burst()
    assert len(mail.accepted) == 2 and len(web.posts) == 1 and states(clinic) == {"sent": 3}


def test_what_begins_before_the_quiet_hours_end_is_still_told(
    clinic: Clinic, texting: Workers, web: WebServer, working: Context
) -> None:
    book(clinic, 1)
    clinic.run(NOW_QUIET)
    clinic.run("UPDATE appointment SET during = tstzrange(now() + interval '50 min', now() + interval '70 min')")
    texting.burst()
    assert len(web.posts) == 1 and states(clinic) == {"sent": 1}


@pytest.mark.parametrize(
    ("begin", "end", "moment", "wanted"),
    [
        ("21:00", "07:00", "2026-01-10T19:59:59Z", None),
        ("21:00", "07:00", "2026-01-10T20:00:00Z", "2026-01-11T06:00:00Z"),
        ("21:00", "07:00", "2026-01-11T05:59:59Z", "2026-01-11T06:00:00Z"),
        ("21:00", "07:00", "2026-01-11T06:00:00Z", None),
        ("12:00", "13:30", "2026-07-01T10:00:00Z", "2026-07-01T11:30:00Z"),
        ("12:00", "13:30", "2026-07-01T09:59:00Z", None),
        ("12:00", "13:30", "2026-07-01T11:30:00Z", None),
        # The night that an hour is left out, and the one that has an hour twice.
        ("21:00", "07:00", "2026-03-28T22:00:00Z", "2026-03-29T05:00:00Z"),
        ("21:00", "07:00", "2026-10-24T22:00:00Z", "2026-10-25T06:00:00Z"),
        (None, None, "2026-10-24T22:00:00Z", None),
    ],
)
def test_quiet_hours_are_those_of_the_sites_clocks(
    clinic: Clinic, begin: str | None, end: str | None, moment: str, wanted: str | None
) -> None:
    clinic.run("UPDATE site SET quiet_from = %s, quiet_until = %s WHERE code = 'north'", (begin, end))
    statement = "SELECT app.quiet_end(s, %s::timestamptz) IS NOT DISTINCT FROM %s::timestamptz FROM app.site s"
    assert clinic.row(f"{statement} WHERE code = 'north'", (moment, wanted)) == (True,)
