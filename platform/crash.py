"""Points at which a test has the process that comes by killed. Without HEADWATER_CRASH they do nothing.

The variable names a folder. A file in it that is named as a point arms the point: it holds a number, and whoever
comes by for the so many'th time takes the file away and is killed with SIGKILL, as by the kernel: nothing is
flushed, no one is told. `1 stop` has the process stopped there instead, until a test sends SIGCONT. The parser is
armed by a text: each record with that text in it kills. The database's answers are armed by `SEED N`: one in N is
lost, after the commit. The owners' clock is ahead of the machine's by so many seconds as the file of that name says.
"""

from __future__ import annotations

import functools
import os
import random
import signal
from pathlib import Path
from typing import Final, Literal, get_args

from .errors import InvalidInput

VARIABLE: Final = "HEADWATER_CRASH"

Point = Literal[
    "t1.before",  # a batch of records is parsed, and nothing of it is written
    "t1.inside",  # the transaction that takes events in has begun, and not committed
    "t1.after",  # it has committed, and ingest does not know
    "t2.inside",  # the transaction that leases has begun, and not committed; a worker may stand ready
    "t2.after",  # attempts are LEASED, and their workers have not heard
    "t2.answer",  # attempts are LEASED, and the Scheduler has not heard
    "dispatch.answer",  # a worker has reported, and the Conductor has not taken it in
    "attempt.start",  # a worker has the attempt, and user code has not begun
    "attempt.effect",  # user code has ended, and its worker has not reported
    "t4.inside",  # the transaction that completes steps has begun, and not committed
    "t4.answer",  # outcomes are durable, and the FlowHost has not heard
    "t5.before",  # an append is in the catalog, and the log does not say so
    "relay.mark",  # entries are published, and not marked
    "command.answer",  # a command was obeyed, and whoever gave it has not heard
]
POINTS: Final[tuple[str, ...]] = get_args(Point)
PARSER: Final = "ingest.parse"
ANSWERS: Final = "store.answers"
CLOCK: Final = "clock.ahead"
STOP: Final = "stop"


def at(point: Point) -> None:
    """Ends this process where a test has armed the point for it."""
    folder = armed_folder()
    if folder is not None:
        _come_by(folder / point)


def at_sight_of(record: bytes | None) -> None:
    """Ends this process where a test has armed the parser for such a record."""
    folder = armed_folder()
    if folder is None:
        return
    try:
        wanted = (folder / PARSER).read_bytes()
    except FileNotFoundError:
        return
    if wanted and wanted in (record or b""):
        _die()


def loses_answer() -> bool:
    """Whether a test has this answer of the database lost: one in so many, by the seed in the file that arms it."""
    folder = armed_folder()
    if folder is None:
        return False
    try:
        seed, one_in = (folder / ANSWERS).read_text().split()
    except FileNotFoundError:
        return False
    return _dice(seed).randrange(int(one_in)) == 0


def clock_ahead_us() -> int:
    """How far a test has set the owners' clock ahead of the machine's."""
    folder = armed_folder()
    if folder is None:
        return 0
    try:
        return int(float((folder / CLOCK).read_text()) * 1_000_000)
    except FileNotFoundError:
        return 0


@functools.cache
def _dice(seed: str) -> random.Random:
    return random.Random(f"{seed} {os.getpid()}")


@functools.cache
def armed_folder() -> Path | None:
    """Where points are armed; None outside of tests. Raises InvalidInput where there is no such folder."""
    name = os.environ.get(VARIABLE)
    if not name:
        return None
    if not Path(name).is_dir():
        raise InvalidInput(f"{VARIABLE} is {name!r}, which is no folder", remedy="It is for tests: leave it unset")
    return Path(name)


def _come_by(file: Path) -> None:
    try:
        left, _, how = file.read_text().partition(" ")
    except FileNotFoundError:
        return
    if int(left) > 1:
        file.write_text(f"{int(left) - 1} {how}".strip())
        return
    file.unlink()
    if how == STOP:
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
