"""What the guides name is there: commands are understood as typed, files are taken, settings are known."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from headwater.cli.app import app
from headwater.config import load, read_packaged
from headwater.quota.scenario import parse_scenario

TEXTS = {file.name: file.read_text() for file in sorted((Path(__file__).parents[2] / "docs").glob("*.md"))}
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
ASSIGNED = re.compile(r"([A-Z_]+=\S+ )*")
SETTING = re.compile(r"`([a-z]+)\.([a-z_]+_(?:s|bytes|limit))`")


def commands(text: str) -> Iterator[str]:
    """The lines of shell blocks, and the commands inside sentences."""
    for language, block in FENCED.findall(text):
        for line in block.splitlines() if language in ("", "bash", "sh", "console") else ():
            bare = ASSIGNED.sub("", line.removeprefix("$ "), count=1)
            if bare.startswith("headwater "):
                yield bare.partition("  #")[0]
    yield from re.findall(r"`(headwater [a-z][^`]*)`", FENCED.sub("", text))


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_commands_of_a_guide_are_understood(text: str) -> None:
    for line in commands(text):
        command: Any = typer.main.get_command(app)
        words = shlex.split(line.replace("…", ""))[1:]
        while words and (inner := getattr(command, "commands", {}).get(words[0])) is not None:
            command, words = inner, words[1:]
        is_group = hasattr(command, "commands")
        assert not is_group or (command.invoke_without_command and not words), f"{line}: there is no such command"
        known = {option for parameter in command.params for option in parameter.opts}
        given = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert given <= known, f"{line}: there is no {given - known}"


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_files_of_a_guide_are_taken(text: str, tmp_path: Path) -> None:
    for language, block in FENCED.findall(text):
        if language != "toml":
            continue
        written = tomllib.loads(block)
        if "steps" in written:
            assert parse_scenario(written, now_us=0)
        else:
            (tmp_path / "mine.toml").write_text(block)
            assert load(tmp_path / "mine.toml", environment={})


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_settings_that_a_guide_names_are_known(text: str) -> None:
    known = read_packaged("local")
    named = set(SETTING.findall(text))
    assert {f"{section}.{key}" for section, key in named if key not in known.get(section, {})} == set()
