"""Child processes that are surely ended: each is known by its pid and the time it started.

A pid alone may be given to a stranger once its process is gone. Whoever starts a child writes both
into a pid file; after a SIGKILL the next life reads it and ends what is still there, and only that.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil

from ..errors import Unavailable

TAIL_BYTES = 16_384
WORDS_MAX = 400
SAME_START_S = 2.0  # the kernel counts from boot, and the wall clock of boot may be corrected


class ProcessId(msgspec.Struct, frozen=True):
    """One process and no other: `started` is seconds since 1970."""

    pid: int
    started: float


def identify(pid: int) -> ProcessId | None:
    """The identity of the process that has `pid` now; None where none lives."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if process.status() != psutil.STATUS_ZOMBIE:
            return ProcessId(pid, process.create_time())
    return None


def is_alive(known: ProcessId) -> bool:
    now = identify(known.pid)
    return now is not None and abs(now.started - known.started) < SAME_START_S


def end(known: Iterable[ProcessId], *, grace_s: float = 10.0) -> list[ProcessId]:
    """Those that had to be killed: all get SIGTERM, and SIGKILL where `grace_s` did not suffice."""
    living = {each.pid: each for each in known if is_alive(each)}
    processes = []
    for each in living.values():
        with suppress(psutil.Error):
            processes.append(psutil.Process(each.pid))
            processes[-1].terminate()
    _, stubborn = psutil.wait_procs(processes, timeout=grace_s)
    for process in stubborn:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(stubborn, timeout=5.0)
    return [living[process.pid] for process in stubborn]


def descendants(known: ProcessId) -> list[ProcessId]:
    """Every process below `known`, nearest first; none where it is gone."""
    if not is_alive(known):
        return []
    with suppress(psutil.Error):
        found = [identify(child.pid) for child in psutil.Process(known.pid).children(recursive=True)]
        return [each for each in found if each is not None]
    return []


def remember(pid_file: Path, known: Sequence[ProcessId]) -> None:
    """Write the identities whole: a reader sees the old list or the new."""
    fresh = pid_file.with_name(pid_file.name + ".new")
    fresh.write_bytes(msgspec.json.encode(known))
    fresh.replace(pid_file)


def recall(pid_file: Path) -> list[ProcessId]:
    """The identities that `remember` wrote; none where the file is missing or was torn."""
    try:
        return msgspec.json.decode(pid_file.read_bytes(), type=list[ProcessId])
    except (FileNotFoundError, msgspec.DecodeError):
        return []


def end_leftovers(pid_file: Path, *, grace_s: float = 10.0) -> list[ProcessId]:
    """Those of an earlier life that were still there, with all below them; now ended, and the file gone."""
    left = [each for each in recall(pid_file) if is_alive(each)]
    below = [child for each in left for child in descendants(each)]
    end(left, grace_s=grace_s)
    end(below, grace_s=grace_s)
    pid_file.unlink(missing_ok=True)
    return left


@dataclass(slots=True)
class Child:
    """A process of ours with its log; `end` leaves neither it nor its pid file behind."""

    process: subprocess.Popen[bytes]
    log: Path
    pid_file: Path
    grace_s: float
    known: ProcessId | None = field(init=False)

    def __post_init__(self) -> None:
        self.known = identify(self.process.pid)
        remember(self.pid_file, [self.known] if self.known else [])

    @property
    def pid(self) -> int:
        return self.process.pid

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def end(self) -> int:
        """The exit status. Idempotent: SIGTERM, up to `grace_s`, then SIGKILL."""
        if self.is_alive():
            self.process.terminate()
            try:
                self.process.wait(self.grace_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
        status = self.process.wait(5.0)
        self.pid_file.unlink(missing_ok=True)
        return status


def start(
    argv: Sequence[str], *, log: Path, pid_file: Path, env: Mapping[str, str] | None = None, grace_s: float = 10.0
) -> Child:
    """A child in a session of its own, so that Ctrl-C reaches only who must end it in order."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=env, start_new_session=True
        )
    return Child(process, log, pid_file, grace_s)


def gave_up(what: str, log: Path) -> Unavailable:
    """One sentence for a part that did not come up: what happened, its last words, where all of them are."""
    words = last_words(log)
    said = f"; it last said: {words}" if words else ""
    return Unavailable(f"{what}{said}", remedy=f"The whole log is {log}")


def last_words(log: Path) -> str:
    """The last line of a log that is not indented, as those of a traceback are; empty where there is none."""
    try:
        with log.open("rb") as text:
            text.seek(max(0, log.stat().st_size - TAIL_BYTES))
            lines = text.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    said = [line for line in lines if line.strip() and not line[0].isspace()]
    return said[-1].rstrip(" .")[:WORDS_MAX] if said else ""
