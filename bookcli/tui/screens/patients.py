"""The patients: somebody is found while typing, and shown with what is ahead of them and what was.

What must stay true: facts and appointments on the screen are of the one patient the line above them names.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from ...core import clock
from ...core.errors import BookcliError
from ...core.model.patients import Patient
from ...core.services import patients
from ..kit import Notice, Table, View, literal, said, text
from ..widgets.patient_facts import facts
from ..widgets.patient_finder import PatientFinder
from ..widgets.statuses import marked
from .edit_patient import EditPatient
from .merging import Merging
from .new_patient import NewPatient

Fact = Mapping[str, Any]
NOBODY = "Who is it? Type a name, number, birth date or phone number."
KEYS = "esc leaves the line, w goes back to it"


class PatientsScreen(View):
    """Shows nobody until somebody was chosen."""

    # Else the line would get it back from every dialog, and eat keys that are meant for whoever is shown.
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("w", "find", "Find", id="patients.find"),
        Binding("e", "edit", "Edit", id="patients.edit"),
        Binding("g", "merge", "Merge…", id="patients.merge"),
        Binding("n,ctrl+n", "new", "New", id="patients.new"),
        Binding("escape", "found", "Leave the line", id="patients.found", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._number = ""
        self._patient: Patient | None = None
        self._read_at = 0.0
        self._failing = self._was_left = False

    def body(self) -> ComposeResult:
        yield PatientFinder(away="")
        yield Notice()
        with Horizontal(id="record"):
            with VerticalScroll(id="who", can_focus=False):
                yield Static(id="facts")
            yield Table(("When", "", "Test", "Status", "Reference", "Where"), self._cells, _reference)

    def on_mount(self) -> None:
        self._forget()

    @property
    def finder(self) -> PatientFinder:
        """Where somebody is looked for."""
        return self.query_one(PatientFinder)

    def heading(self) -> Content:
        one = self._patient
        if one is None:
            return Content("Patients")
        ahead = f"  {one.appointments_ahead} ahead" if one.appointments_ahead else "  nothing ahead"
        return Content.assemble((literal(one.name), "bold"), f"  {literal(one.mrn)}", ahead)

    def as_of(self) -> float | None:
        return time.monotonic() - self._read_at if self._patient is not None and self._failing else None

    # Who it is

    def on_patient_finder_chosen(self, event: PatientFinder.Chosen) -> None:
        event.stop()
        if event.patient is None:
            self._forget()
        else:
            # What is typed from now on are keys: another letter in the line would give the patient up again.
            self.set_focus(None)
            self._show(event.patient.mrn)

    def _forget(self) -> None:
        """Nobody is chosen any more, and nothing of whoever was stays on the screen."""
        self._number, self._patient, self._failing = "", None, False
        self.query_one("#record").display = False
        self.query_one("#facts", Static).update(Content(""))
        self.query_one(Table).show(())
        self.finder.remove_class("-shown")
        self.notice("empty", NOBODY, hint=KEYS)
        self._say_keys()

    def _show(self, number: str) -> None:
        self._forget()
        self._number = number
        self.notice("loading", "The record is on its way.")
        self.reload()

    def on_screen_suspend(self) -> None:
        self._was_left = self not in self.desk.screen_stack

    def resumed(self) -> None:
        """Whoever comes from another view looks for somebody; after a dialog keys are for whoever is shown."""
        if self._was_left or (self.focused is None and not self._number):
            self.action_find()
        self._was_left = False
        super().resumed()

    def placed(self) -> None:
        """Patients are the same at every site."""

    def reload(self) -> None:
        """Asks anew for the record; what is shown stays until the answer is there."""
        number = self._number
        if number:
            known, failed = partial(self._known, number), partial(self._failed, number)
            self.call(patients.get, number, on_done=known, on_error=failed, group="record")
        else:
            for finder in self.query(PatientFinder):
                finder.look()

    def _known(self, number: str, found: Patient) -> None:
        if number == self._number:
            listed, failed = partial(self._listed, number, found), partial(self._failed, number)
            how: dict[str, Any] = {"on_done": listed, "on_error": failed, "group": "record"}
            self.call(partial(patients.appointments, past=True), number, **how)

    def _listed(self, number: str, found: Patient, rows: list[Fact]) -> None:
        if number != self._number:
            return
        self._patient, self._read_at, self._failing = found, time.monotonic(), False
        self.query_one(Notice).clear()
        self.query_one("#record").display = True
        self.query_one("#facts", Static).update(facts(found))
        self.finder.say_who(found)
        self.finder.add_class("-shown")
        ahead = [row for row in rows if _is_ahead(row)]
        past = [row for row in rows if not _is_ahead(row)]
        table = self.query_one(Table)
        table.show([*ahead, *reversed(past)])
        table.display = bool(rows)
        if rows and self.focused is None:
            table.focus()
        self._say_keys()

    def _say_keys(self) -> None:
        self.refresh_bindings()
        self.say_frame()

    def _failed(self, number: str, problem: BookcliError) -> None:
        self.desk.explain(problem)
        if number != self._number:
            return
        self._failing = True
        if self._patient is None:
            self.notice("error", text(said(problem)), hint="r tries again")

    def _cells(self, row: Fact) -> tuple[object, ...]:
        start = clock.to_local(row["starts_at"], row["zone"])
        year = " %Y" if start.year != clock.today(row["zone"]).year else ""
        when = f"{start:%a %d %b{year} %H:%M}"
        where = f"{row['resource']}, {row['site']}"
        ahead = "ahead" if _is_ahead(row) else ""
        return (when, ahead, row["test_name"], marked(row["status"], row["reason"]), row["reference"], where)

    # Keys

    def action_find(self) -> None:
        self.finder.input.focus()
        self.finder.input.action_select_all()

    def action_found(self) -> None:
        """Leaves the line: letters and digits are keys again."""
        table = self.query_one(Table)
        self.set_focus(table if table.shown else None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is no key for what needs a patient while nobody is shown."""
        return action not in ("edit", "merge") or self._patient is not None

    def action_edit(self) -> None:
        if self._patient is not None:
            self.app.push_screen(EditPatient(self._patient), self._edited)

    def _edited(self, patient: Patient | None) -> None:
        if patient is not None:
            self.finder.choose(patient)
        else:
            self.reload()

    def action_merge(self) -> None:
        if self._patient is not None:
            self.app.push_screen(Merging(self._patient), self._merged)

    def _merged(self, done: tuple[str, int] | None) -> None:
        if done is not None:
            goes, moved = done
            appointments = "1 appointment" if moved == 1 else f"{moved} appointments"
            self.desk.did(f"{literal(goes)} was merged into {literal(self._number)}: {appointments} moved.")
        self.reload()

    def action_new(self) -> None:
        words = self.finder.input.value if self.finder.chosen is None else ""
        self.desk.show(NewPatient(words), self._made)

    def on_patient_finder_nobody(self, event: PatientFinder.Nobody) -> None:
        event.stop()
        self.action_new()

    def _made(self, patient: Patient | None) -> None:
        if patient is not None:
            self.finder.choose(patient)

    def on_table_opened(self, event: Table.Opened) -> None:
        event.stop()
        self.desk.open_appointment(event.row["reference"])


def _is_ahead(row: Fact) -> bool:
    return bool(row["active"]) and row["ends_at"] > clock.now()


def _reference(row: Fact) -> str:
    return str(row["reference"])
