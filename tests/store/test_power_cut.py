"""What was acknowledged is on the disk: a power cut, which drops all that was not synced, takes none of it."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from scenes.power_cut import ABSENT, doings, left_by_a_cut, recorded

from headwater.store.engine import sqlite_url

pytestmark = pytest.mark.skipif(bool(ABSENT), reason=ABSENT)
SEEDS = range(16)
COMMITS = 70  # enough for SQLite to carry its journal over in between
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
body = CommandRefused(command="c", code="x", reason="r" * 20_000)
word = Said(body=body, subject="s", project="eta", principal="me", time_us=1)
while True:
    position = writer.commit({}, [word] * 3)[-1].position
    os.write(1, b"%d %d\\n" % (os.stat(os.environ["WRITES_RECORD"]).st_size, position))
"""


def killed_while_it_wrote(store: Path, record: Path, pragma: str, commits: int) -> list[tuple[int, int]]:
    """How long the record was when a writer had acknowledged which position."""
    words = [sys.executable, "-c", WRITES, sqlite_url(store), pragma]
    with subprocess.Popen(words, env=os.environ | recorded(record), stdout=subprocess.PIPE, text=True) as writing:
        assert writing.stdout is not None
        said = [writing.stdout.readline() for _ in range(commits)]
        writing.kill()
    return [(int(length), int(position)) for length, position in map(str.split, said)]


def position_of(store: Path) -> int:
    with closing(sqlite3.connect(store)) as again:
        assert again.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return int(again.execute("SELECT position FROM log_head").fetchone()[0])


def test_a_power_cut_takes_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged = killed_while_it_wrote(tmp_path / "store.db", tmp_path / "writes", "synchronous=FULL", COMMITS)
    done, unsafe, store = list(doings(tmp_path / "writes")), 0, tmp_path / "after.db"
    for seed in SEEDS:
        chance = random.Random(seed)
        at = chance.randint(acknowledged[0][0], acknowledged[-1][0])
        unsafe += left_by_a_cut(done, store, at, chance if seed % 2 else None)
        by_then = max(position for length, position in acknowledged if length <= at)
        assert by_then <= position_of(store) <= by_then + 3, f"seed {seed}"
    assert unsafe > 0


def test_a_store_that_does_not_wait_for_its_disk_would_lose_it(tmp_path: Path) -> None:
    """So the cut above does cut."""
    acknowledged = killed_while_it_wrote(tmp_path / "store.db", tmp_path / "writes", "synchronous=OFF", 10)
    left_by_a_cut(list(doings(tmp_path / "writes")), tmp_path / "after.db", acknowledged[-1][0])
    assert position_of(tmp_path / "after.db") < acknowledged[-1][1]
