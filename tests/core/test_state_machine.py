"""A few lines of Python that say what booking means, against the real database, in orders nobody would think of.

What must stay true: after every step the verdict and the places left are the model's, and at the end every invariant
of schema.sql holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from bookcli.core.db import kernel
from bookcli.core.errors import Refused
from bookcli.core.model.requests import BookingRequest, Place
from bookcli.core.services import appointments, slots
from tests.clinic import CAPACITY, RESOURCE_OF, SLOTS_A_DAY, Clinic

Where = tuple[str, int]
"""A resource and the index of one of its slots on day 1."""

TESTS = {"mri": (1, 1), "mri-contrast": (2, 3), "blood": (1, 1)}
"""How many slots the patient and how many the resource is busy."""

tests = st.sampled_from(sorted(TESTS))
patients = st.integers(1, 4)
starts = st.integers(0, 4)
places = st.tuples(st.sampled_from(["mri-1", "lab"]), starts)
numbers = st.integers(0, 1000)


@dataclass
class Appointment:
    """What the model knows of one."""

    reference: str
    patient: int
    test: str
    start: int
    status: str
    expired: bool = False
    lapsed: bool = False

    @property
    def taken(self) -> list[Where]:
        return _taken(self.test, self.start)

    @property
    def during(self) -> set[int]:
        return set(range(self.start, self.start + TESTS[self.test][0]))

    @property
    def active(self) -> bool:
        return self.status in ("pending", "booked")


def _taken(test: str, start: int) -> list[Where]:
    return [(RESOURCE_OF[test], index) for index in range(start, start + TESTS[test][1])]


class Desk(RuleBasedStateMachine):
    """Everything a desk does to a slot, and everything that happens to it meanwhile."""

    def __init__(self, clinic: Clinic) -> None:
        super().__init__()
        self.clinic = clinic
        self.context = clinic.context
        self.connection = clinic.owner
        for table in ("occupancy", "notification", "request", "appointment", "visit", "closure"):
            self.connection.execute(f"DELETE FROM {table}".encode())
        self.connection.execute(
            "UPDATE slot SET booked = 0, status = 'free', capacity = CASE code WHEN 'lab' THEN 2 ELSE 1 END"
            " FROM resource WHERE resource.resource_id = slot.resource_id"
        )
        self.slot_of = {
            (resource, index): clinic.slot(test, 1, index)
            for test, resource in (("mri", "mri-1"), ("blood", "lab"))
            for index in range(SLOTS_A_DAY)
        }
        self.capacity = {where: 2 if where[0] == "lab" else CAPACITY["mri-1"] for where in self.slot_of}
        self.closures: dict[int, Where] = {}
        self.appointments: list[Appointment] = []

    # What the model says

    def booked(self, where: Where) -> int:
        return sum(where in one.taken for one in self.appointments if one.active)

    def closed(self, taken: list[Where]) -> bool:
        return any(where in self.closures.values() for where in taken)

    def judged(self, patient: int, test: str, start: int, moved: Appointment | None = None) -> str | None:
        """Why not, or None; gives back the expired holds that are in the way, as the kernel does."""
        taken = _taken(test, start)
        if moved is not None and not moved.active:
            return "wrong-status"
        if moved is not None and moved.expired:
            return "hold-expired"
        if self.closed(taken):
            return "slot-closed"
        for hold in self.appointments:
            if hold.expired and hold is not moved and (hold.patient == patient or set(hold.taken) & set(taken)):
                self.lapse(hold)
        own = moved.taken if moved else []
        if any(self.capacity[where] - self.booked(where) + (where in own) <= 0 for where in taken):
            return "slot-full"
        others = [one for one in self.appointments if one.active and one.patient == patient and one is not moved]
        during = set(range(start, start + TESTS[test][0]))
        return "patient-overlap" if any(one.during & during for one in others) else None

    def lapse(self, hold: Appointment) -> None:
        hold.status, hold.expired, hold.lapsed = "cancelled", False, True

    def some(self, number: int) -> Appointment:
        return self.appointments[number % len(self.appointments)]

    # What desks do

    @rule(patient=patients, test=tests, start=starts, held=st.booleans(), twice=st.booleans())
    def book(self, patient: int, test: str, start: int, held: bool, twice: bool) -> None:
        expected = self.judged(patient, test, start)
        slot = self.slot_of[RESOURCE_OF[test], start]
        request = self.clinic.request(patient, test, slot, hold_seconds=600 if held else None)
        outcome = appointments.book(self.context, request)
        assert outcome.reason == expected
        told = outcome.verdicts[0]
        if expected is None:
            assert outcome.outcome == ("held" if held else "booked")
            status = "pending" if held else "booked"
            self.appointments.append(Appointment(told.reference or "", patient, test, start, status))
            assert told.remaining == self.capacity[_taken(test, start)[0]] - self.booked(_taken(test, start)[0])
        if twice:
            again = appointments.book(self.context, request)
            assert (again.reason, again.verdicts[0].reference) == (expected, told.reference)

    @precondition(lambda self: self.appointments)
    @rule(number=numbers, start=starts)
    def reschedule(self, number: int, start: int) -> None:
        one = self.some(number)
        expected = self.judged(one.patient, one.test, start, one)
        place = Place(slot=self.slot_of[RESOURCE_OF[one.test], start])
        outcome = appointments.reschedule(self.context, one.reference, BookingRequest(place=place))
        assert outcome.reason == expected
        if expected is None:
            one.start = start

    @precondition(lambda self: self.appointments)
    @rule(number=numbers)
    def confirm(self, number: int) -> None:
        one = self.some(number)
        if one.expired:
            self.lapse(one)
        expected = "hold-expired" if one.lapsed else "wrong-status" if one.status == "cancelled" else "booked"
        assert self._answer(lambda: appointments.confirm(self.context, one.reference)) == expected
        if expected == "booked":
            one.status = "booked"

    @precondition(lambda self: self.appointments)
    @rule(number=numbers)
    def cancel(self, number: int) -> None:
        one = self.some(number)
        assert appointments.cancel(self.context, one.reference).verdict == "cancelled"
        one.status, one.expired = "cancelled", False

    def _answer(self, ask: Any) -> str:
        try:
            return str(ask().verdict)
        except Refused as refused:
            return refused.code

    # What happens to them

    @precondition(lambda self: any(one.status == "pending" for one in self.appointments))
    @rule(number=numbers)
    def time_runs_out(self, number: int) -> None:
        holds = [one for one in self.appointments if one.status == "pending"]
        hold = holds[number % len(holds)]
        self.connection.execute(
            "UPDATE appointment SET held_until = now() - interval '1 s' WHERE appointment_id = appointment_id_of(%s)",
            (hold.reference,),
        )
        hold.expired = True

    @rule()
    def sweep(self) -> None:
        expired = [one for one in self.appointments if one.expired]
        assert kernel.release_expired(self.connection) == len(expired)
        for hold in expired:
            self.lapse(hold)

    @rule(where=places)
    def close(self, where: Where) -> None:
        site, resource, start, end = self.clinic.row(
            "SELECT site_id, resource_id, starts_at, ends_at FROM slot WHERE slot_id = %s", (self.slot_of[where],)
        )
        closure, newly = kernel.close_period(self.connection, site, resource, (start, end), "")
        assert newly == (not self.closed([where]))
        self.closures[closure] = where

    @precondition(lambda self: self.closures)
    @rule(number=numbers)
    def reopen(self, number: int) -> None:
        closure = sorted(self.closures)[number % len(self.closures)]
        where = self.closures.pop(closure)
        assert kernel.reopen(self.connection, closure) == (not self.closed([where]))

    @rule(where=places, capacity=st.integers(1, 3))
    def set_capacity(self, where: Where, capacity: int) -> None:
        for hold in self.appointments:
            if hold.expired and where in hold.taken:
                self.lapse(hold)
        fits = self.booked(where) <= capacity
        told = kernel.set_capacity(self.connection, self.slot_of[where], capacity)
        assert told[0] == ("changed" if fits else "capacity-below-booked")
        if fits:
            self.capacity[where] = capacity

    # What stays true

    @invariant()
    def places_are_the_models(self) -> None:
        rows = self.clinic.rows("SELECT slot_id, booked FROM slot WHERE booked > 0")
        expected = {self.slot_of[where]: self.booked(where) for where in self.slot_of if self.booked(where)}
        assert dict(rows) == expected

    def teardown(self) -> None:
        day = (self.clinic.day(1), self.clinic.day(1))
        for test in TESTS:
            found = {slot.slot_id for slot in slots.find(self.context, slots.Search(test, day))}
            assert found == {self.slot_of[RESOURCE_OF[test], start] for start in self._offered(test)}
        assert self.clinic.sound()

    def _offered(self, test: str) -> list[int]:
        """Where a test could start; a buffer may lie after closing time, the patient may not."""
        for hold in self.appointments:
            if hold.expired:
                self.lapse(hold)
        found = []
        for start in range(SLOTS_A_DAY + 1 - TESTS[test][0]):
            taken = [where for where in _taken(test, start) if where in self.slot_of]
            if not self.closed(taken) and all(self.booked(where) < self.capacity[where] for where in taken):
                found.append(start)
        return found


def test_the_database_does_what_a_simple_model_says(clinic: Clinic) -> None:
    run_state_machine_as_test(
        lambda: Desk(clinic),
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
