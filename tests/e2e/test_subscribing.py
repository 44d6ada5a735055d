"""The examples of docs/subscribing.md, run as they stand there, one after the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from headwater.cli.demo import Place
from headwater.sdk import Client

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_examples_of_the_guide_do_what_they_say(
    repo_root: Path, hw: Client, platform: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HEADWATER_URL", platform.url)
    monkeypatch.setenv("HEADWATER_TOKEN", platform.token)
    blocks = BLOCK.findall((repo_root / "docs" / "subscribing.md").read_text())
    assert len(blocks) == 6
    names: dict[str, Any] = {"__name__": "guide"}
    for block in blocks:
        exec(compile(block, "docs/subscribing.md", "exec"), names)
    names["hw"].close()
    said = capsys.readouterr().out
    for expected in (
        "run.succeeded guide\n",
        "True\n",
        "10\n",
        "{'n': {'type': 'int', 'value': 3}}\n{'type': 'int', 'value': 6}\n6\n",
    ):
        assert expected in said
