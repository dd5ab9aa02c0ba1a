"""The screens of the desk, one line each; a screen is imported when it is first shown.

What must stay true: whatever is listed here exists. A line is `Entry(id, key, title, "module:Class", kind)`; a `view`
is a kit.View and made without arguments, a `dialog` a kit.Dialog and made with what it is opened with.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """A screen: `id` names it in code and, as `view.ID` or `open.ID`, in the table [keys] of the settings file.

    One that is only opened by others has no key.
    """

    id: str
    key: str
    title: str
    path: str
    kind: str = "view"

    @property
    def binding_id(self) -> str:
        """By which its key is changed."""
        return f"{'view' if self.kind == 'view' else 'open'}.{self.id}"

    def load(self) -> type[Any]:
        """The class of the screen."""
        module, _, name = self.path.partition(":")
        loaded: type[Any] = getattr(importlib.import_module(f"{__package__}.{module}"), name)
        return loaded

    def made(self) -> Any:
        """A screen without arguments."""
        return self.load()()


SCREENS: tuple[Entry, ...] = (
    Entry("board", "1", "Board", "board:BoardScreen"),
    Entry("quick", "slash", "Quick line", "quick:QuickLine", "dialog"),
    Entry("appointment", "", "Appointment", "appointment:AppointmentScreen", "dialog"),
    Entry("moving", "", "Nearest places", "moving:Moving", "dialog"),
    Entry("booking", "b", "Book", "booking:Booking", "dialog"),
    Entry("agenda", "2", "Waiting room", "agenda:AgendaScreen"),
    Entry("pending", "4", "Pending", "pending:PendingScreen"),
    Entry("messages", "5", "Messages", "messages:MessagesScreen"),
    Entry("patients", "3", "Patients", "patients:PatientsScreen"),
    Entry("reports", "7", "Reports", "reports:ReportsScreen"),
    Entry("schedules", "6", "Schedules", "schedules:SchedulesScreen"),
)

VIEWS = tuple(sorted((entry for entry in SCREENS if entry.kind == "view"), key=lambda entry: entry.key))
BY_ID = {entry.id: entry for entry in SCREENS}
