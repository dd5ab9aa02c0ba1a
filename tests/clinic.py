"""A small clinic that most tests book in: two sites in two zones, four tests, three resources, twenty patients.

What must stay true: it is filled through the kernel, as a user would fill it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import Any

import psycopg

from bookcli.core import clock
from bookcli.core.adapters import session_file
from bookcli.core.config import Settings
from bookcli.core.context import Context
from bookcli.core.db import engine, gateway, kernel
from bookcli.core.model.requests import BookingRequest, Place, new_key
from bookcli.core.model.staff import SignedIn
from tests.servers import Server, load_schema

DAYS = 10
STAFF = "tests"
"""Whose session the tests have: a manager's."""
FIRST_START, SLOT_MINUTES, SLOTS_A_DAY = time(8), 30, 16
SITES = [
    {"code": "north", "name": "Clinic North", "zone": "Europe/Berlin", "phone": "+49 30 901820"},
    {"code": "south", "name": "Clínica Sul", "zone": "America/Sao_Paulo"},
]
TESTS = [
    {"code": "mri", "name": "MRI", "duration_minutes": 30, "preparation": "No metal."},
    {"code": "mri-contrast", "name": "MRI with contrast", "duration_minutes": 60, "buffer_after_minutes": 15},
    {"code": "blood", "name": "Blood draw", "duration_minutes": 10, "preparation": "Nothing to eat for 8 hours."},
    {"code": "xray", "name": "X-ray", "duration_minutes": 15},
]
RESOURCES = [
    {"site": "north", "code": "mri-1", "name": "MRI 1", "tests": ["mri", "mri-contrast"]},
    {"site": "north", "code": "lab", "name": "Laboratory", "tests": ["blood"]},
    {"site": "south", "code": "xray-1", "name": "X-ray 1", "tests": ["xray"]},
]
CAPACITY = {"mri-1": 1, "lab": 4, "xray-1": 2}
RESOURCE_OF = {"mri": "mri-1", "mri-contrast": "mri-1", "blood": "lab", "xray": "xray-1"}
NAMES = [
    *("Ana Müller", "José da Silva", "Łukasz Żółć", "Νίκος Παπαδόπουλος", "Наталья Иванова"),
    *("محمد علي", "דוד כהן", "王小明", "山田太郎", "김민준"),
    *("नेहा शर्मा", "สมชาย ใจดี", "Zoë O’Brien-Smith", "Þór Guðmundsson", "Nguyễn Thị Hương"),
    *("გიორგი მაისურაძე", "Արամ Պետրոսյան", "İpek Işık", "André 'Dédé' N'Diaye", "X Æ"),
]


@dataclass(frozen=True)
class Clinic:
    """The clinic in one database: `context` is a desk of it, `owner` the connection of whoever runs the server.

    Day 1 is the first that is still ahead at both sites, days go up to 10; slot indexes are 0 to 15.
    """

    context: Context
    owner: engine.Connection

    def slot(self, test: str, day: int = 1, index: int = 0) -> int:
        """The number of the slot of a test's resource on that day."""
        row = self.row(
            "SELECT slot_id FROM slot JOIN resource USING (resource_id)"
            " WHERE code = %s ORDER BY starts_at OFFSET %s LIMIT 1",
            (RESOURCE_OF[test], (day - 1) * SLOTS_A_DAY + index),
        )
        return int(row[0])

    def day(self, day: int = 1) -> date:
        """The local day behind a day number."""
        row = self.row("SELECT min(local_start)::date FROM slot", ())
        return row[0] + timedelta(days=day - 1)

    def request(
        self, patient: int | str, test: str, slot: int | None = None, key: uuid.UUID | None = None, **more: Any
    ) -> BookingRequest:
        """A request for patient P<n> (or an mrn) at a slot, or at `place`."""
        mrn = f"P{patient}" if isinstance(patient, int) else patient
        place = more.pop("place", None) or Place(slot=slot)
        return BookingRequest(mrn, test, place, key or new_key(), **more)

    def desk_at(self, address: str) -> Context:
        """Another desk at that address of the same database, with the same session, which its commands find too."""
        desk = Context(Settings(database_url=address), self.context.paths)
        desk.keep(SignedIn(self.context.token or "", STAFF, "manager", clock.now()))
        return desk

    def happens_today(self, reference: str) -> None:
        """Makes the local day of an appointment's slot that of now, without moving anything else."""
        self.run(
            "UPDATE slot s SET local_start = now() AT TIME ZONE p.zone FROM site p, appointment a"
            " WHERE p.site_id = s.site_id AND s.slot_id = a.slot_id AND app.reference_of(a.appointment_id) = %s",
            (reference,),
        )

    @cached_property
    def owner_dsn(self) -> str:
        """The address for whoever runs the server, past any pool."""
        where = self.owner.info
        return f"postgresql://{where.user}@/{where.dbname}?host={where.host}&port={where.port}"

    def row(self, statement: str, values: tuple[Any, ...] = ()) -> tuple[Any, ...]:
        """The only row of a query."""
        (row,) = self.rows(statement, values)
        return row

    def rows(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self.run(statement, values).fetchall()

    def run(self, statement: str, values: tuple[Any, ...] = ()) -> psycopg.Cursor[tuple[Any, ...]]:
        """Lets whoever runs the server say something; over a new connection when the server was restarted."""
        try:
            return self.owner.execute(statement.encode(), values)
        except psycopg.OperationalError:
            assert self.owner.closed
            return psycopg.connect(self.owner_dsn, autocommit=True).execute(statement.encode(), values)

    def sound(self) -> bool:
        """Whether every invariant of schema.sql holds; a violated one is shown."""
        violated = [rule for rule, violations in kernel.verify(self.context.connection()) if violations]
        assert violated == []
        return True


def sign_in(context: Context) -> None:
    """Gives a context of whoever runs the server a session, for itself alone."""
    token, expires_at = gateway.sign_in_here(context.connection(), STAFF)
    context.keep(SignedIn(token, STAFF, "manager", expires_at), on_disk=False)


def same_session(context: Context) -> None:
    """Gives a desk at another address of the same database the session that this installation has."""
    (file,) = sorted(context.paths.sessions.iterdir())[:1]
    context.keep(session_file.read(file))


def first_day() -> date:
    """The first day that is still ahead at both sites; a clinic that was filled before midnight is no longer used."""
    return max(clock.today(site["zone"]) for site in SITES) + timedelta(days=1)


def template(server: Server) -> str:
    """The name of the template in which the clinic of this day is."""
    return server.template(f"clinic_{first_day():%Y%m%d}", fill, base=server.template("empty_template", load_schema))


def fill(dsn: str) -> None:
    """Makes the clinic in a database that has the schema and nothing else."""
    connection = engine.connect(dsn)
    connection.token, _ = gateway.sign_in_here(connection, STAFF)
    try:
        for kind, rows in (("sites", SITES), ("tests", TESTS), ("resources", RESOURCES)):
            kernel.save(connection, kind, rows)
        patients = [{"mrn": f"P{n}", "name": name} for n, name in enumerate(NAMES, start=1)]
        kernel.save(connection, "patients", patients)
        kernel.publish(connection, list(_slots(connection)))
        connection.execute("VACUUM ANALYZE")
    finally:
        connection.close()


def _slots(connection: engine.Connection) -> Iterator[dict[str, Any]]:
    first = first_day()
    resources = connection.execute("SELECT resource_id, r.code, zone FROM resource r JOIN site USING (site_id)")
    for resource_id, code, zone in resources.fetchall():
        for day in range(DAYS):
            for index in range(SLOTS_A_DAY):
                local = datetime.combine(first + timedelta(days=day), FIRST_START)
                local += timedelta(minutes=index * SLOT_MINUTES)
                start = clock.to_absolute(local, zone)
                yield {
                    "resource_id": resource_id,
                    "starts_at": start.isoformat(),
                    "ends_at": (start + timedelta(minutes=SLOT_MINUTES)).isoformat(),
                    "local_start": local.isoformat(),
                    "capacity": CAPACITY[code],
                }
