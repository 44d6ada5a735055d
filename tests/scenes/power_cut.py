"""What a power cut leaves of a SQLite store: all that was synced, and of the rest nothing, or what chance leaves.

Processes that begin with `recorded(...)` in their environment write down what they do to the store's files (see
`write_record.c`). From that `left_by_a_cut` makes the files anew as a cut at any moment leaves them: a moment is a
length of the record, and what was acknowledged when the record was no longer than that must be there. Names of files
are taken as they were last.
"""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

SOURCE = Path(__file__).with_name("write_record.c")
COMPILER = shutil.which("gcc") or shutil.which("cc")
ABSENT = "" if COMPILER else "No C compiler is installed: what a power cut leaves is not asked"
ENDINGS = ("", "-wal", "-journal")
HEAD = struct.Struct("=cb6xqq")
SECTOR = 512


class Done(NamedTuple):
    """A write (W), cut (T), removal (U) or sync (S) of the file number `file`, at `at` in the record."""

    at: int
    kind: str
    file: int
    place: int
    content: bytes


def recorded(record: Path) -> dict[str, str]:
    """What processes find in their environment whose writes to `store.db` are to be recorded."""
    assert COMPILER is not None, ABSENT
    library = record.with_suffix(".so")
    subprocess.run([COMPILER, "-O2", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "WRITES_RECORD": str(record)}


def left_by_a_cut(done: Sequence[Done], store: Path, at: int, chance: random.Random | None = None) -> int:
    """Makes the store's files as a power cut leaves them at that length of the record; how many writes were not safe.

    Without `chance` none of these is there, otherwise each is, or is not, or its first sectors are.
    """
    done = [one for one in done if one.at < at]
    synced = [max((one.place for one in done if (one.kind, one.file) == ("S", file)), default=0) for file in range(3)]
    files, unsafe = [bytearray() for _ in ENDINGS], 0
    for one in done:
        if one.kind == "U":
            files[one.file].clear()
        elif one.kind != "S":
            is_safe = one.at < synced[one.file]
            unsafe += not is_safe
            apply(files[one.file], one if is_safe else left_of(one, chance))
    for ending, content in zip(ENDINGS, files, strict=True):
        place = store.with_name(store.name + ending)
        place.unlink(missing_ok=True)
        if content or not ending:
            place.write_bytes(content)
    return unsafe


def doings(written: Path) -> Iterator[Done]:
    """What the record says, in order; its last entry may have been cut short by a kill."""
    record, at = written.read_bytes(), 0
    while at + HEAD.size <= len(record):
        kind, file, place, length = HEAD.unpack_from(record, at)
        content = record[at + HEAD.size : at + HEAD.size + length]
        if len(content) == length:
            yield Done(at, kind.decode(), file, place, content)
        at += HEAD.size + length


def left_of(one: Done, chance: random.Random | None) -> Done | None:
    if chance is None or (kept := chance.randrange(3)) == 0:
        return None
    if kept == 1:
        return one
    sectors = chance.randint(0, -(-len(one.content) // SECTOR))
    return one._replace(content=one.content[: sectors * SECTOR])


def apply(file: bytearray, one: Done | None) -> None:
    if one is None:
        return
    if one.kind == "T":
        del file[one.place :]
        file.extend(bytes(one.place - len(file)))
        return
    file.extend(bytes(max(0, one.place - len(file))))
    file[one.place : one.place + len(one.content)] = one.content
