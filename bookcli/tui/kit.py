"""What every screen is made of: literal text, the frame of a view, dialogs, fields and tables.

What must stay true: text from outside reaches the terminal through `text` or `literal`, as characters and never as
markup; and nothing here takes the focus from whoever has it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Button, DataTable, Input, Label, Static

from ..core.errors import BookcliError, InvalidInput
from ..core.model.text import visible
from .widgets.frame import TICK, Banner, FrameLine, Heading, KeyLine, StatusBar, TitleBar, away, waiting

if TYPE_CHECKING:
    from textual.types import CSSPathType

    from .app import DeskApp

MOST_ROWS = 500
WIDEST_CELL = 32
SIGN_IN = frozenset({"not-signed-in", "session-expired", "session-locked", "password-change-needed"})
"""Refusals after which somebody has to sign in."""
OF_LOCAL_SERVERS = {
    "server-starting": "Try again in a moment.",
    "server-failed": "Whoever looks after this computer can find out why.",
}
"""What is said at a desk of servers of its own, instead of where their log is or what stands in it."""
AWAY = "▲ The database does not answer."
Result = TypeVar("Result")

STYLES = Path(__file__).with_name("screens.tcss")
WIDTHS = [(0, "-narrow"), (100, "-wide"), (160, "-huge")]
HEIGHTS = [(0, "-short"), (30, "-tall")]


def literal(words: object) -> str:
    """Text from outside on one line: what would be obeyed by a terminal is shown instead. Not yet safe from markup."""
    return visible("" if words is None else str(words))


def text(words: object, style: str = "") -> Content:
    """Text from outside for any widget, without markup; `style` as in `Content.styled`."""
    return Content.styled(literal(words), style) if style else Content(literal(words))


def paragraph(words: object) -> Content:
    """The same for text of several lines, which stay lines."""
    return Content("\n".join(visible(line) for line in str(words or "").split("\n")))


def together(*parts: Content | str) -> Content:
    """Pieces one after another."""
    return Content("").join([Content(part) if isinstance(part, str) else part for part in parts])


def harmless(pasted: str) -> str:
    """What was pasted, without what a terminal would obey: a line to type in shows what is in it as it is."""
    return "\n".join("".join(one for one in line if visible(one) == one) for line in pasted.splitlines())


def said(problem: BookcliError) -> str:
    """The sentence of an error and its hint, unless that is a command, which nobody can type here."""
    hint = "" if problem.hint.startswith("bookcli ") else OF_LOCAL_SERVERS.get(problem.code, problem.hint)
    hint = re.sub(r"(, or see)?: bookcli .*", ".", hint)
    return f"{problem.message} {hint[:1].upper()}{hint[1:]}".strip()


class Asking:
    """What views and dialogs share: the app as ours, and questions to services."""

    @property
    def desk(self) -> DeskApp:
        """The app."""
        return cast("DeskApp", cast(Widget, self).app)

    def call(self, service: Callable[..., Any], *args: Any, **how: Any) -> None:
        """Asks a service beside the screen; `how` is `on_done`, `on_error`, `group` and `quiet` of `Calls.ask`."""
        self.desk.calls.ask(cast(Widget, self), service, *args, **how)


class View(Asking, Screen[None]):
    """One of the numbered screens: title, banner, body, keys and status bar. Override `body`, `heading` and `reload`.

    It stays alive while another one is shown. `resumed` is called whenever it comes to the front.
    """

    CSS_PATH: ClassVar[CSSPathType | None] = STYLES
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS
    BINDINGS: ClassVar[list[BindingType]] = [Binding("r", "reload", "Refresh", id="refresh", show=False)]

    def compose(self) -> ComposeResult:
        yield TitleBar()
        yield Banner()
        yield Heading()
        yield from self.body()
        yield KeyLine()
        yield StatusBar()

    def body(self) -> ComposeResult:
        """What is between banner and keys."""
        yield from ()

    def heading(self) -> Content:
        """What the second line says of this view."""
        return Content("")

    def as_of(self) -> float | None:
        """How many seconds ago what is shown was true, when it is not fresh; the banner says so."""
        return None

    @property
    def unsaved(self) -> bool:
        """Whether leaving would lose something that was typed."""
        return False

    def reload(self) -> None:
        """Asks anew for what is shown."""

    def placed(self) -> None:
        """The site was chosen, for the first time or another one: `self.desk.site`."""
        self.reload()

    def resumed(self) -> None:
        """Comes to the front, for the first time or again."""
        self.reload()

    def action_reload(self) -> None:
        self.reload()

    def on_screen_resume(self) -> None:
        self.resumed()

    def say_frame(self) -> None:
        """Lets the lines around the body say at once what has changed, instead of a moment later."""
        for line in self.query(FrameLine):
            line.look()

    def notice(self, kind: str, words: Content | str, *, hint: str = "") -> None:
        """Shows a sentence in place of the body: `empty`, `error` or `loading`; see `Notice`."""
        self.query_one(Notice).say(kind, words, hint)


class Dialog(Asking, ModalScreen[Result]):
    """Something above a view that ends with a result, None when it was left. Override `body`.

    It ends when it is in front: an answer that comes while something lies above it ends it as soon as that has gone,
    and while the desk is locked as soon as whoever locked it is back. `ENDS_LOCKED`: even while the desk is locked.
    """

    CSS_PATH = STYLES
    HORIZONTAL_BREAKPOINTS = WIDTHS
    VERTICAL_BREAKPOINTS = HEIGHTS
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Back", id="back"),
        Binding("f1", "app.help", "Help", id="help.dialog", show=False),
    ]
    HEADING: ClassVar[str] = ""
    ENDS_LOCKED: ClassVar[bool] = False
    _end: tuple[Result | None] | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            if self.HEADING:
                yield Label(Content(self.HEADING), classes="heading")
            yield from self.body()

    def body(self) -> ComposeResult:
        """What is in the dialog."""
        yield from ()

    def on_mount(self) -> None:
        self.set_interval(TICK, self._say_trouble)

    def _say_trouble(self) -> None:
        """Says on the border what banner and status bar of the screen below cannot say meanwhile: they stand still."""
        for frame in self.query(".dialog") if self.is_current else ():
            parts = [text(AWAY, "$text-warning")] if away(self.desk) else []
            words = Content("  ").join([*parts, *filter(None, (waiting(self.desk),))])
            if words.markup != (frame.border_title or ""):
                frame.border_title = words

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """Ends with a result, now or when it is in front again: Textual would take away whatever is in front."""
        if not self._may_end:
            self._end = (result,)
            return AwaitComplete()
        return super().dismiss(result)

    @property
    def _may_end(self) -> bool:
        return self.is_active and (self.ENDS_LOCKED or not self.desk.is_locked)

    def on_screen_resume(self) -> None:
        self.end_if_over()

    def end_if_over(self) -> None:
        """Ends with the result that came while it could not."""
        if self._end is not None and self._may_end:
            self.dismiss(*self._end)

    @property
    def unsaved(self) -> bool:
        """Whether leaving would lose something that was typed."""
        return False

    def action_leave(self) -> None:
        if self.unsaved:
            question = Confirm("Leave without saving?", "What you typed will be lost.", yes="Leave", no="Keep editing")
            self.app.push_screen(question, self._left)
        else:
            self.dismiss(None)

    def _left(self, agreed: bool | None) -> None:
        if agreed:
            self.dismiss(None)


class Confirm(Dialog[bool]):
    """A question whose harmless answer has the focus; `n` and `esc` give it too."""

    ENDS_LOCKED = True

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "answer(False)", "No", id="confirm.no", show=False),
        Binding("y", "answer(True)", "Yes", id="confirm.yes", show=False),
        Binding("left,right", "app.focus_next", "Other answer", id="confirm.other", show=False),
    ]

    def __init__(self, question: str, more: str = "", *, yes: str = "Yes", no: str = "Keep") -> None:
        super().__init__()
        self._question, self._more, self._yes, self._no = question, more, yes, no

    def body(self) -> ComposeResult:
        yield Label(text(self._question), classes="heading")
        if self._more:
            yield Static(paragraph(self._more), classes="more")
        with Horizontal(classes="buttons"):
            yield Button(text(self._no), id="no", compact=True)
            yield Button(text(self._yes), id="yes", variant="error", compact=True)

    def on_mount(self) -> None:
        self.query_one("#no", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_answer(self, agreed: bool) -> None:
        self.dismiss(agreed)

    def action_leave(self) -> None:
        self.dismiss(False)


class Notice(Static):
    """A sentence in an otherwise empty place: nothing is there, it cannot be shown, or it is on its way."""

    def say(self, kind: str, words: Content | str, hint: str = "") -> None:
        """`kind` is empty, error or loading; it is a class of the widget, and a glyph before the sentence."""
        glyph = {"empty": "○", "error": "▲", "loading": "…"}[kind]
        content = together(f"{glyph} ", words)
        self.update(together(content, "\n\n", hint) if hint else content)
        self.set_classes(f"-{kind}")
        self.display = True

    def clear(self) -> None:
        """Shows nothing and takes no room."""
        self.display = False


class Field(Vertical):
    """A labelled line to type in, with what is wrong with it below. `check` raises InvalidInput, or gives the value."""

    def __init__(
        self,
        label: str,
        check: Callable[[str], Any] = str,
        *,
        value: str = "",
        id: str | None = None,
        **input_options: Any,
    ) -> None:
        super().__init__(classes="field", id=id)
        self._label, self._check = label, check
        self.input = Input(value, compact=True, **input_options)

    def compose(self) -> ComposeResult:
        yield Label(Content(self._label), classes="label")
        yield self.input
        yield Label(Content(""), classes="wrong")

    def value(self) -> Any:
        """What was typed, checked. Raises InvalidInput after saying it at the field."""
        try:
            checked = self._check(self.input.value)
        except InvalidInput as problem:
            self.complain(problem)
            raise
        self.complain(None)
        return checked

    def complain(self, problem: BookcliError | None) -> None:
        """Says what is wrong with it, or that nothing is."""
        self.query_one(".wrong", Label).update(text("" if problem is None else said(problem)))
        self.set_class(problem is not None, "-wrong")

    def on_input_blurred(self) -> None:
        if self.input.value:
            self.look()

    def look(self) -> None:
        """Says what is wrong with what was typed so far, without raising it."""
        with contextlib.suppress(InvalidInput):
            self.value()


def _cell(words: object) -> Text:
    """A cell of a table; what is too long for one says so, because a table gives every cell the room it wants."""
    cell = words if isinstance(words, Text) else Text(literal(words), no_wrap=True)
    cell.truncate(WIDEST_CELL, overflow="ellipsis")
    return cell


Row = TypeVar("Row")


class Table(DataTable[Any], Generic[Row]):
    """Rows of one kind, at most 500; a refresh keeps the cursor on the same row and the focus where it is.

    `cells` makes the cells of a row, `key` names it. Enter posts `Opened` with the row.
    """

    class Opened(Message):
        """Somebody wants to see more of a row."""

        def __init__(self, row: Any) -> None:
            super().__init__()
            self.row = row

    def __init__(
        self, headings: Sequence[str], cells: Callable[[Row], Iterable[object]], key: Callable[[Row], str], **more: Any
    ) -> None:
        super().__init__(cursor_type="row", zebra_stripes=False, **more)
        self._headings, self._cells, self._key = headings, cells, key
        self._shown: list[Row] = []

    def on_mount(self) -> None:
        self.add_columns(*(Text(heading) for heading in self._headings))

    @property
    def shown(self) -> Sequence[Row]:
        """The rows, in order."""
        return self._shown

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self._shown[self.cursor_row] if 0 <= self.cursor_row < len(self._shown) else None

    def show(self, rows: Iterable[Row]) -> int:
        """Shows other rows; how many were left out."""
        current, given = self.current, list(rows)
        where = None if current is None else self._key(current)
        self._shown = given[:MOST_ROWS]
        self.clear()
        for row in self._shown:
            self.add_row(*map(_cell, self._cells(row)))
        keys = [self._key(row) for row in self._shown]
        if where in keys:
            self.move_cursor(row=keys.index(where), animate=False)
        self.call_after_refresh(self._draw_anew)
        return len(given) - len(self._shown)

    def _draw_anew(self) -> None:
        """What was drawn, and kept, before the columns were as wide as their new rows is drawn again."""
        self._clear_caches()
        self.refresh()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        event.stop()
        if self.current is not None:
            self.post_message(self.Opened(self.current))
