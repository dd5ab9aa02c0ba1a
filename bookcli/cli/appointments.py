"""`bookcli book`, `hold`, `confirm`, `reschedule`, `cancel`, `show` and the steps of the day, for one appointment.

What must stay true: whatever happens to a booking, the desk learns the request key with which to ask again.
"""

from __future__ import annotations

from typing import Annotated

import typer

from ..core.model.appointments import only_begins
from . import params, views
from .command import Desk


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("book")(book)
    app.command("hold")(hold)
    app.command("confirm")(confirm)
    app.command("release")(release)
    app.command("reschedule")(reschedule)
    app.command("cancel")(cancel)
    app.command("show")(show)
    app.command("arrive")(arrive)
    app.command("check-in")(check_in)
    app.command("fulfil")(fulfil)
    app.command("noshow")(noshow)


def book(
    desk: Desk,
    patient: params.Patient,
    test: params.Test,
    slot: params.Slot = None,
    site: params.Site = "",
    at: params.At = "",
    on: params.On = "",
    key: params.Key = "",
) -> None:
    """Book a test for a patient: in a slot, at a time of day at a site, or in the first free place of a day.

    \b
    Examples:
      bookcli book --patient P1 --test mri --slot 123
      bookcli book --patient P1 --test mri --site north --at 'tomorrow 9:20'
      bookcli book --patient P1 --test mri --site north --on mon
    """
    from ..core.model.requests import BookingRequest  # noqa: PLC0415 - the driver comes after the words are understood
    from ..core.services import appointments, places  # noqa: PLC0415 - likewise
    from . import decisions  # noqa: PLC0415 - likewise

    request_key = params.parse_key(key)
    with decisions.asked(desk, request_key):
        place = places.place(desk.context, slot=slot, site=site, at=at, on=on)
        outcome = appointments.book(desk.context, BookingRequest(patient, test, place, request_key))
        decisions.tell(desk, outcome, f"bookcli book --patient {patient} --test {test} --slot {{slot}}")


def hold(
    desk: Desk,
    patient: params.Patient,
    test: params.Test,
    slot: params.Slot = None,
    site: params.Site = "",
    at: params.At = "",
    on: params.On = "",
    seconds: Annotated[int, typer.Option("--seconds", help="How long, from 10 seconds to a day.")] = 300,
    key: params.Key = "",
) -> None:
    """Keep a place for some minutes, until it is confirmed or given back by itself.

    \b
    Examples:
      bookcli hold --patient P1 --test mri --slot 123
      bookcli hold --patient P1 --test mri --site north --on tomorrow --seconds 600
    """
    from ..core.model.requests import BookingRequest  # noqa: PLC0415 - the driver comes after the words are understood
    from ..core.services import appointments, places  # noqa: PLC0415 - likewise
    from . import decisions  # noqa: PLC0415 - likewise

    request_key = params.parse_key(key)
    with decisions.asked(desk, request_key):
        place = places.place(desk.context, slot=slot, site=site, at=at, on=on)
        outcome = appointments.hold(desk.context, BookingRequest(patient, test, place, request_key), seconds)
        decisions.tell(desk, outcome, f"bookcli hold --patient {patient} --test {test} --slot {{slot}}")


def reschedule(
    desk: Desk,
    reference: params.Reference,
    slot: params.Slot = None,
    site: params.Site = "",
    at: params.At = "",
    on: params.On = "",
    key: params.Key = "",
) -> None:
    """Move an appointment to another place; it keeps its reference, and its old place if the new one is refused.

    \b
    Examples:
      bookcli reschedule 7F3K-Q2MG --slot 124
      bookcli reschedule 7F3K-Q2MG --site north --at 'fri 14:00'
    """
    from ..core.model.requests import BookingRequest  # noqa: PLC0415 - the driver comes after the words are understood
    from ..core.services import appointments, places  # noqa: PLC0415 - likewise
    from . import decisions  # noqa: PLC0415 - likewise

    request_key = params.parse_key(key)
    with decisions.asked(desk, request_key):
        place = places.place(desk.context, slot=slot, site=site, at=at, on=on)
        outcome = appointments.reschedule(desk.context, reference, BookingRequest(place=place, key=request_key))
        decisions.tell(desk, outcome, f"bookcli reschedule {reference} --slot {{slot}}", done="Rescheduled")


def confirm(
    desk: Desk,
    reference: params.Reference,
    visit: Annotated[bool, typer.Option("--visit", help="Everything that was held with it, all or none.")] = False,
) -> None:
    """Turn a hold into a booking.

    \b
    Examples:
      bookcli confirm 7F3K-Q2MG
      bookcli confirm 7F3K-Q2MG --visit
    """
    from ..core.services import appointments  # noqa: PLC0415 - the driver comes after the words are understood

    if visit:
        records = [views.appointment(one) for one in appointments.confirm_visit(desk.context, reference)]
    else:
        records = [views.appointment(appointments.confirm(desk.context, reference))]
    desk.output.show(views.APPOINTMENTS, records, sentence=views.booked(records))


def release(desk: Desk, reference: params.Reference) -> None:
    """Give back what you hold, with all that was held with it; the patient is told nothing.

    \b
    Examples:
      bookcli release 7F3K-Q2MG
    """
    from ..core.services import appointments  # noqa: PLC0415 - the driver comes after the words are understood

    records = [views.appointment(one) for one in appointments.release(desk.context, reference)]
    desk.output.show(views.APPOINTMENTS, records, sentence="\n".join(map(views.changed, records)))


def cancel(
    desk: Desk,
    reference: params.Reference,
    reason: params.Reason = "pat",
    yes: params.Yes = False,
) -> None:
    """Cancel an appointment and give its place back at once.

    \b
    Examples:
      bookcli cancel 7F3K-Q2MG
      bookcli cancel 7F3K-Q2MG --reason prov --yes
    """
    from ..core.services import appointments, pending  # noqa: PLC0415 - the driver comes after the words are understood

    with pending.nothing_kept(appointments.AS_IT_WAS):
        record = views.appointment(appointments.show(desk.context, reference))
    if not desk.talk.agree(f"Cancel {views.described(record)}?", yes=yes):
        desk.talk.note("Not cancelled.")
        return
    record = views.appointment(appointments.cancel(desk.context, reference, reason))
    desk.output.show(views.APPOINTMENTS, [record], sentence=views.changed(record))


def show(desk: Desk, reference: params.Reference) -> None:
    """Show an appointment.

    \b
    Examples:
      bookcli show 7F3K-Q2MG
      bookcli show 7f3k q2md --json
    """
    from ..core.services import appointments  # noqa: PLC0415 - the driver comes after the words are understood

    record = views.appointment(appointments.show(desk.context, reference))
    desk.output.show(views.APPOINTMENTS, [record], sentence=views.booked([record]))


def arrive(desk: Desk, reference: params.Reference) -> None:
    """Note that the patient has arrived.

    \b
    Examples:
      bookcli arrive 7F3K-Q2MG
    """
    _set_status(desk, reference, "arrived")


def check_in(desk: Desk, reference: params.Reference) -> None:
    """Note that the patient has been checked in.

    \b
    Examples:
      bookcli check-in 7F3K-Q2MG
    """
    _set_status(desk, reference, "checked-in")


def fulfil(desk: Desk, reference: params.Reference, yes: params.Yes = False) -> None:
    """Note that the test has been done; asks first when it only begins in more than an hour.

    \b
    Examples:
      bookcli fulfil 7F3K-Q2MG
      bookcli fulfil 7F3K-Q2MG --yes
    """
    from ..core.services import appointments, pending  # noqa: PLC0415 - the driver comes after the words are understood

    with pending.nothing_kept(appointments.AS_IT_WAS):
        begins = "" if yes else only_begins(appointments.show(desk.context, reference))
    if begins and not desk.talk.agree(f"{begins} Is it done already?", yes=yes):
        desk.talk.note("Not fulfilled.")
        return
    _set_status(desk, reference, "fulfilled")


def noshow(desk: Desk, reference: params.Reference) -> None:
    """Note that the patient did not come; possible once the appointment has begun.

    \b
    Examples:
      bookcli noshow 7F3K-Q2MG
    """
    _set_status(desk, reference, "noshow")


def _set_status(desk: Desk, reference: str, status: str) -> None:
    from ..core.services import appointments  # noqa: PLC0415 - the driver comes after the words are understood

    record = views.appointment(appointments.set_status(desk.context, reference, status))
    desk.output.show(views.APPOINTMENTS, [record], sentence=views.changed(record))
