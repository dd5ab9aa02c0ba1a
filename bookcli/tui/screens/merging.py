"""Makes two records of one person one: both are shown, and a word is typed, because nothing takes it back.

What must stay true: what is merged are the two records on the screen, and any answer but the whole word merges nothing.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Input, Static

from ...core.errors import BookcliError
from ...core.model.patients import Patient
from ...core.model.text import fold
from ...core.services import patients
from ..kit import Dialog, said, text, together
from ..widgets.patient_facts import brief
from ..widgets.patient_finder import labelled

WORD = "merge"


class Merging(Dialog[tuple[str, int]]):
    """Opened with the record that stays; ends with the number of the other one and how many appointments moved."""

    HEADING = "Merge two records of one person"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "app.focus_next", "Next field", id="merge.next", show=False),
        Binding("up", "app.focus_previous", "Field before", id="merge.before", show=False),
    ]

    def __init__(self, stays: Patient) -> None:
        super().__init__()
        self._stays = stays
        self._goes: Patient | None = None
        self._busy = self._sent = False

    def body(self) -> ComposeResult:
        options = {"compact": True, "select_on_focus": False}
        yield labelled("Number", Input(placeholder="of the duplicate", id="number", **options))  # type: ignore[arg-type]
        yield Static(id="stays")
        yield Static(id="goes")
        yield Static(id="differs")
        yield Static(text("Nothing takes a merge back."), classes="more")
        yield labelled("Word", Input(placeholder=f"{WORD} agrees, all else leaves", id="word", **options))  # type: ignore[arg-type]
        yield Static(id="wrong")
        with Horizontal(classes="buttons"):
            yield Button(text("Cancel"), id="cancel", compact=True)
            yield Button(text("Merge"), id="merge", variant="error", compact=True)

    def on_mount(self) -> None:
        self.query_one("#stays", Static).update(together("stays  ", brief(self._stays)))
        self._number.focus()
        self._forget()

    @property
    def _number(self) -> Input:
        return self.query_one("#number", Input)

    @property
    def _word(self) -> Input:
        return self.query_one("#word", Input)

    def _forget(self) -> None:
        """The number is another one: what was shown and agreed to is of nobody any more."""
        self._goes = None
        self.query_one("#goes", Static).update(Content(""))
        self.query_one("#differs", Static).display = False
        self._word.clear()
        self._word.disabled = self.query_one("#merge", Button).disabled = True
        self._say("")

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input is self._number:
            self._forget()
        else:
            self.query_one("#merge", Button).disabled = not self._agreed

    @property
    def _agreed(self) -> bool:
        return self._goes is not None and self._word.value.strip().lower() == WORD

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input is self._number:
            self._look(event.value.strip())
        elif self._agreed:
            self._merge()
        else:
            self.action_leave()

    def _look(self, number: str) -> None:
        if number == self._stays.mrn:
            self._say("▲ That is the record that stays.")
        elif number:
            self._say("")
            known = partial(self._known, number)
            self.call(patients.get, number, on_done=known, on_error=self._refused, group="goes")

    def _known(self, number: str, found: Patient) -> None:
        if number != self._number.value.strip():
            return
        if found.merged_into is not None:
            self._say(f"▲ That record was merged into {found.merged_into} already.")
            return
        self._goes = found
        self.query_one("#goes", Static).update(together("goes   ", brief(found)))
        differs = self.query_one("#differs", Static)
        differs.update(text(differences(self._stays, found), "bold $text-warning"))
        differs.display = bool(differences(self._stays, found))
        self._word.disabled = False
        self._word.focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "merge" and self._agreed:
            self._merge()
        else:
            self.action_leave()

    def action_leave(self) -> None:
        """Leaves, but not while nobody knows yet what becomes of it."""
        if self._busy:
            return
        if not self._sent:
            self.desk.toast("Nothing was merged.")
        self.dismiss(None)

    def _merge(self) -> None:
        if self._goes is not None and not self._busy:
            self._busy = self._sent = True
            self._say("")
            self._number.disabled = self._word.disabled = True
            goes = self._goes.mrn
            merged = partial(self._merged, goes)
            self.call(patients.merge, self._stays.mrn, goes, on_done=merged, on_error=self._refused)

    def _merged(self, goes: str, moved: int) -> None:
        self.dismiss((goes, moved))

    def _refused(self, problem: BookcliError) -> None:
        self._busy = self._number.disabled = False
        self._word.disabled = self._goes is None
        (self._number if self._goes is None else self._word).focus()
        self._say(f"▲ {said(problem)}")

    def _say(self, words: str) -> None:
        self.query_one("#wrong", Static).update(text(words, "$text-error"))


def differences(stays: Patient, goes: Patient) -> str:
    """What speaks against their being one person; nothing when name and birth date are the same."""
    known = stays.birth_date is not None and goes.birth_date is not None
    different = [
        *(["names"] if fold(stays.name) != fold(goes.name) else []),
        *(["birth dates"] if known and stays.birth_date != goes.birth_date else []),
    ]
    return f"▲ The {' and the '.join(different)} differ: is it one person?" if different else ""
