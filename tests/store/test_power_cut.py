"""What was acknowledged is on the disk: a power cut, which drops all that was not synced, takes none of it."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from scenes.power_cut import ABSENT, left_by_a_cut, recorded

from headwater.store.engine import sqlite_url

pytestmark = pytest.mark.skipif(bool(ABSENT), reason=ABSENT)
SEEDS = range(6)
COMMITS = 160  # enough for SQLite to carry its journal over in between
WRITES = """
import os, sys
import sqlalchemy as sa
from headwater.store.engine import create, open_engine
from headwater.store.writer import Writer
from headwater.wire.types import CommandRefused, Said
url, pragma = sys.argv[1:]
create(url, store_epoch="one")
engine = open_engine(url)
sa.event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA " + pragma))
writer = Writer(engine, "conductor")
writer.take_epoch()
body = CommandRefused(command="c", code="x", reason="r" * 2_000)
word = Said(body=body, subject="s", project="eta", principal="me", time_us=1)
while True:
    os.write(1, b"%d\\n" % writer.commit({}, [word] * 3)[-1].position)
"""


def killed_while_it_wrote(url: str, pragma: str, environment: Mapping[str, str], commits: int) -> int:
    """The last position that a writer acknowledged."""
    words = [sys.executable, "-c", WRITES, url, pragma]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE) as writing:
        assert writing.stdout is not None
        said = [int(writing.stdout.readline()) for _ in range(commits)]
        writing.kill()
        said += [int(line) for line in writing.stdout if line.endswith(b"\n")]
    return said[-1]


def after_the_cut(record: Path, store: Path, chance: random.Random | None = None) -> int:
    """The last position that the store still knows."""
    store.parent.mkdir(exist_ok=True)
    left_by_a_cut(record, store, chance)
    with closing(sqlite3.connect(store)) as again:
        assert again.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(again.execute("SELECT position FROM log_head").fetchone()[0])


def test_a_power_cut_takes_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    store, record = tmp_path / "store.db", tmp_path / "writes"
    environment = os.environ | recorded(record)
    acknowledged = killed_while_it_wrote(sqlite_url(store), "synchronous=FULL", environment, COMMITS)
    for chance in (None, *map(random.Random, SEEDS)):
        assert after_the_cut(record, tmp_path / "after" / "store.db", chance) >= acknowledged


def test_a_store_that_does_not_wait_for_its_disk_would_lose_it(tmp_path: Path) -> None:
    """So the cut above does cut."""
    store, record = tmp_path / "store.db", tmp_path / "writes"
    environment = os.environ | recorded(record)
    acknowledged = killed_while_it_wrote(sqlite_url(store), "synchronous=OFF", environment, 10)
    assert after_the_cut(record, tmp_path / "after" / "store.db") < acknowledged
