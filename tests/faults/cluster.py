"""The whole cluster, ready to be broken: nodes that die, freeze or lose their keeper, pools and queues that go away.

What must stay true: a fault is a real signal to a real process, and whatever was started is dead when the cluster is
closed.
"""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import urllib.error
import urllib.request
from functools import partial
from typing import Any

import psycopg
import redis

from tests.faults.programs import HOST, backends, postgres_processes, signal_all, wait_until
from tests.faults.topology import Topology

LONGEST_START = 90


class Cluster:
    """Use with `with`; ready on entry. `synchronous=False` is the control that may lose bookings."""

    def __init__(self, *, synchronous: bool = True, with_redis: bool = True) -> None:
        self.synchronous = synchronous
        self._servers = Topology(with_redis=with_redis)
        self.nodes = self._servers.nodes
        self._stopped_receivers: list[int] = []
        self.seconds_to_ready = 0.0

    def __enter__(self) -> Cluster:
        try:
            self._servers.start()
            self.seconds_to_ready = self.wait_ready()
            if not self.synchronous:
                self._become_asynchronous()
        except BaseException:
            self._servers.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._servers.close()

    def _become_asynchronous(self) -> None:
        leader = self.primary()
        assert leader is not None
        settings = {"synchronous_mode": False, "synchronous_mode_strict": False, "maximum_lag_on_failover": 1 << 30}
        assert self._api(leader, "/config", settings) is not None
        with psycopg.connect(self.direct_dsn(leader), autocommit=True) as connection:
            wait_until(partial(_waits_for_nobody, connection), 30, "the primary waits for no standby")

    @property
    def dsn(self) -> str:
        """The way every desk takes, through pgbouncer and HAProxy to the primary, for the database's owner."""
        return self._address(self._servers.pool_port)

    @property
    def desk_dsn(self) -> str:
        """The same way for a desk."""
        return self._address(self._servers.pool_port, "desk")

    def direct_dsn(self, name: str) -> str:
        """Past the pool, to one node."""
        return self._address(self.nodes[name].port)

    def redis_url(self, user: str) -> str:
        """Through HAProxy to the Valkey that is primary, for a `desk` or a `worker`."""
        return f"redis://{user}:{self._servers.password}@{HOST}:{self._servers.redis_port}/0"

    def _address(self, port: int, role: str = "bookcli") -> str:
        return f"postgresql://{role}:{self._servers.password}@{HOST}:{port}/bookcli"

    def primary(self) -> str | None:
        """The node that holds the lease and takes writes; None while there is none."""
        return next((name for name in self.nodes if self._api(name, "/primary") is not None), None)

    def members(self) -> list[dict[str, Any]]:
        """What Patroni says about every node: name, role, state, lag."""
        answers = (self._api(name, "/cluster") for name in self.nodes)
        return next((answer["members"] for answer in answers if answer), [])

    def wait_ready(self, seconds: float = LONGEST_START) -> float:
        """Until all nodes that were not broken follow one primary and the pool leads there; how long it took."""
        try:
            return wait_until(self._ready, seconds, "the cluster is ready")
        except AssertionError as late:
            raise AssertionError(f"{late}: {self.members()}\n{self._servers.last_words()}") from None

    def wait_for_new_primary(self, old: str, seconds: float = 60) -> str:
        """The name of the node that took over."""
        wait_until(lambda: self.primary() not in (None, old), seconds, f"somebody takes over from {old}")
        return self.primary() or self.wait_for_new_primary(old, seconds)

    def _ready(self) -> bool:
        running = {name for name, node in self.nodes.items() if node.patroni.running}
        roles = {
            one["name"]: one["role"]
            for one in self.members()
            if one.get("state") == ("running" if one["role"] == "leader" else "streaming")
        }
        one_leads = list(roles.values()).count("leader") == 1
        safe = not self.synchronous or len(running) == 1 or "sync_standby" in roles.values()
        return one_leads and safe and running <= roles.keys() and self._pool_answers()

    def _pool_answers(self) -> bool:
        with (
            contextlib.suppress(psycopg.Error),
            psycopg.connect(self.dsn, connect_timeout=2, prepare_threshold=None, autocommit=True) as connection,
        ):
            return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)
        return False

    def start_node(self, name: str) -> None:
        """Starts a node that was killed or stopped; it rejoins by itself."""
        self.nodes[name].patroni.start()

    def kill_node(self, name: str) -> None:
        """The machine is gone: Patroni, the postmaster and every backend at one moment."""
        self.freeze(name)
        family = postgres_processes(self.nodes[name].directory)
        self.nodes[name].patroni.send(signal.SIGKILL)
        signal_all(family, signal.SIGKILL)
        self.nodes[name].patroni.kill()

    def kill_patroni(self, name: str) -> None:
        """Only the keeper dies; its PostgreSQL goes on taking writes."""
        self.nodes[name].patroni.kill()

    def freeze(self, name: str) -> None:
        """The machine stands still: nobody there answers, and nobody notices."""
        self._signal_node(name, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """It goes on as if nothing had been."""
        self._signal_node(name, signal.SIGCONT)

    def stop_replicas(self) -> list[str]:
        """Stops both standbys in good order; their names."""
        names = [name for name in self.nodes if name != self.primary()]
        for name in names:
            self.nodes[name].patroni.stop()
        return names

    def stall_replicas(self) -> None:
        """The standbys receive nothing any more, and the primary does not know."""
        standbys = [node for node in self.nodes.values() if node.name != self.primary()]
        self._stopped_receivers = [pid for node in standbys for pid in backends(node.directory, "walreceiver")]
        assert self._stopped_receivers, "no standby is receiving"
        signal_all(self._stopped_receivers, signal.SIGSTOP)

    def unstall_replicas(self) -> None:
        """They go on, with what they have: what waits in their sockets is lost, as on a real network."""
        signal_all(self._stopped_receivers, signal.SIGTERM)
        signal_all(self._stopped_receivers, signal.SIGCONT)

    def switchover(self) -> tuple[str, str]:
        """The planned change of the primary; who it was and who it is now."""
        old = self.primary()
        assert old is not None
        answer = self._api(old, "/switchover", {"leader": old})
        assert answer is not None, "Patroni refused the switchover"
        return old, self.wait_for_new_primary(old)

    def kill_etcd(self) -> None:
        """All members at once."""
        for member in self._servers.etcd:
            member.kill()

    def start_etcd(self) -> None:
        for member in self._servers.etcd:
            member.start()

    def kill_pgbouncer(self) -> None:
        self._servers.pgbouncer.kill()

    def start_pgbouncer(self) -> None:
        self._servers.pgbouncer.start()

    def redis_primary(self) -> int:
        """The port of the Valkey that the Sentinels follow."""
        for port in self._servers.sentinels:
            with contextlib.suppress(redis.RedisError), redis.Redis(HOST, port, socket_timeout=1) as sentinel:
                return int(sentinel.sentinel_get_master_addr_by_name("bookcli")[1])
        raise AssertionError("no Sentinel answers")

    def kill_redis_primary(self) -> int:
        """Kills the Valkey that is primary; its port."""
        port = self.redis_primary()
        self._servers.redis[port].kill()
        return port

    def start_redis(self, port: int) -> None:
        self._servers.redis[port].start()

    def _signal_node(self, name: str, number: signal.Signals) -> None:
        node = self.nodes[name]
        node.patroni.send(number)
        signal_all(postgres_processes(node.directory), number)

    def _api(self, name: str, path: str, question: dict[str, Any] | None = None) -> Any:
        """The answer of a node's Patroni; None when it says no or nothing."""
        body = None if question is None else json.dumps(question).encode()
        method = "PATCH" if path == "/config" else None
        asked = urllib.request.Request(f"http://{HOST}:{self.nodes[name].api}{path}", body, method=method)
        credentials = base64.b64encode(f"api:{self._servers.password}".encode()).decode()
        asked.add_header("Authorization", f"Basic {credentials}")
        try:
            with urllib.request.urlopen(asked, timeout=20 if question else 1) as answer:
                text = answer.read().decode()
        except (OSError, urllib.error.HTTPError):
            return None
        try:
            return json.loads(text)
        except ValueError:
            return text


def _waits_for_nobody(connection: psycopg.Connection[tuple[Any, ...]]) -> bool:
    return connection.execute("SHOW synchronous_standby_names").fetchone() == ("",)
