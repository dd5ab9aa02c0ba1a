"""The tools that keep the house: each is run as a person would run it, and must have nothing to say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import REPOSITORY

TOOLS = {
    "layers": ["lint-imports", "--no-cache"],
    "types": ["mypy"],
    "rules": ["ruff", "check", "."],
    "format": ["ruff", "format", "--check", "."],
}


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_finds_nothing(tool: str) -> None:
    name, *words = TOOLS[tool]
    program = Path(sys.executable).with_name(name)
    done = subprocess.run([program, *words], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_layers_rule_sees_a_wrong_import(tmp_path: Path) -> None:
    for package in ("bookcli/cli", "bookcli/tui", "bookcli/core/services", "bookcli/core/model", "worker"):
        (tmp_path / package).mkdir(parents=True)
    for directory in [path for path in tmp_path.rglob("*") if path.is_dir()]:
        (directory / "__init__.py").touch()
    (tmp_path / "bookcli/core/model/wrong.py").write_text("import bookcli.core.services\n")
    text = (
        '[tool.importlinter]\nroot_packages = ["bookcli", "worker"]\n[[tool.importlinter.contracts]]\n'
        'name = "one way"\ntype = "layers"\nlayers = ["bookcli.core.services", "bookcli.core.model"]\n'
    )
    (tmp_path / "pyproject.toml").write_text(text)
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([program, "--no-cache"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "bookcli.core.model.wrong -> bookcli.core.services" in done.stdout
