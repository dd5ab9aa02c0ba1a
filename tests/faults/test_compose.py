"""docker-compose.yml without Docker: by the schema of the Compose specification, and by what it must name.

What must stay true: containers and the tests' cluster start from the same files, and no secret stands in any of them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.faults.programs import DEPLOY, HOST, Program, free_ports, private_directory, program, wait_until
from tests.processes import REPOSITORY

COMPOSE = REPOSITORY / "docker-compose.yml"
ONCE = {"prepare"}
"""Services that end by themselves: neither a health check nor a restart."""

SMALL = {"postgres", "valkey", "pgbouncer", "prepare", "worker", "reminders"}
WHOLE = {
    *(
        "pg1",
        "pg2",
        "pg3",
        "etcd1",
        "etcd2",
        "etcd3",
        "haproxy",
        "pgbouncer",
        "prepare",
        "worker",
        "worker2",
        "reminders",
    ),
    *("valkey1", "valkey2", "sentinel1", "sentinel2", "sentinel3"),
}


@cache
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return content


def services() -> dict[str, dict[str, Any]]:
    return dict(compose()["services"])


def enabled(profile: str) -> set[str]:
    return {name for name, one in services().items() if profile in one.get("profiles", [profile])}


def environment(service: dict[str, Any]) -> set[str]:
    """The names of all variables that a container's `start` knows."""
    return set(service.get("environment", {})) | {secret["target"] for secret in service.get("secrets", [])}


def by_schema(file: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("check-jsonschema")
    words: list[str | Path] = [program, "--builtin-schema", "vendor.compose-spec", file]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def make_secrets(directory: Path) -> None:
    subprocess.run(["sh", DEPLOY / "make-secrets"], check=True, env={**os.environ, "BOOKCLI_SECRETS": str(directory)})


def test_the_compose_file_is_what_the_specification_asks_for() -> None:
    done = by_schema(COMPOSE)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("right", "wrong"), [("restart:", "restrat:"), ("driver: local", "driver: [local]")])
def test_the_specification_refuses_a_compose_file_with_a_slip(tmp_path: Path, right: str, wrong: str) -> None:
    text = COMPOSE.read_text()
    assert right in text
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(text.replace(right, wrong))
    assert by_schema(broken).returncode == 1


def test_the_small_one_is_what_starts_when_no_profile_is_named() -> None:
    defaults = dict(line.split("=", 1) for line in (REPOSITORY / ".env").read_text().splitlines() if "=" in line)
    assert defaults == {"COMPOSE_PROFILES": "small"}
    assert enabled("small") == SMALL
    assert enabled("ha") == WHOLE


@pytest.mark.parametrize("profile", ["small", "ha"])
def test_each_name_and_each_port_is_taken_once(profile: str) -> None:
    ours = {name: one for name, one in services().items() if name in enabled(profile)}
    aliases = [
        alias
        for one in ours.values()
        if isinstance(one["networks"], dict)
        for network in one["networks"].values()
        for alias in network["aliases"]
    ]
    assert sorted(aliases) == ["database", "redis"]
    ports = [port for one in ours.values() for port in one.get("ports", [])]
    assert sorted(ports) == [f"${{BOOKCLI_LISTEN:-127.0.0.1}}:{port}:{port}" for port in (6379, 6432)]


@pytest.mark.parametrize("profile", ["small", "ha"])
def test_what_a_service_waits_for_starts_too_and_can_be_waited_for(profile: str) -> None:
    for name in enabled(profile):
        for other, how in services()[name].get("depends_on", {}).items():
            assert other in enabled(profile) or how.get("required") is False, (name, other)
            if how["condition"] == "service_healthy":
                assert "healthcheck" in services()[other], (name, other)


def test_every_service_is_watched_restarted_and_kept_within_bounds() -> None:
    for name, one in services().items():
        assert ("healthcheck" in one, one["restart"]) == ((False, "no") if name in ONCE else (True, "unless-stopped"))
        assert (one["security_opt"], one["cap_drop"]) == (["no-new-privileges:true"], ["ALL"]), name
        assert one["logging"]["options"]["max-size"], name
        assert not one.get("privileged"), name


def test_every_file_volume_secret_and_network_exists_and_is_used() -> None:
    found = services().values()
    mounted = [volume.split(":")[0] for one in found for volume in one.get("volumes", [])]
    paths = {one for one in mounted if one.startswith(".")} | {f for one in found for f in one.get("env_file", [])}
    assert all((REPOSITORY / path).exists() for path in paths)
    assert {one for one in mounted if not one.startswith(".")} == set(compose()["volumes"])
    assert {secret["source"] for one in found for secret in one.get("secrets", [])} == set(compose()["secrets"])
    assert {network for one in found for network in one["networks"]} == set(compose()["networks"])


def test_every_variable_of_the_compose_file_has_a_default() -> None:
    variables = re.findall(r"\$\{([^}]*)\}", COMPOSE.read_text())
    assert {variable.partition(":-")[0] for variable in variables} == {
        "BOOKCLI_LISTEN",
        "BOOKCLI_MAIL_FROM",
        "BOOKCLI_SECRETS",
        "BOOKCLI_CACHE_NAME",
        "BOOKCLI_PUBLISH_DAYS",
        "BOOKCLI_WARM_DAYS",
    }
    assert all(variable.partition(":-")[2] for variable in variables)


def test_every_container_has_the_names_that_its_settings_ask_for() -> None:
    asked = 0
    for name, one in services().items():
        for file in [word for word in one.get("command", []) if (DEPLOY / str(word)).is_file()]:
            text = (DEPLOY / file).read_text()
            wanted = set(re.findall(r"\$\{([A-Z0-9_]+)\}", text)) if file != "start" else set()
            assert wanted <= environment(one), (name, file)
            asked += len(wanted)
    assert asked > 50


def test_containers_and_the_tests_cluster_start_from_the_same_files() -> None:
    only_containers = {"make-secrets", "prepare"}
    files = {path.name for path in DEPLOY.iterdir()} - only_containers
    started = {
        "containers": COMPOSE.read_text(),
        "cluster": "".join((REPOSITORY / f"tests/faults/{name}.py").read_text() for name in ("topology", "programs"))
        + (DEPLOY / "patroni.yml").read_text(),
    }
    assert {side: {file for file in files if file not in text} for side, text in started.items()} == {
        "containers": set(),
        "cluster": set(),
    }


def test_no_secret_stands_in_a_file_and_all_that_are_mounted_are_made(tmp_path: Path) -> None:
    for name, one in services().items():
        values = {
            word: text for word, text in one.get("environment", {}).items() if "PASSWORD" in word or "SECRET" in word
        }
        assert all(text.startswith("/tmp/") for text in values.values()), (name, "a file of the container, or nothing")
    directory = tmp_path / "secrets"
    make_secrets(directory)
    made = {path.name: path.read_text() for path in directory.iterdir()}
    # What a desk on another machine types is mounted nowhere.
    assert set(made) - {"desk_redis_password", "worker_redis_password"} == set(compose()["secrets"])
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    passwords = [text for name, text in made.items() if name.endswith("_password")]
    assert len(set(passwords)) == len(passwords) and all(re.fullmatch("[0-9a-f]{48}", one) for one in passwords)
    for name in ("redis", "desk_redis", "worker_redis"):
        assert made[f"{name}_sha256"] == hashlib.sha256(made[f"{name}_password"].encode()).hexdigest()
    assert made["worker_redis_url"] == f"redis://worker:{made['worker_redis_password']}@redis:6379/0"
    assert made["database_url"] == f"postgresql://bookcli:{made['database_password']}@pgbouncer:6432/bookcli"


def test_the_secrets_are_made_once(tmp_path: Path) -> None:
    made = []
    for _ in range(2):
        make_secrets(tmp_path / "secrets")
        made.append((tmp_path / "secrets/database_password").read_text())
    assert made[0] == made[1]


def test_only_what_prepares_the_database_logs_in_as_its_owner() -> None:
    holders = {name for name, one in services().items() if "database_url" in _sources(one)}
    assert holders == ONCE
    # Whatever command README.md has it run is given the address.
    assert services()["prepare"]["entrypoint"] == ["sh", "/deploy/start"]
    assert "desk" in (DEPLOY / "pgbouncer-users.txt").read_text()
    assert "IN ROLE bookcli_desk" in (DEPLOY / "database.sql").read_text()


def _sources(service: dict[str, Any]) -> set[str]:
    return {secret["source"] for secret in service.get("secrets", [])}


def test_images_are_public_and_of_one_version_or_built_from_the_dockerfile() -> None:
    targets = re.findall(r"^FROM \S+ AS (\S+)$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    for name, one in services().items():
        if "build" in one:
            assert one["build"]["target"] in targets, name
        else:
            assert re.fullmatch(r"[a-z/]+:v?\d[\w.-]*", one["image"]), name


def test_the_image_of_patroni_has_the_version_that_is_tested() -> None:
    (built,) = re.findall(r"^ARG PATRONI=(\S+)$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    assert f'"patroni[etcd3,psycopg3]=={built}"' in (REPOSITORY / "pyproject.toml").read_text()


def test_what_the_dockerfile_copies_is_let_in_and_nothing_else() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    let_in = re.findall(r"^!(\S+)$", (REPOSITORY / ".dockerignore").read_text(), re.MULTILINE)
    assert {word for line in copied for word in line.split()} == set(let_in)
    assert all((REPOSITORY / path).exists() for path in let_in)


def test_the_lease_is_longer_than_two_rounds_and_bookings_wait_for_a_second_disk() -> None:
    dcs = yaml.safe_load((DEPLOY / "patroni.yml").read_text())["bootstrap"]["dcs"]
    assert dcs["loop_wait"] + 2 * dcs["retry_timeout"] <= dcs["ttl"]
    assert (dcs["synchronous_mode"], dcs["synchronous_mode_strict"]) == (True, True)
    assert "synchronous_commit" not in (DEPLOY / "patroni.yml").read_text()


def test_no_template_is_filled_with_a_name_that_is_not_set(tmp_path: Path) -> None:
    words = ["sh", DEPLOY / "start", "-t", DEPLOY / "pgbouncer-users.txt", tmp_path / "users", "true"]
    without = subprocess.run(words, env={"PATH": os.defpath}, capture_output=True, text=True, check=False)
    assert without.returncode != 0 and "DATABASE_PASSWORD is not set" in without.stderr
    assert not (tmp_path / "users").exists()
    names = {"DATABASE_PASSWORD": "a&b\\1", "DESK_PASSWORD": "d", "WORKER_PASSWORD": "w"}
    subprocess.run(words, env={"PATH": os.defpath, **names}, check=True)
    assert (tmp_path / "users").read_text() == '"bookcli" "a&b\\1"\n"desk" "d"\n"worker" "w"\n'
    assert stat.S_IMODE((tmp_path / "users").stat().st_mode) == 0o600


@pytest.mark.parametrize("pidfile", [False, True])
def test_a_pool_that_was_killed_starts_again_because_it_leaves_no_pidfile(tmp_path: Path, pidfile: bool) -> None:
    (port,) = free_ports(1)
    home = Path(tempfile.mkdtemp(prefix="bookcli-pool-", dir="/tmp"))
    private, stale = private_directory(home / "pgbouncer"), home / "stale.pid"
    home.chmod(0o755)
    # The process id of the dead pool belongs to somebody else by now, as it always does in a container.
    stale.write_text(str(os.getpid()))
    settings = (DEPLOY / "pgbouncer.ini").read_text() + (f"pidfile = {stale}\n" if pidfile else "")
    (home / "pgbouncer.ini").write_text(settings)
    names = {"DATABASE_HOST": HOST, "DATABASE_PORT": "1", "POOL_LISTEN": HOST, "POOL_PORT": str(port)}
    words = ["-t", home / "pgbouncer.ini", private / "pgbouncer.ini", program("pgbouncer"), private / "pgbouncer.ini"]
    pool = Program(words, home, {**names, "POOL_USERS": "/dev/null"}, home / "log")
    try:
        pool.start()
        wait_until(lambda: not pool.running or "process up" in pool.log.read_text(), 20, "the pool starts or gives up")
        assert pool.running is not pidfile
    finally:
        pool.kill()
        shutil.rmtree(home)
