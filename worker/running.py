"""`worker run`: one process that relays, one for the timetable, and those that send, which are RQ workers.

What must stay true: whatever dies is started again; told to stop, every process finishes the message in hand and ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from bookcli.core.context import Context
from bookcli.core.errors import BookcliError, NotAllowed, Unavailable
from bookcli.core.services import bugs, notifications, servers

from . import jobs, timetable
from .delivery.carriers import Carriers
from .delivery.email import trust
from .jobs import SESSION_SECONDS, Ground
from .relay import Relay
from .sender import Sender
from .wake_ups import Ear

POLL_SECONDS = 2.0
PATIENCE, SENDERS_PATIENCE = 3.0, 30.0
"""Seconds for an answer of Redis."""
BUSY_SECONDS = 0.02
PAUSE_AFTER_DEATH = 1.0
LONGEST_STOP = 25
PR_SET_PDEATHSIG = 1
log = logging.getLogger("bookcli.worker")


@dataclass
class Crew:
    """The processes that were forked, by what they do."""

    work: dict[str, Callable[[], None]]
    alive: dict[int, str] = field(default_factory=dict)

    def start(self) -> None:
        """Starts whatever does not run."""
        for name in self.work.keys() - set(self.alive.values()):
            self.alive[_fork(self.work[name])] = name

    def tend(self) -> None:
        """Notices who has ended, and starts them again after a pause."""
        ended = self._reap()
        if ended and not Ground.stopping:
            log.warning("ended and started again: %(parts)s", {"event": "restarted", "parts": ", ".join(ended)})
            time.sleep(PAUSE_AFTER_DEATH)
            self.start()

    def await_all(self) -> None:
        """Until everybody has ended by themselves, or all are told to stop."""
        while self.alive and not Ground.stopping:
            self._reap()
            time.sleep(0.01)

    def stop(self) -> None:
        """Lets everybody finish what is in hand; whoever does not within `LONGEST_STOP` seconds is ended."""
        self._signal(signal.SIGTERM)
        until = time.monotonic() + LONGEST_STOP
        while self.alive and time.monotonic() < until:
            self._reap()
            time.sleep(0.02)
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        for pid in list(self.alive):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _reap(self) -> list[str]:
        ended = []
        for pid in list(self.alive):
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                ended.append(self.alive.pop(pid))
        return ended


def run(context: Context, *, processes: int = 2, burst: bool = False, metrics: tuple[str, int] | None = None) -> None:
    """Sends until it is told to stop (SIGTERM, SIGINT); with `burst` until nothing is left to be sent.

    `metrics` is the address and port at which the numbers to watch are served meanwhile.
    Raises InvalidInput, Unavailable, NotAllowed when it cannot even begin.
    """
    context.settings.check()
    url = servers.queue_url(context)
    notifications.sign_in_worker(context)
    notifications.check(context)
    Carriers(context).prepare()
    trust()  # read once, before anybody is forked
    work = _others(context, metrics) if not burst else {}
    context.close()  # what is forked must not share a connection
    gc.freeze()  # nor does it look again and again through all that was imported: a fifth of the time of sending
    work |= {f"sender {n}": lambda: _send(context, url, burst=burst) for n in range(1, processes + 1)}
    crew = Crew(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    log.info("running with %(processes)d sending processes", {"event": "running", "processes": processes})
    relay = Relay(context, connected(url), processes)
    try:
        if burst:
            _empty(relay, crew)
        else:
            _relay(context, relay, connected(url), crew)
    finally:
        Ground.stopping.set()
        crew.stop()
        log.info("stopped")


def _others(context: Context, metrics: tuple[str, int] | None) -> dict[str, Callable[[], None]]:
    """What is done beside sending; the port is bound before anything is forked. Raises InvalidInput."""
    work: dict[str, Callable[[], None]] = {
        "timetable": lambda: timetable.run(context.another(), Ground.stopping),
    }
    if metrics is not None:
        from . import metrics_port  # noqa: PLC0415 - prometheus_client, only where numbers are served

        port = metrics_port.Port(*metrics)
        work["metrics"] = lambda: metrics_port.serve(context.another(), port, Ground.stopping)
    return work


def _empty(relay: Relay, crew: Crew) -> None:
    """Hands on and waits for the senders, each of which ends when the queue is empty, until nothing is due."""
    passed = 1
    while passed and not Ground.stopping:
        # First what was left in the queue: it may be too full for more.
        crew.start()
        crew.await_all()
        passed = relay.pass_on()


def _relay(context: Context, relay: Relay, client: redis.Redis, crew: Crew) -> None:
    crew.start()
    signed_in = time.monotonic()
    with contextlib.closing(Ear(client)) as ear:
        while not Ground.stopping:
            crew.tend()
            if context.embedded and time.monotonic() - signed_in > SESSION_SECONDS:
                with contextlib.suppress(Unavailable):  # then the next time
                    notifications.sign_in_worker(context)
                    signed_in = time.monotonic()
            if _pass_on(relay) == 0:
                ear.wait(BUSY_SECONDS if _is_full(relay) else POLL_SECONDS)


def _is_full(relay: Relay) -> bool:
    try:
        return relay.full
    except redis.RedisError:
        return False


def _pass_on(relay: Relay) -> int:
    try:
        return relay.pass_on()
    except redis.RedisError as problem:
        log.warning(*_away("queue", type(problem).__name__))
        time.sleep(PAUSE_AFTER_DEATH)
    except NotAllowed:
        raise
    except BookcliError as problem:
        log.warning(*_away("database", problem.code))
        time.sleep(PAUSE_AFTER_DEATH)
    return -1


def _away(server: str, code: str) -> tuple[str, dict[str, str]]:
    return "the %(server)s is away: %(code)s", {"event": "server-away", "server": server, "code": code}


def connected(url: str) -> redis.Redis:
    """A client that asks once: whoever uses it tries again by itself."""
    once = Retry(NoBackoff(), 0)
    return redis.Redis.from_url(url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, retry=once)


def _send(context: Context, url: str, *, burst: bool) -> None:
    jobs.begin(context)
    # A job in hand outlives a Redis that is away for a moment.
    client = redis.Redis.from_url(url, socket_timeout=SENDERS_PATIENCE, socket_connect_timeout=PATIENCE)
    try:
        Sender(client).work(burst=burst, logging_level="ERROR")
    finally:
        jobs.let_go()


def _stop(*_: Any) -> None:
    Ground.stopping.set()


def _fork(work: Callable[[], None]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _end_with(parent)
        signal.signal(signal.SIGTERM, _stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        work()
        code = 0
    except redis.RedisError as problem:
        log.warning(*_away("queue", type(problem).__name__))
    except BookcliError as problem:
        log.warning(*_away("database", problem.code))
    except Exception as problem:  # noqa: BLE001 - an edge: nobody else would say why it ended
        bugs.keep(problem)
        log.error("ended by a bug: %(error)s", {"event": "bug", "error": type(problem).__name__})
    finally:
        sys.stderr.flush()
        os._exit(code)


def _end_with(parent: int) -> None:
    """Asks the kernel to tell this process when the one that forked it has died, however that was."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
