"""What each user of Redis may do, by trying everything as that user: what is not on the list is refused.

What must stay true: the users are those of .deploy/redis-users.acl, with nothing changed but the passwords.
"""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry
from rq import Queue, Worker
from rq import Retry as Retries
from rq.command import send_shutdown_command
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from tests.faults.redis_users import PASSWORDS, PROGRAMS, USERS, Server, program, running
from tests.processes import REPOSITORY
from tests.secure_servers import free_port

SLOTS, LEASE = "bookcli:slots:clinic:north:mri:2026-12-01", "bookcli:slots:clinic:north:mri:2026-12-01:lease"
CATALOG, CATALOG_LIST = "bookcli:catalog:clinic", "bookcli:catalog:clinic:list"
TESTS, FOUND = "bookcli:tests:clinic:north:2026-12-01", "bookcli:found:clinic"
PENDING, JOBS, FOREIGN = "bookcli:pending", "rq:queue:messages", "session:somebody"
TASKS = "bookcli:worker:tasks"
CHANGES, WAKE = "bookcli:changes:clinic:north", "bookcli:wake"
OUTSIDE = (FOREIGN, "bookcli:slots", "bookcli:refresh:north", "bookcli:changes:clinic", "rq", "bookcli:pending:2")
KEYS = (SLOTS, LEASE, CATALOG, CATALOG_LIST, TESTS, FOUND, PENDING, TASKS, JOBS, *OUTSIDE)

COMMANDS: dict[str, tuple[str, ...]] = {
    "get": ("GET", "{key}"),
    "mget": ("MGET", "{key}", "{key}"),
    "set": ("SET", "{key}", "x"),
    "del": ("DEL", "{key}"),
    "expire": ("EXPIRE", "{key}", "60"),
    "pexpire": ("PEXPIRE", "{key}", "60000"),
    "pttl": ("PTTL", "{key}"),
    "eval": ("EVAL", "return redis.call('EXISTS', KEYS[1]) or 1", "1", "{key}"),
    "evalsha": ("EVALSHA", "{sha}", "1", "{key}"),
    "append": ("APPEND", "{key}", "x"),
    "getdel": ("GETDEL", "{key}"),
    "rename": ("RENAME", "{key}", "{key}"),
    "copy": ("COPY", "{key}", "{key}"),
    "dump": ("DUMP", "{key}"),
    "object": ("OBJECT", "ENCODING", "{key}"),
    "type": ("TYPE", "{key}"),
    "exists": ("EXISTS", "{key}"),
    "watch": ("WATCH", "{key}"),
    "sort": ("SORT", "{key}"),
    "incr": ("INCR", "{key}"),
    "xadd": ("XADD", "{key}", "*", "a", "b"),
    "xlen": ("XLEN", "{key}"),
    "xread": ("XREAD", "STREAMS", "{key}", "0"),
    "xrange": ("XRANGE", "{key}", "-", "+"),
    "xdel": ("XDEL", "{key}", "1-1"),
    "xtrim": ("XTRIM", "{key}", "MAXLEN", "0"),
    "xgroup": ("XGROUP", "CREATE", "{key}", "workers", "$", "MKSTREAM"),
    "xreadgroup": ("XREADGROUP", "GROUP", "workers", "one", "STREAMS", "{key}", ">"),
    "xack": ("XACK", "{key}", "workers", "1-1"),
    "xpending": ("XPENDING", "{key}", "workers"),
    "xautoclaim": ("XAUTOCLAIM", "{key}", "workers", "one", "0", "0"),
    "lpush": ("LPUSH", "{key}", "x"),
    "rpush": ("RPUSH", "{key}", "x"),
    "lpop": ("LPOP", "{key}"),
    "llen": ("LLEN", "{key}"),
    "lrange": ("LRANGE", "{key}", "0", "-1"),
    "hset": ("HSET", "{key}", "a", "b"),
    "hgetall": ("HGETALL", "{key}"),
    "hmget": ("HMGET", "{key}", "a"),
    "hincrby": ("HINCRBY", "{key}", "a", "1"),
    "hdel": ("HDEL", "{key}", "a"),
    "sadd": ("SADD", "{key}", "x"),
    "smembers": ("SMEMBERS", "{key}"),
    "srem": ("SREM", "{key}", "x"),
    "zadd": ("ZADD", "{key}", "1", "x"),
    "zrange": ("ZRANGE", "{key}", "0", "-1"),
}
"""A try of each command at one key."""

SCRIPTS = frozenset({"eval", "evalsha"})
ENTRIES = SCRIPTS | {"get", "mget", "set", "del"}
AT_CACHES = {
    **dict.fromkeys((SLOTS, LEASE, CATALOG), ENTRIES),
    CATALOG_LIST: ENTRIES | {"sadd", "pexpire"},
    TESTS: SCRIPTS | {"sadd", "pexpire", "smembers"},
    FOUND: SCRIPTS | {"hincrby", "hmget", "del"},
    PENDING: frozenset({"xadd", "xrange", "xdel", "xlen"}),
}
AT_JOBS = frozenset(
    {
        *("get", "set", "del", "exists", "expire", "eval", "evalsha", "rename", "watch", "xadd", "xlen", "xread"),
        *("lpush", "rpush", "lpop", "llen", "lrange", "sadd", "srem", "smembers", "zadd", "zrange"),
        *("hset", "hgetall", "hmget", "hincrby", "hdel"),
    }
)
ALLOWED: dict[str, dict[str, frozenset[str]]] = {
    "desk": {**AT_CACHES, TASKS: frozenset({"hgetall"})},
    "worker": {**AT_CACHES, TASKS: frozenset({"hset", "hgetall", "expire"}), JOBS: AT_JOBS},
}
"""User → key → what is allowed there; everything else is refused."""

WITHOUT_KEYS: dict[str, tuple[str, ...]] = {
    "ping": ("PING",),
    "script load": ("SCRIPT", "LOAD", "return 1"),
    "script exists": ("SCRIPT", "EXISTS", "0" * 40),
    "script flush": ("SCRIPT", "FLUSH"),
    "script kill": ("SCRIPT", "KILL"),
    "client setname": ("CLIENT", "SETNAME", "x"),
    "client info": ("CLIENT", "INFO"),
    "client list": ("CLIENT", "LIST"),
    "client kill": ("CLIENT", "KILL", "TYPE", "normal"),
    "client pause": ("CLIENT", "PAUSE", "1"),
    "publish a change": ("PUBLISH", CHANGES, "x"),
    "publish a wake-up": ("PUBLISH", WAKE, ""),
    "publish to workers": ("PUBLISH", "rq:pubsub:one", "x"),
    "publish elsewhere": ("PUBLISH", "news", "x"),
    "info": ("INFO",),
    "time": ("TIME",),
    "keys": ("KEYS", "*"),
    "scan": ("SCAN", "0"),
    "randomkey": ("RANDOMKEY",),
    "dbsize": ("DBSIZE",),
    "select": ("SELECT", "1"),
    "swapdb": ("SWAPDB", "0", "1"),
    "flushdb": ("FLUSHDB",),
    "flushall": ("FLUSHALL",),
    "config get": ("CONFIG", "GET", "*"),
    "config set": ("CONFIG", "SET", "maxmemory", "1"),
    "acl whoami": ("ACL", "WHOAMI"),
    "acl list": ("ACL", "LIST"),
    "acl setuser": ("ACL", "SETUSER", "desk", "+@all"),
    "debug": ("DEBUG", "SLEEP", "0"),
    "slowlog": ("SLOWLOG", "GET"),
    "latency": ("LATENCY", "LATEST"),
    "memory": ("MEMORY", "STATS"),
    "module": ("MODULE", "LIST"),
    "function": ("FUNCTION", "LIST"),
    "replicaof": ("REPLICAOF", "NO", "ONE"),
    "bgsave": ("BGSAVE",),
    "save": ("SAVE",),
    "shutdown": ("SHUTDOWN", "NOSAVE"),
    "monitor": ("MONITOR",),
    "multi": ("MULTI",),
    "command": ("COMMAND",),
    "psubscribe": ("PSUBSCRIBE", "*"),
}
ANYWHERE = {"ping", "client setname", "time", "scan", "publish a change", "publish a wake-up"}
ALLOWED_WITHOUT_KEYS = {
    "desk": ANYWHERE,
    "worker": ANYWHERE | {"script load", "script exists", "client info", "publish to workers", "info", "multi"},
}


@pytest.fixture(scope="module", params=PROGRAMS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param) as started:
        yield started


def _attempt(client: redis.Redis, words: tuple[str, ...], key: str = "") -> bool:
    """Whether the user may: any answer but NOPERM means so, for the rest is about what the key holds."""
    sha = hashlib.sha1(b"return 1").hexdigest()
    try:
        client.execute_command(*(word.format(key=key, sha=sha) for word in words))
    except NoPermissionError:
        return False
    except redis.ResponseError as problem:
        return "can't run this command" in str(problem) or "NOPERM" not in str(problem)
    return True


@pytest.mark.parametrize("user", ALLOWED)
def test_a_user_may_do_at_each_key_what_is_on_the_list_and_nothing_else(server: Server, user: str) -> None:
    wrong = []
    with server.user("tester") as tester, server.user(user) as client:
        for key in KEYS:
            for name, words in COMMANDS.items():
                tester.flushall()
                may = _attempt(client, words, key)
                if may is not (name in ALLOWED[user].get(key, ())):
                    wrong.append((key, name, "allowed" if may else "refused"))
    assert wrong == []


@pytest.mark.parametrize("user", ALLOWED_WITHOUT_KEYS)
def test_a_user_may_do_nothing_to_the_server_that_is_not_on_the_list(server: Server, user: str) -> None:
    allowed = set()
    for name, words in WITHOUT_KEYS.items():
        with server.user(user) as client:
            if _attempt(client, words):
                allowed.add(name)
    assert allowed == ALLOWED_WITHOUT_KEYS[user]


ANYBODY = {"auth", "hello", "quit", "reset"}
"""What the server lets everybody say, in order to sign in and to go."""
WITHOUT_A_KEY = {"ping", "client|setname", "time", "scan", "unsubscribe", "eval", "evalsha"}
"""What needs no key; a script without one may do what its user may."""


@pytest.mark.parametrize("key", [SLOTS, CATALOG_LIST, TESTS, FOUND, PENDING, JOBS, FOREIGN])
def test_of_all_commands_the_server_knows_a_desk_may_use_a_handful(server: Server, key: str) -> None:
    with server.user("tester") as tester:
        tester.response_callbacks.clear()
        known = {str(name) for name in tester.execute_command("COMMAND", "LIST")}
        allowed = {name for name in known if _would_be_allowed(tester, name, key)}
    assert allowed == ANYBODY | WITHOUT_A_KEY | ALLOWED["desk"].get(key, set())
    assert len(known) > 200


def _would_be_allowed(tester: redis.Redis, name: str, key: str, user: str = "desk") -> bool:
    """Whether a user may use the command with the fewest words it takes, or one more, each of them the key."""
    words = name.split("|")
    for more in range(9):
        try:
            return tester.execute_command("ACL", "DRYRUN", user, *words, *[key] * more) == "OK"
        except redis.ResponseError:
            continue
    return False


SCRIPT_MAY_NOT = r"can't run this command|can't access|NOPERM|ACL failure in script"


READS_NO_KEY = {"ping", "client|setname", "client|kill", "config|rewrite", "exec", "failover", "info", "multi", "psync",
                "publish", "replconf", "replicaof", "role", "script|kill", "slaveof", "subscribe"}  # fmt: skip


def test_the_servers_follow_each_other_and_reach_no_key(server: Server) -> None:
    with server.user("tester") as tester:
        tester.response_callbacks.clear()
        known = {str(name) for name in tester.execute_command("COMMAND", "LIST")}
        for key in (SLOTS, PENDING, JOBS, FOREIGN):
            allowed = {name for name in known if _would_be_allowed(tester, name, key, "servers")}
            assert allowed <= ANYBODY | READS_NO_KEY
    with server.user("servers") as client, pytest.raises(NoPermissionError):
        client.get(SLOTS)


def test_a_script_may_do_no_more_than_its_user(server: Server) -> None:
    with server.user("tester") as tester, server.user("desk") as desk:
        tester.rpush(JOBS, "one")
        for script in (
            f"return redis.call('LPOP', '{JOBS}')",
            "return redis.call('KEYS', '*')",
            "return redis.call('FLUSHALL')",
            f"return redis.call('XTRIM', '{PENDING}', 'MAXLEN', '0')",
            f"return redis.call('SET', '{TESTS}', 'x')",
        ):
            with pytest.raises(redis.ResponseError, match=SCRIPT_MAY_NOT):
                desk.eval(script, 1, SLOTS)
        assert tester.lrange(JOBS, 0, -1) == ["one"]
        compare_and_set = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('SET', KEYS[1], ARGV[2]) end"
        desk.set(SLOTS, "1", px=60_000)
        assert desk.eval(compare_and_set, 1, SLOTS, "1", "2") == "OK"
        assert desk.get(SLOTS) == "2"


def test_desks_tell_each_other_what_changed_at_a_site_and_hear_nothing_else(server: Server) -> None:
    with server.user("desk") as desk, server.user("worker") as worker:
        for client in (desk, worker):
            ear = client.pubsub()
            ear.subscribe(CHANGES)
            assert ear.get_message(timeout=5) is not None
            desk.publish(CHANGES, "blood 2026-12-01")
            heard = ear.get_message(timeout=5)
            assert heard is not None and heard["data"] == "blood 2026-12-01"
            ear.close()
        ear = worker.pubsub(ignore_subscribe_messages=True)
        ear.subscribe(WAKE)
        ear.get_message(timeout=0.5)
        desk.publish(WAKE, "")
        assert ear.get_message(timeout=5) is not None
        ear.close()
        foreign = ("rq:pubsub:one", "__keyspace@0__:" + SLOTS, "bookcli:sites", "bookcli:changes")
        for channel in (WAKE, *foreign):
            with contextlib.closing(desk.pubsub()) as ear, pytest.raises(NoPermissionError):
                ear.subscribe(channel)
                ear.get_message(timeout=5)
        for channel in foreign:
            with pytest.raises(NoPermissionError):
                desk.publish(channel, "x")


def test_nobody_gets_in_without_a_name_and_a_password(server: Server) -> None:
    for name, password in ((None, None), ("default", ""), (None, "x"), ("desk", "x"), ("worker", PASSWORDS["desk"])):
        with pytest.raises((redis.AuthenticationError, redis.ResponseError)):
            redis.Redis(port=server.port, username=name, password=password, retry=Retry(NoBackoff(), 0)).ping()


DELIVERED, REFUSED = "tests.faults.rq_jobs.delivered", "tests.faults.rq_jobs.refused"


def test_a_desk_cannot_make_a_job(server: Server) -> None:
    with server.user("desk", decoded=False) as desk, server.user("tester") as tester:
        tester.flushall()
        queue = Queue("messages", connection=desk, serializer=JSONSerializer)
        for attempt in (
            lambda: queue.enqueue(DELIVERED, 1),
            lambda: queue.enqueue_many([Queue.prepare_data(DELIVERED, (1,))]),
            lambda: queue.enqueue(DELIVERED, 1, job_id="one", unique=True),
            queue.get_job_ids,
        ):
            with pytest.raises(redis.ResponseError, match=f"(?i)no permissions|{SCRIPT_MAY_NOT}"):
                attempt()
        assert tester.keys("rq:*") == []


def test_a_desk_cannot_be_a_worker(server: Server) -> None:
    done = subprocess.run(
        _worker_words(server, "desk"), cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "NoPermissionError" in done.stderr


def test_a_worker_makes_and_runs_jobs_and_is_refused_nothing_it_asks_for(server: Server) -> None:
    with server.user("worker", decoded=False) as worker, server.user("tester") as tester:
        tester.acl_log_reset()
        queue = Queue("messages", connection=worker, serializer=JSONSerializer)
        good = [queue.enqueue(DELIVERED, 1), *queue.enqueue_many([Queue.prepare_data(DELIVERED, (2,))])]
        good += [queue.enqueue_in(timedelta(seconds=0), DELIVERED, 3)]
        good += [queue.enqueue(DELIVERED, 4, job_id="one", unique=True)]
        bad = queue.enqueue(REFUSED, 5, retry=Retries(max=1))
        process = subprocess.Popen(_worker_words(server, "worker"), cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
        with process:
            _wait_until(lambda: bad.get_status() is JobStatus.FAILED and all(map(_is_done, good)), process)
            send_shutdown_command(worker, Worker.all(connection=worker)[0].name)
            said = process.communicate(timeout=30)[1]
        assert (process.returncode, [job.return_value(refresh=True) for job in good]) == (0, [1, 2, 3, 4]), said
        assert "NoPermission" not in said and "NOPERM" not in said
        assert server.refused("worker") == set()


def _is_done(job: Job) -> bool:
    return job.get_status() is JobStatus.FINISHED


def _worker_words(server: Server, user: str) -> list[str]:
    return [sys.executable, "-m", "tests.faults.rq_worker_process", str(server.port), user, PASSWORDS[user]]


def _wait_until(true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 30
    while not true():
        assert process.poll() is None, "the worker ended"
        assert time.monotonic() < until, "the jobs do not end"
        time.sleep(0.05)


def test_the_attempts_see_a_permission_that_is_too_much(server: Server) -> None:
    with server.user("tester") as tester, server.user("desk") as desk:
        try:
            assert not _attempt(desk, COMMANDS["lpush"], JOBS) and not _attempt(desk, WITHOUT_KEYS["keys"])
            tester.execute_command("ACL", "SETUSER", "desk", "+lpush", "+keys", "~rq:*")
            assert _attempt(desk, COMMANDS["lpush"], JOBS)
            assert not _attempt(desk, COMMANDS["lpush"], FOREIGN)
            tester.execute_command("ACL", "SETUSER", "desk", "~*")
            assert _attempt(desk, WITHOUT_KEYS["keys"])
        finally:
            tester.flushall()
            tester.execute_command("ACL", "LOAD")


def test_the_file_is_refused_until_its_passwords_are_filled_in() -> None:
    for name in PROGRAMS:
        done = subprocess.run(
            [program(name), "--port", str(free_port()), "--save", "", "--aclfile", str(USERS)],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        assert done.returncode != 0
        assert "64 characters" in done.stdout
