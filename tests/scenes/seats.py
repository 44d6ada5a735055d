"""Who is in the seats of a deployment whose replicas lease devices."""

from __future__ import annotations

from pathlib import Path

import psutil

from headwater.cli.demo import Place


def holder_of(lock: Path) -> psutil.Process:
    """The process that holds the lock."""
    inode = str(lock.stat().st_ino)
    locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    [pid] = [words[4] for words in locks if words[5].endswith(f":{inode}")]
    return psutil.Process(int(pid))


def replicas_of(place: Place, model: str) -> list[psutil.Process]:
    """Those that have a seat."""
    return [holder_of(lock) for lock in sorted((place.home / "serving" / model).glob("*.replica"))]
