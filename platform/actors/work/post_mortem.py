"""What ended a process, as far as it left a word: a signal in its log, or the kernel's count of what it ended."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from ...wire.terms import Failure

LAST_BYTES: Final = 16 * 1024
LAST_LINES: Final = 40
FATAL: Final = "Fatal Python error: "  # what `faulthandler` writes when a signal ends the process
COUNTS: Final = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control", "/proc/vmstat")


def cause_of(log: Path, step: str, *, no_memory: bool) -> Failure | None:
    """Why a process that wrote this log has died; None where nothing says so."""
    words = last_words(log)
    fatal = next((line for line in words.splitlines() if line.startswith(FATAL)), "")
    if fatal:
        signal = fatal.removeprefix(FATAL)
        return Failure(
            kind="signal", message=f"Its process was ended by a signal: {signal}", step=step, last_words=words
        )
    if no_memory:
        message = "The kernel ended its process: there was no memory left"
        return Failure(kind="out_of_memory", message=message, step=step, last_words=words)
    return None


def come_to(spare: Path, log: Path) -> None:
    """What was written past the process's own streams, at the place where the attempt's log is looked for."""
    with contextlib.suppress(OSError):
        if spare.stat().st_size and not log.exists():
            log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            spare.rename(log)
        else:
            spare.unlink()


def last_words(log: Path) -> str:
    """The last lines of a log; empty where there is none."""
    with contextlib.suppress(OSError), log.open("rb") as source:
        source.seek(max(0, log.stat().st_size - LAST_BYTES))
        lines = source.read().decode(errors="backslashreplace").splitlines()
        return "\n".join(lines[-LAST_LINES:])
    return ""


def ended_for_memory() -> int:
    """How many processes the kernel has ended so far for lack of memory, here or in this container."""
    for name in COUNTS:
        with contextlib.suppress(OSError, ValueError):
            for line in Path(name).read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0
