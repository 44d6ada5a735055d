"""Carries out what `core/log_keeping.py` decides: lists the logs of runs, asks the rows, removes files and folders.

The folder of a run that goes on keeps a note of what was removed from it, which its readers are told.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

from ..actors.work.log_file import SUFFIX
from ..core.log_keeping import Log, expendable
from ..store.queries import Queries

NOTE: Final = "removed"
FLOW: Final = "flow"


class Swept(NamedTuple):
    gone: list[Log]
    kept: list[Log]


@dataclass(frozen=True, slots=True)
class LogKeeper:
    """`folder` holds a folder for each run."""

    folder: Path
    queries: Queries
    keep_us: int
    total_max_bytes: int

    def sweep(self, now_us: int) -> Swept:
        """What is gone now, and what is left. Blocking."""
        logs = list(self._known(list(self._there())))
        gone = expendable(logs, before_us=now_us - self.keep_us, total_max_bytes=self.total_max_bytes)
        by_run: defaultdict[str, list[Log]] = defaultdict(list)
        for log in gone:
            by_run[log.run_id].append(log)
        for run_id, some in by_run.items():
            self._remove(self.folder / run_id, some)
        taken = {(log.run_id, log.name) for log in gone}
        return Swept(gone, [log for log in logs if (log.run_id, log.name) not in taken])

    def _there(self) -> Iterator[Log]:
        for folder in self.folder.iterdir() if self.folder.is_dir() else ():
            for path in folder.glob(f"*{SUFFIX}"):
                with contextlib.suppress(FileNotFoundError):  # a piece went while we looked
                    stats = [each.stat() for each in _pieces(path)]
                    size_bytes = sum(one.st_size for one in stats)
                    written_us = max(one.st_mtime_ns for one in stats) // 1_000
                    yield Log(folder.name, path.name.removesuffix(SUFFIX), size_bytes, written_us)

    def _known(self, logs: list[Log]) -> Iterator[Log]:
        """With what the rows say; a run that they know no more ended at the latest with its last word."""
        ends = self.queries.ends_of({log.run_id for log in logs})
        at_work = self.queries.attempts_at_work()
        for log in logs:
            ended_us = ends.get(log.run_id, log.written_us)
            is_busy = (log.run_id, log.name) in at_work or (ended_us is None and log.name == FLOW)
            yield replace(log, ended_us=ended_us, at_work=is_busy)

    def _remove(self, folder: Path, logs: Iterable[Log]) -> None:
        removed_bytes = 0
        for log in logs:
            for path in _pieces(folder / f"{log.name}{SUFFIX}"):
                path.unlink(missing_ok=True)
            removed_bytes += log.size_bytes
        if any(folder.glob(f"*{SUFFIX}")):
            with (folder / NOTE).open("a") as note:
                note.write(f"{removed_bytes}\n")
            return
        (folder / NOTE).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something was written meanwhile
            folder.rmdir()


def removed_bytes(folder: Path) -> int:
    """How much was removed from the logs of a run that has others left."""
    with contextlib.suppress(FileNotFoundError):
        return sum(int(line) for line in (folder / NOTE).read_text().splitlines())
    return 0


def _pieces(path: Path) -> list[Path]:
    return [path, *path.parent.glob(f"{path.name}@*")]
