"""The memory of this process: what it holds, and the most it held since the mark was last put back (Linux)."""

from __future__ import annotations

import contextlib
import os
import resource
from functools import cache
from typing import Final

KIB: Final = 1024
STATUS_MAX: Final = 1 << 14


def reset() -> None:
    with contextlib.suppress(OSError):
        os.pwrite(_file("clear_refs", os.O_WRONLY), b"5", 0)


def peak_bytes() -> int:
    return _said(b"VmHWM:") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB


def resident_bytes() -> int:
    """What it holds now."""
    return _said(b"VmRSS:")


def _said(word: bytes) -> int:
    with contextlib.suppress(OSError):
        _, _, after = os.pread(_file("status", os.O_RDONLY), STATUS_MAX, 0).partition(word)
        return int(after.split(maxsplit=1)[0]) * KIB if after else 0
    return 0


@cache
def _file(name: str, how: int) -> int:
    """Kept open: each attempt asks, and to open one costs more than to read it."""
    return os.open(f"/proc/self/{name}", how | os.O_CLOEXEC)
