"""The servers of docker-compose.yml's whole on loopback ports, started from the same settings without containers.

What must stay true: every setting comes from .deploy/, the directory that docker-compose.yml mounts; only addresses,
directories and passwords are made here.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
import shutil
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.faults.programs import (
    DEPLOY,
    HOST,
    Program,
    free_ports,
    kill_everything_in,
    private_directory,
    program,
    valkey_program,
)
from tests.servers import SYSTEM_PROGRAMS

NODES = ("pg1", "pg2", "pg3")


@dataclass
class Node:
    """One PostgreSQL and its Patroni."""

    name: str
    port: int
    api: int
    directory: Path
    patroni: Program


class Topology:
    """etcd (3), PostgreSQL under Patroni (3), HAProxy, pgbouncer, and unless unwanted Valkey (2) and Sentinel (3)."""

    def __init__(self, *, with_redis: bool = True) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="bookcli-cluster-", dir="/tmp"))
        # For root the servers run as somebody else, who must be able to pass through.
        self.home.chmod(0o755)
        self.password = secrets.token_hex(8)
        self.etcd: list[Program] = []
        self.nodes: dict[str, Node] = {}
        self.redis: dict[int, Program] = {}
        self.sentinels: dict[int, Program] = {}
        self.haproxy: Program
        self.pgbouncer: Program
        self._with_redis = with_redis
        self._all: list[Program] = []
        self._ports = iter(free_ports(40))
        self.pool_port, self.primary_port, self.redis_port, self._health_port = self._take_ports(4)

    def start(self) -> None:
        """Starts everything; nothing is ready yet."""
        self._start_etcd()
        self._start_nodes()
        if self._with_redis:
            self._start_redis()
        self._start_ways_in()

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

    def last_words(self) -> str:
        """The end of every log, for the report of a test that failed: the files are gone by then."""
        logs = sorted(self.home.glob("*.log"))
        return "\n".join(f"{log.stem}: {log.read_text(errors='replace')[-1500:]}" for log in logs)

    def _take_ports(self, many: int) -> list[int]:
        return list(itertools.islice(self._ports, many))

    def _program(self, name: str, words: list[str | Path], **environ: object) -> Program:
        shared = {f"{who}_PASSWORD": self.password for who in ("REDIS", "DATABASE", "DESK", "WORKER")}
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
            self.etcd.append(self._program(name, [program("etcd")], **shared, **addresses))
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
            for what, value in (("USERNAME", name), ("PASSWORD", self.password))
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
        hashed = hashlib.sha256(self.password.encode()).hexdigest()
        hashes = {f"{user}_PASSWORD_SHA256": hashed for user in ("DESK", "WORKER", "SERVERS")}
        for n, port in enumerate(ports, 1):
            home = private_directory(self.home / f"valkey{n}")
            settings, users = home / "valkey.conf", home / "users.acl"
            self.redis[port] = self._program(
                f"valkey{n}",
                ["-t", "redis-users.acl", users, "-k", "valkey.conf", settings, valkey_program(), settings],
                **hashes,
                REDIS_LISTEN=HOST,
                REDIS_HOST=HOST,
                REDIS_PORT=port,
                REDIS_DIRECTORY=home,
                REDIS_USERS=users,
                REDIS_FIRST_ROLE="replicaof no one" if n == 1 else f"replicaof {HOST} {ports[0]}",
            )
        self._redis_servers = {f"VALKEY{n}_ADDRESS": f"{HOST}:{port}" for n, port in enumerate(ports, 1)}
        for n, port in enumerate(self._take_ports(3), 1):
            home = private_directory(self.home / f"sentinel{n}")
            settings = home / "sentinel.conf"
            self.sentinels[port] = self._program(
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
        self.haproxy = self._program(
            "haproxy",
            [program("haproxy"), "-db", "-f", "haproxy.cfg"],
            **nodes,
            **(self._redis_servers if self._with_redis else nobody),
            HAPROXY_POSTGRES=f"{HOST}:{self.primary_port}",
            HAPROXY_REDIS=f"{HOST}:{self.redis_port}",
            HAPROXY_HEALTH=f"{HOST}:{self._health_port}",
        )
        home = private_directory(self.home / "pgbouncer")
        settings, users = home / "pgbouncer.ini", home / "pgbouncer-users.txt"
        self.pgbouncer = self._program(
            "pgbouncer",
            ["-t", "pgbouncer.ini", settings, "-t", "pgbouncer-users.txt", users, program("pgbouncer"), settings],
            DATABASE_HOST=HOST,
            DATABASE_PORT=self.primary_port,
            POOL_LISTEN=HOST,
            POOL_PORT=self.pool_port,
            POOL_USERS=users,
        )
