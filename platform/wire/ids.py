"""Identifiers made from what is handed in: no clock, no randomness here."""

from __future__ import annotations

import hashlib
from typing import Final

RANDOM_BYTES: Final = 10


def uuid7(time_us: int, random: bytes) -> str:
    """A UUIDv7 (RFC 9562) in canonical text, ordered by `time_us`; `random` is 10 bytes.

    The twelve bits after the milliseconds hold the fraction of the millisecond, so that ids made
    within one millisecond keep their order too.
    """
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"uuid7 needs {RANDOM_BYTES} random bytes, got {len(random)}")
    milliseconds, microseconds = divmod(time_us, 1000)
    fraction = microseconds * 4096 // 1000
    tail = int.from_bytes(random[:8]) & ((1 << 62) - 1)
    number = (milliseconds & ((1 << 48) - 1)) << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | tail
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def digest_of(*parts: str) -> str:
    """A stable key for a tuple of words: the hex SHA-256 of their length-prefixed UTF-8."""
    sha = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        sha.update(len(encoded).to_bytes(4))
        sha.update(encoded)
    return sha.hexdigest()
