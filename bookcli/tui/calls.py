"""Runs services beside the screen: the only place of the terminal UI where a service is called.

What must stay true: nothing here keeps the event loop, or the end of the process, waiting; an answer arrives in the
message loop of whoever asked, or not at all when they have gone, asked again, or somebody else has signed in; a bug
leaves no value in any log.
"""

from __future__ import annotations

import contextlib
import contextvars
import importlib
import itertools
import queue
import threading
import time
from asyncio import AbstractEventLoop, get_running_loop, iscoroutine
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from textual.message_pump import MessagePump

from ..core.context import Context
from ..core.errors import BookcliError
from ..core.model.staff import SignedIn
from ..core.services import bugs

MOST_THREADS = 6
AGAIN_SECONDS = 2.0
"""Between two questions when the answer to the first was lost, or could not be had."""
_LONGEST_FAREWELL = 0.5


class Later:
    """A module of services that is imported by the first call of one, in a thread: the driver is 160 ms.

    For type checkers, whoever makes one imports the module itself under TYPE_CHECKING.
    """

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def service(context: Context, *args: Any, **more: Any) -> Any:
            module = importlib.import_module(f"bookcli.core.services.{self._module}")
            return getattr(module, name)(context, *args, **more)

        return service


class Bug(BookcliError):
    """A service failed in a way nobody expected; the log has the place under an id, and nothing else is known."""

    code = "bug"


def as_bug(problem: BaseException) -> Bug:
    """What is said about a bug, after the log was written."""
    log_file, name = bugs.keep(problem)
    hint = f"See {name} in {log_file}" if log_file else ""
    return Bug(f"bookcli has a bug: {type(problem).__name__} in {bugs.place(problem)}.", hint=hint)


@dataclass(eq=False)
class Call:
    """One question on its way. `group`: of those of one owner in a group only the newest is answered."""

    owner: MessagePump
    service: Callable[..., Any]
    args: tuple[Any, ...]
    on_done: Callable[[Any], Any] | None
    on_error: Callable[[BookcliError], Any] | None
    group: str = ""
    quiet: bool = False
    staff: str = ""
    began: float = field(default_factory=time.monotonic)
    context: Context | None = None

    @property
    def asked_at(self) -> float:
        """When the database was last asked: an answer that was lost is asked for again, with a deadline of its own."""
        return max(self.began, self.context.asked_at if self.context is not None else 0.0)


class Following:
    """A source that is being followed; `stop` ends it at its next word, and nothing arrives from then on."""

    def __init__(self) -> None:
        self.stopped = False

    def stop(self) -> None:
        """Nothing more arrives."""
        self.stopped = True


class Calls:
    """Asks services in threads, each with a context of its own, because a context is for one thread at a time.

    `complain` is what happens to an error that whoever asked does not take.
    """

    def __init__(self, context: Context, complain: Callable[[BookcliError], None]) -> None:
        self.context = context
        self._complain = complain
        self._idle: list[tuple[int, Context]] = [(0, context.another())]
        self._generation = 0
        self._lock = threading.Lock()
        self._queue: queue.SimpleQueue[Call] = queue.SimpleQueue()
        self._threads, self._free = 0, 0
        self._newest: dict[tuple[int, str], Call] = {}
        self._running: dict[Call, None] = {}
        self._numbers = itertools.count(1)
        self._loop: AbstractEventLoop | None = None
        self._surroundings = contextvars.Context()
        self.staff = ""
        """Who is signed in, once that is known."""

    def open(self) -> None:
        """Called in the event loop, before anything is asked."""
        self._loop, self._surroundings = get_running_loop(), contextvars.copy_context()

    def ask(
        self,
        owner: MessagePump,
        service: Callable[..., Any],
        *args: Any,
        on_done: Callable[[Any], Any] | None = None,
        on_error: Callable[[BookcliError], Any] | None = None,
        group: str = "",
        quiet: bool = False,
    ) -> None:
        """Calls `service(context, *args)` and hands its answer to `on_done`, or its BookcliError to `on_error`.

        Both run in the message loop of `owner`. `quiet`: nobody is shown that it takes long.
        """
        call = Call(owner, service, args, on_done, on_error, group, quiet, self.staff)
        if group:
            self._newest[id(owner), group] = call
        self._running[call] = None
        self._queue.put(call)
        with self._lock:
            more = self._free < self._queue.qsize() and self._threads < MOST_THREADS
            self._threads += more
        if more:
            threading.Thread(target=self._work, name=f"desk-{self._threads}", daemon=True).start()

    def follow(
        self,
        owner: MessagePump,
        source: Callable[..., Iterable[Any]],
        *args: Any,
        on_item: Callable[[Any], Any],
        on_end: Callable[[], Any],
    ) -> Following:
        """Hands whatever `source(context, *args)` yields, except None, to `on_item`, and says when it has ended."""
        following = Following()
        threading.Thread(
            target=self._listen, args=(owner, following, source, args, on_item, on_end), daemon=True
        ).start()
        return following

    def is_asking(self, owner: MessagePump, group: str) -> bool:
        """Whether the newest question of an owner in a group is still on its way."""
        return (id(owner), group) in self._newest

    def say(self, owner: MessagePump, what: Callable[[Any], Any], item: Any) -> None:
        """From any thread: lets `owner` do something with an item, in its message loop."""
        self._later(self._told, owner, Following(), what, item)

    def waited(self) -> float:
        """For how many seconds the oldest question waits that somebody wants an answer to; 0 when there is none."""
        return max((time.monotonic() - call.began for call in self._awaited()), default=0.0)

    def asked_for(self) -> float:
        """For how many seconds of these the answer to the last asking is waited for: no longer than the deadline."""
        return max((time.monotonic() - call.asked_at for call in self._awaited()), default=0.0)

    def _awaited(self) -> list[Call]:
        return [call for call in self._running if not call.quiet and not self._stale(call)]

    def signed_in(self, session: SignedIn | None) -> None:
        """From now on every call is made in this session, which the desk has kept already."""
        self.context.keep(session, on_disk=False)
        self.staff = session.name if session is not None else ""
        with self._lock:
            self._generation += 1
            old, self._idle = self._idle, []
        _close_beside([context for _, context in old])

    def close(self) -> None:
        """Lets go of everything; what still waits for a server is left alone."""
        self._loop = None
        with self._lock:
            idle, self._idle = self._idle, []
        _close_beside([context for _, context in idle]).join(_LONGEST_FAREWELL)

    def _stale(self, call: Call) -> bool:
        return bool(call.group) and self._newest.get((id(call.owner), call.group)) is not call

    def _work(self) -> None:
        while True:
            with self._lock:
                self._free += 1
            call = self._queue.get()
            with self._lock:
                self._free -= 1
            if self._stale(call):
                self._later(self._forget, call)
            else:
                self._run(call)

    def _run(self, call: Call) -> None:
        generation, context = self._taken()
        call.context = context
        try:
            answer = call.service(context, *call.args)
        except BookcliError as problem:
            self._later(self._failed, call, problem)
        except Exception as problem:  # noqa: BLE001 - an edge: a bug becomes a sentence and an id
            self._later(self._failed, call, as_bug(problem))
        else:
            self._later(self._done, call, answer)
        self._given_back(generation, context)

    def _taken(self) -> tuple[int, Context]:
        with self._lock:
            return self._idle.pop() if self._idle else (self._generation, self.context.another())

    def _given_back(self, generation: int, context: Context) -> None:
        with self._lock:
            if generation == self._generation and self._loop is not None:
                self._idle.append((generation, context))
                return
        with contextlib.suppress(BookcliError, OSError):
            context.close()

    def _listen(
        self,
        owner: MessagePump,
        following: Following,
        source: Callable[..., Iterable[Any]],
        args: tuple[Any, ...],
        on_item: Callable[[Any], Any],
        on_end: Callable[[], Any],
    ) -> None:
        try:
            with self.context.another() as context:
                for item in source(context, *args):
                    if following.stopped or self._loop is None or not owner.is_running:
                        return
                    if item is not None:
                        self._later(self._told, owner, following, on_item, item)
        except BookcliError:
            pass
        except Exception as problem:  # noqa: BLE001 - an edge: following is a convenience, whoever does so can ask too
            bugs.keep(problem)
        self._later(self._told, owner, following, on_end)

    def _later(self, work: Callable[..., object], *args: Any) -> None:
        """Does something in the event loop; nothing when there is none any more."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it was closed a moment ago
                loop.call_soon_threadsafe(work, *args, context=self._surroundings.copy())

    def _forget(self, call: Call) -> bool:
        """Takes a call off the list; whether its answer is still wanted."""
        wanted = not self._stale(call)
        self._running.pop(call, None)
        if wanted and call.group:
            self._newest.pop((id(call.owner), call.group), None)
        return wanted and call.owner.is_running

    def _done(self, call: Call, answer: Any) -> None:
        if self._forget(call) and call.on_done is not None:
            call.owner.call_later(self._answered, call, call.on_done, answer)

    def _failed(self, call: Call, problem: BookcliError) -> None:
        if self._forget(call):
            call.owner.call_later(self._answered, call, call.on_error or self._complain, problem)

    async def _answered(self, call: Call, what: Callable[..., Any], item: Any) -> None:
        """Hands an answer over, unless whoever asked has asked again since, or another person sits there."""
        again = call.group and (id(call.owner), call.group) in self._newest
        if not again and call.staff in ("", self.staff):
            await _handed(what, item)

    def _told(self, owner: MessagePump, following: Following, what: Callable[..., Any], *item: Any) -> None:
        if not following.stopped and owner.is_running:
            owner.call_later(_handed, what, *item)


async def _handed(what: Callable[..., Any], *item: Any) -> None:
    """Does something with an answer; only a coroutine is waited for: a screen that leaves cannot wait until it has."""
    result = what(*item)
    if iscoroutine(result):
        await result


def _close_beside(contexts: list[Context]) -> threading.Thread:
    """Closes contexts in a thread, which takes as long as their servers like."""

    def close() -> None:
        for context in contexts:
            with contextlib.suppress(BookcliError, OSError):
                context.close()

    thread = threading.Thread(target=close, name="desk-farewell", daemon=True)
    thread.start()
    return thread
