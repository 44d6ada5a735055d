"""What README tells a reader to type works as written, on the platform of these tests, after its demo has run.

In ```sh blocks every line is a command, in ```console blocks those after `$ `. A ```python block that begins with
`# folder/file.py` is that file. What gets, builds, starts or stops things, or waits for a person, is left out here.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scenes.life import environment

from headwater.cli.demo import Place
from headwater.sdk import Client

LEFT_OUT = re.compile(r"(git|cd|make|pip|python -m (venv|pip)|\S*headwater (up|down|demo|watch))\b")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WITHIN_S = 100.0


@pytest.fixture(scope="module")
def readme(repo_root: Path) -> str:
    return (repo_root / "README.md").read_text()


def commands(text: str) -> Iterator[str]:
    for language, body in BLOCK.findall(text):
        lines = body.splitlines()
        if language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        if language in ("console", "sh"):
            yield from (line for line in lines if line.strip() and not line.startswith("#"))


def files(text: str) -> Iterator[tuple[str, str]]:
    for language, body in BLOCK.findall(text):
        named = re.match(r"# ([\w/]+\.py)\n", body)
        if language == "python" and named:
            yield named[1], body


def test_the_readmes_commands_run_as_written(hw: Client, platform: Place, readme: str, tmp_path: Path) -> None:
    typed = [line for line in commands(readme) if not LEFT_OUT.match(line)]
    if not typed:
        pytest.skip("README has no commands yet")
    for name, body in files(readme):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(body)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for line in typed:
        done = subprocess.run(
            ["bash", "-ec", line], env={**environment(platform.home), "PATH": path}, cwd=tmp_path,
            capture_output=True, text=True, timeout=WITHIN_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"$ {line}\n{done.stdout}{done.stderr}"


def test_the_readme_names_only_targets_that_make_has(readme: str, repo_root: Path) -> None:
    has = set(re.findall(r"^([a-z]+):", (repo_root / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^(?:\$ )?make ([a-z]+)", readme, re.MULTILINE)) <= has
