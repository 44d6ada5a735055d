"""Which artifacts may go: those that nothing kept refers to, and that nobody can have just written. Pure.

Whatever looks like a digest in what is kept counts as a reference: too much is kept rather than too little. The files
are listed before the references are read, and the references are read again before the first file goes: what was
written or referred to meanwhile stays. So does what was written since the oldest attempt that is at work began.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

_DIGEST: Final = re.compile(rb"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Kept:
    """A file that is there. `written_us` is the last time that its content was put."""

    digest: str
    size_bytes: int
    written_us: int


@dataclass(frozen=True, slots=True)
class Needs:
    """What rows name, and since when the oldest attempt is at work: what it has written may not be named yet."""

    digests: set[str]
    at_work_since_us: int | None = None


def named_in(content: bytes | memoryview) -> set[str]:
    """Every digest that the bytes name, and perhaps what only looks like one."""
    return {found.decode() for found in _DIGEST.findall(content)}


def needed(roots: Iterable[str], names_of: Callable[[str], Iterable[str]]) -> set[str]:
    """The roots and all that they name, however deep. `names_of` gives what one artifact names."""
    found: set[str] = set()
    ahead = set(roots)
    while ahead:
        digest = ahead.pop()
        found.add(digest)
        ahead |= set(names_of(digest)) - found
    return found


def collectable(there: Iterable[Kept], wanted: Collection[str], *, before_us: int) -> list[Kept]:
    """What may go, the largest first: not wanted, and last written before that time."""
    free = [each for each in there if each.digest not in wanted and each.written_us < before_us]
    return sorted(free, key=lambda each: (-each.size_bytes, each.digest))
