"""The only writer of stderr: notes, questions, suggestions and errors.

What must stay true: whatever is said has its control characters shown, never obeyed.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence

from ..core.errors import (
    BookcliError,
    InvalidInput,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    Refused,
    Unavailable,
)

EXIT_CODES: Mapping[type[BookcliError], int] = {
    InvalidInput: 2,
    Refused: 3,
    NotFound: 4,
    NotAllowed: 5,
    Unavailable: 75,
    OutcomeUnknown: 76,
}
BUG = 1
USAGE = 2
SOME_ROWS_REFUSED = 6
INTERRUPTED = 130
BROKEN_PIPE = 141
_LONGEST_SENTENCE = 400


def exit_code_of(problem: BookcliError) -> int:
    """The exit code of design.md §12 for an expected failure."""
    return next((code for kind, code in EXIT_CODES.items() if isinstance(problem, kind)), BUG)


def wants_json(words: Sequence[str]) -> bool:
    """Whether errors are to be JSON objects, known before the words are understood."""
    pairs = zip(words, [*words[1:], ""], strict=True)
    joined = ("-ojson", "-ondjson", "--output=json", "--output=ndjson", "--json")
    return any(
        word in joined or (word in ("-o", "--output") and following in ("json", "ndjson")) for word, following in pairs
    )


class Talk:
    """What a command says besides its answer. `quiet` leaves only errors and questions; `verbose` adds details."""

    def __init__(self, *, quiet: bool = False, verbose: bool = False, json: bool = False, debug: bool = False) -> None:
        self.quiet = quiet
        self.verbose = verbose and not quiet
        self.json = json
        self.debug = debug

    def note(self, sentence: str) -> None:
        """Says something worth knowing, unless quiet."""
        if sentence and not self.quiet:
            say(sentence)

    def warn(self, *lines: str) -> None:
        """Says what must not be overlooked, quiet or not."""
        say(*lines)

    def detail(self, sentence: str) -> None:
        """Says something only the curious want, with -v."""
        if self.verbose:
            say(sentence)

    def suggest(self, *commands: str) -> None:
        """Names the commands that are likely next, to people only."""
        if not self.quiet and sys.stdout is not None and sys.stdout.isatty():
            say("Next: " + " · ".join(commands))

    def error(self, problem: BookcliError) -> int:
        """Says an expected failure and its hint, as one JSON object if JSON was asked for; its exit code."""
        code = exit_code_of(problem)
        self._error(problem.message, problem.hint, code, problem.code, problem.details)
        if self.debug:
            _write(_traceback(problem))
        return code

    def usage_error(self, sentence: str, hint: str = "") -> int:
        """Says that the command line cannot be understood; the exit code for it."""
        self._error(sentence, hint, USAGE, "usage", {})
        return USAGE

    def bug(self, problem: BaseException) -> int:
        """Says that bookcli is at fault, keeps the trace in the log, shows it with --debug; the exit code for it."""
        from ..core.services import bugs  # noqa: PLC0415 - only for bugs

        place, (log_file, _) = bugs.place(problem), bugs.keep(problem)
        where = f"the trace is in {log_file}; --debug shows it" if log_file else "--debug shows the trace"
        self._error(f"bookcli has a bug: {type(problem).__name__} in {place}.", where, BUG, "bug", {"place": place})
        if self.debug:
            _write(_traceback(problem))
        return BUG

    def _error(self, sentence: str, hint: str, code: int, name: str, details: Mapping[str, object]) -> None:
        if self.json:
            from .output import as_json  # noqa: PLC0415 - only when something failed

            content = {
                "code": name,
                "message": _short(sentence),
                "hint": hint,
                "exit": code,
                # A request that is kept is asked again by itself: given once more without its key it would be a second.
                "retryable": code in (75, 76) and name != "pending",
                "details": details,
            }
            _write(as_json({"error": content}) + "\n")
            return
        say(_short(sentence))
        if hint:
            say(*hint.split("\n"))

    def ask(self, question: str) -> str:
        """The answer to a question, read from the terminal. Raises InvalidInput when the input ends instead."""
        _write(_shown(question) + " ")
        with _ended_line():
            line = sys.stdin.readline() if sys.stdin is not None else ""
        if not line:
            _write("\n")
            raise InvalidInput("The input ended before the question was answered.", code="input-ended")
        return line.rstrip("\r\n")

    def ask_secretly(self, question: str) -> str:
        """As `ask`, but what is typed is not shown. Raises InvalidInput where the terminal cannot hide it."""
        import getpass  # noqa: PLC0415 - only for passwords
        import warnings  # noqa: PLC0415 - likewise

        with warnings.catch_warnings(), _ended_line():
            warnings.simplefilter("error", getpass.GetPassWarning)
            try:
                return getpass.getpass(_shown(question) + " ", sys.stderr)
            except (EOFError, getpass.GetPassWarning):
                _write("\n")
                raise InvalidInput("The password cannot be asked for here.", code="input-ended") from None

    def agree(self, question: str, *, yes: bool, word: str = "") -> bool:
        """Whether the user agrees; no is the default. `word` must be typed in full where much is at stake.

        Raises InvalidInput where nobody can be asked and --yes was not given.
        """
        if yes:
            return True
        if not interactive():
            raise InvalidInput(
                "Nobody can be asked here whether this is meant.", hint="Pass --yes to go ahead.", code="not-confirmed"
            )
        if word:
            return self.ask(f"{question} Type {word} to go ahead:").strip() == word
        return self.ask(f"{question} [y/N]").strip().casefold() in ("y", "yes")


@contextlib.contextmanager
def _ended_line() -> Iterator[None]:
    """What is said after Ctrl-C does not stand behind the question."""
    try:
        yield
    except KeyboardInterrupt:
        _write("\n")
        raise


def interactive() -> bool:
    """Whether questions can be asked: stdin is a terminal and BOOKCLI_NO_INPUT is not set."""
    return sys.stdin is not None and sys.stdin.isatty() and not os.environ.get("BOOKCLI_NO_INPUT")


def say(*lines: str) -> None:
    """Writes lines to stderr, control characters shown."""
    _write("".join(_shown(line) + "\n" for line in lines))


def _shown(text: str) -> str:
    from ..core.model.text import visible  # noqa: PLC0415 - only when there is something to say

    return visible(text)


def _short(sentence: str) -> str:
    return sentence if len(sentence) <= _LONGEST_SENTENCE else sentence[: _LONGEST_SENTENCE - 1] + "…"


def _write(text: str) -> None:
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError):
        return


def _traceback(problem: BaseException) -> str:
    import traceback  # noqa: PLC0415 - only for bugs and --debug

    lines = "".join(traceback.format_exception(problem)).splitlines()
    return "".join(_shown(line) + "\n" for line in lines)
