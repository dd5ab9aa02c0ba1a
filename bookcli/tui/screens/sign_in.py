"""Who sits at the desk: the first thing when nobody does, and what covers everything while the desk is locked.

What must stay true: nothing of what is behind it can be seen; a password is in this field and nowhere else.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, Label, Static

from ...core.context import Context
from ...core.errors import BookcliError, InvalidInput
from ...core.model.staff import SignedIn, checked_name
from ..calls import Later
from ..kit import Dialog, Field, text

if TYPE_CHECKING:
    from ...core.services import staff
else:
    staff = Later("staff")


def sign_in(context: Context, name: str, password: str) -> SignedIn:
    """Signs in with a password, or without where none is needed. Raises as `staff.sign_in`."""
    if not password and not staff.needs_password(context, name):
        return staff.sign_in_here(context)
    return staff.sign_in(context, name, password)


class NewPassword(Dialog[bool]):
    """Whoever was given a password chooses one of their own; ends with True when it was changed.

    `old` is what was typed a moment ago, so that nobody has to type it twice.
    """

    HEADING = "Choose a password of your own"
    ENDS_LOCKED = True
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+q", "app.quit", "Quit", priority=True, id="quit.password")]

    def __init__(self, old: str) -> None:
        super().__init__()
        self._old = old

    def body(self) -> ComposeResult:
        yield Static(text("The one you have was chosen by somebody else."), classes="more")
        yield Field("New password", password=True, id="new")
        yield Field("The same again", password=True, id="again")

    def on_mount(self) -> None:
        self.query_one("#new", Field).input.focus()

    def action_leave(self) -> None:
        self.query_one("#new", Field).input.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        new, again = self.query_one("#new", Field), self.query_one("#again", Field)
        if event.input is new.input:
            again.input.focus()
        elif new.input.value != again.input.value:
            again.complain(InvalidInput("The two are not the same."))
        else:
            again.complain(None)
            changed = partial(self.dismiss, True)
            args = (self._old, new.input.value)
            self.call(staff.change_password, *args, on_done=lambda _: changed(), on_error=new.complain, group="new")


class Entered(NamedTuple):
    """Who has signed in, and what they typed when that must be changed."""

    session: SignedIn
    typed: str = ""


class SignIn(Dialog[Entered]):
    """Covers the screen until somebody has signed in; `who` is whose work waits behind it, if anybody's."""

    ENDS_LOCKED = True

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "start_anew", "Start anew", id="sign-in.anew", show=False),
        Binding("ctrl+q", "app.leave", "Quit", priority=True, id="quit.locked"),
    ]

    def __init__(self, who: str = "", why: str = "") -> None:
        super().__init__()
        self._who, self._why = who, why
        self._asking = False

    def body(self) -> ComposeResult:
        yield Label(Content("Locked" if self._who else "Sign in"), classes="heading")
        yield Static(text(self._why), classes="more", id="why")
        yield Field("Name", checked_name, value=self._who, id="name")
        yield Field("Password", password=True, id="password")
        mine = " Whose servers these are needs no password." if self.desk.context.embedded else ""
        yield Static(Content(f"Enter signs in, ctrl+q quits.{mine}"), classes="more")

    def on_mount(self) -> None:
        self.query_one("#why").display = bool(self._why)
        self._field("#password" if self._who else "#name").input.focus()

    def _field(self, which: str) -> Field:
        return self.query_one(which, Field)

    def action_start_anew(self) -> None:
        self._field("#password").input.value = ""

    def action_leave(self) -> None:
        self.action_start_anew()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        name, password = self._field("#name"), self._field("#password")
        if event.input is name.input and name.input.value and not password.input.value and not self._who:
            password.input.focus()
            return
        self._try(name, password)

    def _try(self, name: Field, password: Field) -> None:
        if self._asking:
            return
        try:
            who = name.value()
        except InvalidInput:
            name.input.focus()
            return
        self._asking = True
        typed, password.input.value = password.input.value, ""
        self.call(sign_in, who, typed, on_done=partial(self._accepted, typed), on_error=self._refused)

    def _accepted(self, typed: str, session: SignedIn) -> None:
        self.dismiss(Entered(session, typed if session.must_change else ""))

    def _refused(self, problem: BookcliError) -> None:
        self._asking = False
        password = self._field("#password")
        password.complain(problem)
        password.input.focus()
