"""A desk tells its secrets only to servers that show who they are: to all others one sentence, code 75, nothing sent.

What must stay true: each refusal is shown beside the same address that works, so none has another reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from bookcli.core.config import Settings
from bookcli.core.context import Context
from bookcli.core.errors import Unavailable
from bookcli.core.services import servers as services
from bookcli.core.services import slots
from bookcli.core.services.slots import Search
from tests import clinic as clinics
from tests.cli.commands import process
from tests.secure_servers import Authority, Clusters, Eavesdropper, SecurePostgres, secure_redis
from tests.servers import load_schema

HOST, OTHER_HOST = "db.clinic.test", "other.clinic.test"
PASSWORD = "a secret of the desk"
PATIENT = "P1"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("authorities")


@pytest.fixture(scope="module")
def authority(directory: Path) -> Authority:
    return Authority(directory)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that has signed nothing here."""
    return Authority(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def clusters() -> Iterator[Clusters]:
    made = Clusters()
    yield made
    made.close()


@pytest.fixture(scope="module")
def postgres(clusters: Clusters, authority: Authority) -> Iterator[SecurePostgres]:
    """A server with a clinic in it and a certificate that is right for HOST."""
    with clusters.server(authority.issue(HOST)) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as admin:
            admin.execute(f"ALTER ROLE postgres PASSWORD '{PASSWORD}'")
        load_schema(server.dsn())
        clinics.fill(server.dsn())
        yield server


def _address(port: int, trusted: Path, *, host: str = HOST) -> str:
    """What README.md says to put in BOOKCLI_DATABASE_URL; hostaddr stands for the name service of a clinic."""
    query = {"sslmode": "verify-full", "sslrootcert": str(trusted), "hostaddr": "127.0.0.1"}
    return f"postgresql://postgres:{quote(PASSWORD)}@{host}:{port}/postgres?{urlencode(query)}"


def _book(address: str, **more: str) -> tuple[int, str]:
    """The exit code and the words of a desk that books."""
    words = ("book", "--patient", PATIENT, "--test", "mri", "--site", "north", "--on", "+2d")
    answer = process(*words, BOOKCLI_DATABASE_URL=address, **more)
    return answer.code, answer.err


def _refused(address: str, sentence: str) -> None:
    code, said = _book(address)
    assert (code, sentence in said) == (75, True), said
    assert said.count(". ") <= 2 and "Traceback" not in said
    assert PASSWORD not in said and PATIENT not in said
    with pytest.raises(Unavailable) as refusal, Context(Settings(database_url=address)) as context:
        context.connection()
    assert (refusal.value.code, refusal.value.message) == ("database-untrusted", sentence)
    assert "Nothing was sent" in refusal.value.hint


def test_a_desk_books_over_tls_when_authority_and_name_are_right(
    postgres: SecurePostgres, authority: Authority
) -> None:
    address = _address(postgres.port, authority.file)
    with Context(Settings(database_url=address)) as context:
        assert context.connection().pgconn.ssl_in_use
        clinics.sign_in(context)
        context.keep(context.session)
        assert slots.find(context, Search("mri", _days(context), sites=["north"]))
    assert _book(address)[0] == 0


def _days(context: Context) -> tuple[object, object]:
    day = clinics.Clinic(context, context.connection()).day(2)
    return day, day


def test_an_authority_nobody_trusts_and_a_wrong_name_are_refused(
    postgres: SecurePostgres, authority: Authority, stranger: Authority
) -> None:
    logins, attempts = postgres.logins(), postgres.network_attempts()
    _refused(
        _address(postgres.port, stranger.file),
        "The database's certificate has expired, or the settings do not trust its authority.",
    )
    _refused(
        _address(postgres.port, authority.file, host=OTHER_HOST),
        "The database's certificate is for another host than the one in the settings.",
    )
    assert postgres.network_attempts() > attempts
    assert postgres.logins() == logins


def test_without_verify_full_a_server_of_another_name_would_be_told_everything(postgres: SecurePostgres) -> None:
    """What the refusals above guard against: the same server under the same wrong name, asked for less."""
    logins = postgres.logins()
    careless = _address(postgres.port, Path(), host=OTHER_HOST).replace("verify-full&sslrootcert=.", "require")
    assert "sslmode=require&hostaddr" in careless
    with Context(Settings(database_url=careless)) as context:
        assert context.connection().pgconn.ssl_in_use
    assert postgres.logins() == logins + 1


def test_a_trusted_file_that_is_missing_is_named(postgres: SecurePostgres, directory: Path) -> None:
    _refused(
        _address(postgres.port, directory / "missing.pem"),
        "The file of trusted authorities that the settings name cannot be read.",
    )


def test_a_certificate_that_has_expired_is_refused(clusters: Clusters, authority: Authority) -> None:
    with clusters.server(authority.issue(HOST, expired=True)) as server:
        _refused(
            _address(server.port, authority.file),
            "The database's certificate has expired, or the settings do not trust its authority.",
        )
        assert (server.network_attempts() > 0, server.logins()) == (True, 0)


def test_a_server_without_tls_is_refused(clusters: Clusters, authority: Authority) -> None:
    with clusters.server(None) as server:
        _refused(
            _address(server.port, authority.file),
            "The database's server offers no encrypted connection, and the settings ask for one.",
        )


def test_somebody_who_plays_the_server_hears_nothing(authority: Authority) -> None:
    liar = Eavesdropper(b"N")
    try:
        _refused(
            _address(liar.port, authority.file),
            "The database's server offers no encrypted connection, and the settings ask for one.",
        )
    finally:
        liar.close()
    question = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"  # SSLRequest, and no byte more
    assert liar.heard and liar.heard == question * (len(liar.heard) // len(question))


def test_the_role_that_works_in_the_clear_is_refused_by_the_server(postgres: SecurePostgres) -> None:
    """The other side of it: with `hostssl` in pg_hba.conf a desk that forgets sslmode does not get in."""
    plain = f"postgresql://postgres:{quote(PASSWORD)}@127.0.0.1:{postgres.port}/postgres?sslmode=disable"
    assert _book(plain)[0] == 5


@pytest.fixture(scope="module")
def queue(authority: Authority) -> Iterator[int]:
    """A Redis with a certificate that is right for localhost."""
    with secure_redis(authority.issue("localhost")) as port:
        yield port


def _queue(port: int, trusted: Path, *, host: str = "localhost", scheme: str = "rediss") -> redis.Redis:
    """A client as traps.md sets one, at what README.md says to put in BOOKCLI_REDIS_URL."""
    query = urlencode({"ssl_ca_certs": str(trusted), "ssl_check_hostname": "true"}) if scheme == "rediss" else ""
    return redis.Redis.from_url(
        f"{scheme}://{host}:{port}/0?{query}",
        socket_timeout=0.25,
        socket_connect_timeout=0.25,
        retry=Retry(NoBackoff(), 0),
    )


def test_a_queue_answers_over_tls_when_authority_and_name_are_right(queue: int, authority: Authority) -> None:
    assert _queue(queue, authority.file).ping()


def test_a_queue_that_does_not_show_who_it_is_is_refused(queue: int, authority: Authority, stranger: Authority) -> None:
    with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
        _queue(queue, stranger.file).ping()
    with pytest.raises(redis.ConnectionError, match="IP address mismatch"):
        _queue(queue, authority.file, host="127.0.0.1").ping()
    with pytest.raises(redis.ConnectionError):
        _queue(queue, authority.file, scheme="redis").ping()


def test_a_queue_with_an_expired_certificate_is_refused(authority: Authority) -> None:
    with (
        secure_redis(authority.issue("localhost", expired=True)) as port,
        pytest.raises(redis.ConnectionError, match="certificate has expired"),
    ):
        _queue(port, authority.file).ping()


def test_somebody_who_plays_the_queue_hears_no_command(authority: Authority) -> None:
    liar = Eavesdropper(b"+PONG\r\n")
    try:
        with pytest.raises(redis.ConnectionError):
            _queue(liar.port, authority.file).ping()
    finally:
        liar.close()
    assert liar.heard[:2] == b"\x16\x03"  # a TLS handshake
    assert b"PING" not in liar.heard and b"HELLO" not in liar.heard


TRUSTED = "sslmode=verify-full&sslrootcert=/etc/bookcli/authority.pem"


@pytest.mark.parametrize(
    ("setting", "address", "well"),
    [
        *(
            ("database_url", address, False)
            for address in (
                "postgresql://desk@db.clinic.test/bookcli",
                "postgresql://desk@db.clinic.test/bookcli?sslmode=require",
                "postgresql://desk@localhost,db.clinic.test/bookcli?sslmode=verify-ca",
                "postgresql://desk@localhost/bookcli?hostaddr=192.0.2.7",
                "host=192.0.2.7 dbname=bookcli",
            )
        ),
        *(
            ("database_url", address, True)
            for address in (
                f"postgresql://desk@db.clinic.test/bookcli?{TRUSTED}",
                "postgresql://desk@127.0.0.1:6432/bookcli",
                "postgresql://desk@[::1]/bookcli",
                "postgresql:///bookcli?host=/run/postgresql",
                "no address",
                "postgresql://[::1",
            )
        ),
        *(
            ("redis_url", address, False)
            for address in (
                "redis://queue.clinic.test:6379/0",
                "rediss://queue.clinic.test/0?ssl_cert_reqs=none",
                "rediss://queue.clinic.test/0?ssl_check_hostname=No",
            )
        ),
        *(
            ("redis_url", address, True)
            for address in (
                "rediss://desk:x@queue.clinic.test/0?ssl_ca_certs=/etc/bookcli/authority.pem",
                "redis://localhost:6379/0",
                "unix:///run/redis/redis.sock",
                "redis://[::1",
            )
        ),
    ],
)
def test_the_doctor_says_which_address_crosses_a_network_unprotected(
    context: Context, setting: str, address: str, well: bool
) -> None:
    settings = replace(context.settings, **{setting: address}, deadline="1")
    name = {"database_url": "database address", "redis_url": "queue address"}[setting]
    with Context(settings, context.paths) as patient:
        (finding,) = [one for one in services.transport(patient) if one.check == name]
    assert finding.well is well, finding


def test_the_environment_of_the_driver_counts_too(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(context.settings, database_url="postgresql://desk@db.clinic.test/bookcli")
    with Context(settings, context.paths) as patient:
        monkeypatch.setenv("PGSSLMODE", "verify-full")
        assert all(one.well for one in services.transport(patient))
        monkeypatch.setenv("PGSSLMODE", "require")
        assert not all(one.well for one in services.transport(patient))


@pytest.mark.parametrize(
    ("right", "wrong"), [(quote(PASSWORD), "wrong"), ("/postgres?", "/nowhere?")], ids=["password", "database"]
)
def test_a_machine_that_is_not_let_in_is_told_so_and_nothing_waits(
    postgres: SecurePostgres, authority: Authority, own_environment: Path, right: str, wrong: str
) -> None:
    """A wrong address is no outage: a request that was kept for it would wait for ever."""
    wrong = _address(postgres.port, authority.file).replace(right, wrong)
    code, said = _book(wrong)
    assert (code, said.splitlines()[0]) == (5, "The database does not let this machine in.")
    assert PASSWORD not in said and not (own_environment / "data" / "spool").exists()
