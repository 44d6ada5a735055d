"""A writer that is stopped inside its transaction, on PostgreSQL: the server ends its session, and the others go on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from scenes.postgres import Server

from headwater.store.engine import create, open_engine
from headwater.store.postgres import Waits
from headwater.store.reader import Reader
from headwater.store.writer import Writer
from headwater.wire.entries.events import CommandRefused
from headwater.wire.types import Said

pytestmark = pytest.mark.faults
SILENT_S = 1.0
BUSY_S = 15.0  # what a busy machine may take longer
STOPS = """
import os, signal, sys
from headwater.store.engine import open_engine
from headwater.store.postgres import Waits
from headwater.store.writer import CommitFailed, Fenced, Writer
from headwater.wire.types import CommandRefused, Said

def stop(connection):
    os.kill(os.getpid(), signal.SIGSTOP)
    return ""

writer = Writer(open_engine(sys.argv[1], waits=Waits(silent_s=float(sys.argv[2]))), "conductor")
writer.take_epoch()
body = CommandRefused(command="c", code="x", reason="old")
word = Said(body=body, subject="s", project="p", principal="me", time_us=1)
try:
    writer.commit({}, [word], [stop])
except CommitFailed:
    print("failed")
try:
    print("landed" if writer.landed() else "not landed")
except Fenced:
    print("fenced")
"""


@pytest.mark.parametrize(("owner", "told"), [("scheduler", "not landed"), ("conductor", "fenced")])
def test_the_others_write_once_it_was_silent_for_the_setting_and_it_writes_nothing_when_it_wakes(
    postgres: Server, owner: str, told: str
) -> None:
    url = postgres.migrated()
    create(url, store_epoch="one")
    words = [sys.executable, "-c", STOPS, url, str(SILENT_S)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as stopped:
        os.waitpid(stopped.pid, os.WUNTRACED)
        began, engine = time.monotonic(), open_engine(url, waits=Waits(silent_s=SILENT_S))
        other = Writer(engine, owner)
        other.take_epoch()
        body = CommandRefused(command="c", code="x", reason="new")
        other.commit({}, [Said(body=body, subject="s", project="p", principal="me", time_us=1)])
        assert time.monotonic() - began < SILENT_S + BUSY_S
        stopped.send_signal(signal.SIGCONT)
        assert stopped.communicate(timeout=60)[0].split("\n")[:2] == ["failed", told]
    assert [entry.body for entry in Reader(engine).entries(0)] == [body]
    other.close()
    engine.dispose()


def test_the_server_asks_soon_whether_a_machine_that_says_nothing_is_there(postgres: Server) -> None:
    """One that is gone in the middle of what it sends is idle in no transaction: only the line's own bound ends it."""
    engine = open_engine(postgres.database(), waits=Waits(silent_s=SILENT_S))
    with engine.connect() as connection:
        asked = [connection.exec_driver_sql(f"SHOW tcp_keepalives_{what}").scalar() for what in ("idle", "interval")]
    engine.dispose()
    assert asked == ["1", "1"]
