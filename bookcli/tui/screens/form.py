"""A dialog of fields, one a line, that asks for one thing when all of them hold.

What must stay true: what is wrong is said at its field, and nothing that was typed is lost by an answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, Static

from ...core.errors import BookcliError, InvalidInput, OutcomeUnknown
from ..kit import Dialog, Field, literal, paragraph, said, text
from ..widgets.frame import KeyLine

Result = TypeVar("Result")


class Form(Dialog[Result], Generic[Result]):
    """Fields are name → (label, example), with the values they begin with. Override `check` and `go`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "app.focus_next", id="form.after", show=False),
        Binding("up", "app.focus_previous", id="form.before", show=False),
    ]

    def __init__(
        self, heading: str, fields: Mapping[str, tuple[str, str]], values: Mapping[str, str], more: str = ""
    ) -> None:
        super().__init__()
        self._heading, self._fields, self._more = heading, fields, more
        self._before = {name: literal(values.get(name, "")) for name in fields}
        self._busy = False

    def body(self) -> ComposeResult:
        if self._heading:
            yield Static(text(self._heading), classes="heading")
        if self._more:
            yield Static(paragraph(self._more), classes="more")
        for name, (label, example) in self._fields.items():
            check, value = partial(self.check, name), self._before[name]
            yield Field(label, check, value=value, id=name, placeholder=example, select_on_focus=False)
        yield from self.below()
        yield Static(Content(""), id="means")
        yield Static(Content(""), id="wrong")
        yield KeyLine()

    def below(self) -> ComposeResult:
        """What stands between the fields and what is said about all of them."""
        yield from ()

    def on_mount(self) -> None:
        self.field(self.first()).input.focus()
        self._say_meaning()

    def first(self) -> str:
        """The field that has the focus at first: one that wants something."""
        return next((name for name, value in self._before.items() if not value), next(iter(self._fields)))

    def field(self, name: str) -> Field:
        """The field of that name."""
        return self.query_one(f"#{name}", Field)

    def typed(self, name: str) -> str:
        """What is in a field."""
        return self.field(name).input.value.strip()

    def texts(self) -> dict[str, str]:
        """What is in the fields, as it was typed."""
        return {name: self.field(name).input.value for name in self._fields}

    def check(self, name: str, words: str) -> Any:
        """What a field means. Raises InvalidInput."""
        return words

    def meaning(self) -> str:
        """What all of it is taken for, while it is typed. May raise InvalidInput, then nothing is said."""
        return ""

    def go(self, values: Mapping[str, Any]) -> None:
        """Asks for it, with what the fields mean; `failed` or `dismiss` ends that."""
        raise NotImplementedError

    @property
    def unsaved(self) -> bool:
        return self.texts() != self._before

    def action_leave(self) -> None:
        """Leaves, but not while nobody knows yet what becomes of it."""
        if self._busy:
            self.say("… Wait: the answer is on its way.")
        else:
            super().action_leave()

    def on_input_changed(self) -> None:
        self._say_meaning()

    def _say_meaning(self) -> None:
        try:
            words = self.meaning()
        except InvalidInput:
            words = ""
        self.query_one("#means", Static).update(text(words, "$text-accent"))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input is self.field(list(self._fields)[-1]).input:
            self.action_go()
        else:
            self.focus_next()

    def action_go(self) -> None:
        if self._busy:
            return
        values = dict(self._held())
        wrong = next((name for name in self._fields if name not in values), None)
        if wrong is not None:
            self.field(wrong).input.focus()
        else:
            self._busy = True
            self.say("")
            self.go(values)

    def _held(self) -> Iterator[tuple[str, Any]]:
        """The fields that hold; what is wrong with the others is said there."""
        for name in self._fields:
            try:
                yield name, self.field(name).value()
            except InvalidInput:
                continue

    def failed(self, problem: BookcliError) -> None:
        """Says at its field, or below, why it was not done."""
        self._busy = False
        name = str(problem.details.get("field", ""))
        if name in self._fields:
            self.field(name).complain(problem)
            self.field(name).input.focus()
        elif isinstance(problem, OutcomeUnknown):
            self.say(f"◷ UNKNOWN — perhaps done, perhaps not. {said(problem)}")
        else:
            self.say(f"▲ {said(problem)}")

    def again(self) -> None:
        """Nothing is asked any more: it can be typed on."""
        self._busy = False

    def say(self, words: str) -> None:
        """Says something about all of it."""
        self.query_one("#wrong", Static).update(text(words, "$text-error"))


def a_resource(words: str, codes: list[str], *, everything: bool = False) -> str:
    """The code that was typed; "" for `all` of them, or `*` where one is called so. Raises InvalidInput."""
    code = words.strip().lower()
    if everything and code in ("*", "all") and code not in codes:
        return ""
    if code not in codes:
        known = ", ".join([*codes[:8], *(["…"] if len(codes) > 8 else []), *(["all"] if everything else [])])
        raise InvalidInput("There is no such resource here.", hint=known, code="resource-unknown")
    return code
