"""The whole high-availability topology on loopback ports: the containers' settings without the containers.

etcd (3) · PostgreSQL under Patroni (3) · HAProxy · pgbouncer · Valkey (2) · Sentinel (3)

What must stay true: every setting comes from .deploy/, the directory docker-compose.yml mounts; only addresses,
directories and passwords are made here.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import redis

from tests.faults.programs import (
    DEPLOY,
    HOST,
    Program,
    backends,
    free_ports,
    kill_everything_in,
    postgres_processes,
    private_directory,
    program,
    signal_all,
    valkey_program,
    wait_until,
)
from tests.servers import SYSTEM_PROGRAMS

NODES = ("pg1", "pg2", "pg3")
LONGEST_START = 90


@dataclass
class Node:
    """One PostgreSQL and its Patroni."""

    name: str
    port: int
    api: int
    directory: Path
    patroni: Program


class Cluster:
    """Use with `with`; ready on entry. `synchronous=False` is the control that may lose bookings."""

    def __init__(self, *, synchronous: bool = True, with_redis: bool = True) -> None:
        self.synchronous, self._with_redis = synchronous, with_redis
        self.home = Path(tempfile.mkdtemp(prefix="bookcli-cluster-", dir="/tmp"))
        # For root the servers run as somebody else, who must be able to pass through.
        self.home.chmod(0o755)
        self._password = secrets.token_hex(8)
        self._etcd: list[Program] = []
        self.nodes: dict[str, Node] = {}
        self._redis: dict[int, Program] = {}
        self._sentinels: dict[int, Program] = {}
        self._all: list[Program] = []
        self._stopped_receivers: list[int] = []
        self.seconds_to_ready = 0.0

    def __enter__(self) -> Cluster:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends everything that was started, frozen or not, and removes its files."""
        try:
            # Those who would start others go first.
            for one in self._all:
                one.send(signal.SIGKILL)
            for one in self._all:
                one.kill()
        finally:
            kill_everything_in(self.home)
            shutil.rmtree(self.home, ignore_errors=True)

    # The addresses

    @property
    def dsn(self) -> str:
        """The way every desk takes: through pgbouncer and HAProxy to the primary."""
        return self._address(self._pool_port)

    def direct_dsn(self, name: str) -> str:
        """Past the pool, to one node."""
        return self._address(self.nodes[name].port)

    @property
    def redis_url(self) -> str:
        """Through HAProxy to the Valkey that is primary."""
        return f"redis://:{self._password}@{HOST}:{self._redis_port}/0"

    def _address(self, port: int) -> str:
        return f"postgresql://bookcli:{self._password}@{HOST}:{port}/bookcli"

    # What it is like now

    def primary(self) -> str | None:
        """The node that holds the lease and takes writes; None while there is none."""
        return next((name for name in self.nodes if self._api(name, "/primary") is not None), None)

    def members(self) -> list[dict[str, Any]]:
        """What Patroni says about every node: name, role, state, lag."""
        answers = (self._api(name, "/cluster") for name in self.nodes)
        return next((answer["members"] for answer in answers if answer), [])

    def wait_ready(self, seconds: float = LONGEST_START) -> float:
        """Until all nodes that were not broken follow one primary and the pool leads there; how long it took."""
        return wait_until(self._ready, seconds, f"the cluster is ready; logs in {self.home}: {self.members()}")

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

    # What can be done to it

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
        for member in self._etcd:
            member.kill()

    def start_etcd(self) -> None:
        for member in self._etcd:
            member.start()

    def kill_pgbouncer(self) -> None:
        self._pgbouncer.kill()

    def start_pgbouncer(self) -> None:
        self._pgbouncer.start()

    def redis_primary(self) -> int:
        """The port of the Valkey that the Sentinels follow."""
        for port in self._sentinels:
            with contextlib.suppress(redis.RedisError), redis.Redis(HOST, port, socket_timeout=1) as sentinel:
                return int(sentinel.sentinel_get_master_addr_by_name("bookcli")[1])
        raise AssertionError("no Sentinel answers")

    def kill_redis_primary(self) -> int:
        """Kills the Valkey that is primary; its port."""
        port = self.redis_primary()
        self._redis[port].kill()
        return port

    def start_redis(self, port: int) -> None:
        self._redis[port].start()

    def _signal_node(self, name: str, number: signal.Signals) -> None:
        node = self.nodes[name]
        node.patroni.send(number)
        signal_all(postgres_processes(node.directory), number)

    def _api(self, name: str, path: str, question: dict[str, Any] | None = None) -> Any:
        """The answer of a node's Patroni; None when it says no or nothing."""
        body = None if question is None else json.dumps(question).encode()
        method = "PATCH" if path == "/config" else None
        asked = urllib.request.Request(f"http://{HOST}:{self.nodes[name].api}{path}", body, method=method)
        asked.add_header("Authorization", "Basic " + base64.b64encode(f"api:{self._password}".encode()).decode())
        try:
            with urllib.request.urlopen(asked, timeout=20 if question else 1) as answer:
                text = answer.read().decode()
        except (OSError, urllib.error.HTTPError):
            return None
        try:
            return json.loads(text)
        except ValueError:
            return text

    # How it comes to life

    def _start(self) -> None:
        self._ports = iter(free_ports(40))
        self._pool_port, self._primary_port, self._redis_port, self._health_port = self._take_ports(4)
        self._start_etcd()
        self._start_nodes()
        if self._with_redis:
            self._start_redis()
        self._start_ways_in()
        self.seconds_to_ready = self.wait_ready()
        if not self.synchronous:
            self._become_asynchronous()

    def _take_ports(self, many: int) -> list[int]:
        return list(itertools.islice(self._ports, many))

    def _become_asynchronous(self) -> None:
        leader = self.primary()
        assert leader is not None
        settings = {"synchronous_mode": False, "synchronous_mode_strict": False, "maximum_lag_on_failover": 1 << 30}
        assert self._api(leader, "/config", settings) is not None
        with psycopg.connect(self.direct_dsn(leader), autocommit=True) as connection:
            wait_until(partial(_waits_for_nobody, connection), 30, "the primary waits for no standby")

    def _program(self, name: str, words: list[str | Path], **environ: object) -> Program:
        shared = {"REDIS_PASSWORD": self._password, "DATABASE_PASSWORD": self._password}
        values = {key: str(value) for key, value in {**shared, **environ}.items()}
        log = self.home / f"{name}.log"
        one = Program(words, self.home, values, log)
        self._all.append(one)
        one.start()
        return one

    def _start_etcd(self) -> None:
        shared = dict(
            line.split("=", 1)
            for line in (DEPLOY / "etcd.env").read_text().splitlines()
            if line and not line.startswith("#")
        )
        ports = [self._take_ports(2) for _ in range(3)]
        members = {f"etcd{n}": f"http://{HOST}:{peer}" for n, (_, peer) in enumerate(ports, 1)}
        for (name, peer_url), (client, _) in zip(members.items(), ports, strict=True):
            addresses = {
                "ETCD_NAME": name,
                "ETCD_DATA_DIR": private_directory(self.home / name),
                "ETCD_LISTEN_CLIENT_URLS": f"http://{HOST}:{client}",
                "ETCD_ADVERTISE_CLIENT_URLS": f"http://{HOST}:{client}",
                "ETCD_LISTEN_PEER_URLS": peer_url,
                "ETCD_INITIAL_ADVERTISE_PEER_URLS": peer_url,
                "ETCD_INITIAL_CLUSTER": ",".join(f"{name}={url}" for name, url in members.items()),
            }
            self._etcd.append(self._program(name, [program("etcd")], **shared, **addresses))
        self._etcd_hosts = ",".join(f"{HOST}:{client}" for client, _ in ports)

    def _start_nodes(self) -> None:
        passwords = {
            f"PATRONI_{who}_{what}": value
            for who, name in (
                ("SUPERUSER", "postgres"),
                ("REPLICATION", "replicator"),
                ("REWIND", "rewind"),
                ("RESTAPI", "api"),
            )
            for what, value in (("USERNAME", name), ("PASSWORD", self._password))
        }
        for name in NODES:
            port, api = self._take_ports(2)
            home = private_directory(self.home / name)
            addresses = {
                "PATRONI_NAME": name,
                "PATRONI_ETCD3_HOSTS": self._etcd_hosts,
                "PATRONI_RESTAPI_LISTEN": f"{HOST}:{api}",
                "PATRONI_RESTAPI_CONNECT_ADDRESS": f"{HOST}:{api}",
                "PATRONI_POSTGRESQL_LISTEN": f"{HOST}:{port}",
                "PATRONI_POSTGRESQL_CONNECT_ADDRESS": f"{HOST}:{port}",
                "PATRONI_POSTGRESQL_DATA_DIR": home / "data",
                "PATRONI_POSTGRESQL_PGPASS": home / "pgpass",
                "PATRONI_POSTGRESQL_BIN_DIR": SYSTEM_PROGRAMS,
                "PATH": f"{SYSTEM_PROGRAMS}:{os.defpath}",
            }
            words: list[str | Path] = [sys.executable, "-m", "patroni", "patroni.yml"]
            patroni = self._program(name, words, **passwords, **addresses)
            self.nodes[name] = Node(name, port, api, home / "data", patroni)

    def _start_redis(self) -> None:
        ports = self._take_ports(2)
        for n, port in enumerate(ports, 1):
            home = private_directory(self.home / f"valkey{n}")
            settings = home / "valkey.conf"
            self._redis[port] = self._program(
                f"valkey{n}",
                ["-k", "valkey.conf", settings, valkey_program(), settings],
                REDIS_LISTEN=HOST,
                REDIS_HOST=HOST,
                REDIS_PORT=port,
                REDIS_DIRECTORY=home,
                REDIS_FIRST_ROLE="replicaof no one" if n == 1 else f"replicaof {HOST} {ports[0]}",
            )
        self._redis_servers = {f"VALKEY{n}_ADDRESS": f"{HOST}:{port}" for n, port in enumerate(ports, 1)}
        for n, port in enumerate(self._take_ports(3), 1):
            home = private_directory(self.home / f"sentinel{n}")
            settings = home / "sentinel.conf"
            self._sentinels[port] = self._program(
                f"sentinel{n}",
                ["-k", "sentinel.conf", settings, valkey_program(), settings, "--sentinel"],
                SENTINEL_LISTEN=HOST,
                SENTINEL_HOST=HOST,
                SENTINEL_PORT=port,
                SENTINEL_DIRECTORY=home,
                VALKEY1_HOST=HOST,
                VALKEY1_PORT=ports[0],
            )

    def _start_ways_in(self) -> None:
        nodes = {
            f"{node.name.upper()}_{what}": value
            for node in self.nodes.values()
            for what, value in (("ADDRESS", f"{HOST}:{node.port}"), ("API_PORT", node.api))
        }
        nobody = {f"VALKEY{n}_ADDRESS": f"{HOST}:{self._health_port}" for n in (1, 2)}
        self._haproxy = self._program(
            "haproxy",
            [program("haproxy"), "-db", "-f", "haproxy.cfg"],
            **nodes,
            **(self._redis_servers if self._with_redis else nobody),
            HAPROXY_POSTGRES=f"{HOST}:{self._primary_port}",
            HAPROXY_REDIS=f"{HOST}:{self._redis_port}",
            HAPROXY_HEALTH=f"{HOST}:{self._health_port}",
        )
        home = private_directory(self.home / "pgbouncer")
        settings, users = home / "pgbouncer.ini", home / "pgbouncer-users.txt"
        self._pgbouncer = self._program(
            "pgbouncer",
            ["-t", "pgbouncer.ini", settings, "-t", "pgbouncer-users.txt", users, program("pgbouncer"), settings],
            DATABASE_HOST=HOST,
            DATABASE_PORT=self._primary_port,
            POOL_LISTEN=HOST,
            POOL_PORT=self._pool_port,
            POOL_USERS=users,
        )


def _waits_for_nobody(connection: psycopg.Connection[tuple[Any, ...]]) -> bool:
    return connection.execute("SHOW synchronous_standby_names").fetchone() == ("",)
