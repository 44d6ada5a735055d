"""What docs/operations.md and docs/triggers.md tell an operator to type does what they say, on a running platform."""

from __future__ import annotations

import hashlib
import hmac
import re
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from scenes.cluster import node_of
from scenes.hearing import Ear
from scenes.life import headwater

from headwater.cli.demo import Place
from headwater.sdk import Client
from headwater.wire.entries.runs import RunAccepted


@pytest.fixture(scope="module")
def guides(repo_root: Path) -> str:
    return "".join((repo_root / "docs" / f"{name}.md").read_text() for name in ("operations", "triggers"))


def test_a_node_is_drained_and_restored(hw: Client, platform: Place, guides: str) -> None:
    (node,) = hw.nodes()
    drain = re.search(r"^headwater (node drain) gpu-7", guides, re.MULTILINE)
    assert drain is not None
    try:
        done = headwater(*drain[1].split(), node.id, home=platform.home)
        assert (done.code, node_of(hw, node.id).state) == (0, "DRAINED"), done.err
    finally:
        hw.order("node.drain", {"node": node.id, "drained": False})
    assert node_of(hw, node.id).state == "READY"


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="The command sqlite3 is not installed")
def test_a_backup_of_a_running_store_is_whole(hw: Client, platform: Place, guides: str, tmp_path: Path) -> None:
    line = re.search(r"`(sqlite3 HOME/store.db [^`]*)`", guides)
    assert line is not None
    run = hw.run("eta/double", {"n": 4})
    subprocess.run(["bash", "-ec", line[1].replace("HOME", str(platform.home))], cwd=tmp_path, check=True)
    with closing(sqlite3.connect(tmp_path / "store-copy.db")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("SELECT id FROM runs WHERE id = ?", (run.id,)).fetchone() == (run.id,)


def test_a_webhook_that_was_made_as_told_starts_a_flow(hw: Client, platform: Place, guides: str) -> None:
    line = re.search(r"^mkdir -p .headwater/webhooks.*$", guides, re.MULTILINE)
    assert line is not None
    subprocess.run(["bash", "-ec", line[0].replace(".headwater", str(platform.home))], check=True)
    ear, body = Ear(hw), b'{"action": "opened"}'
    secret = (platform.home / "webhooks" / "github").read_bytes().strip()
    signature = f"sha256={hmac.new(secret, body, hashlib.sha256).hexdigest()}"
    headers = {"x-hub-signature-256": signature, "content-type": "application/json"}
    assert httpx.post(f"{platform.url}/hooks/github", content=body, headers=headers, timeout=30).status_code == 202
    _, accepted = ear.next(RunAccepted, lambda body: body.flow == "look_at_github")
    assert accepted.parameters == {"action": "opened"}
