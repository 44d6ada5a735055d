"""What travels on a line: frames, each its length in four bytes and a msgpack array.

    caller ──► (number, word, what is said) ──► whoever answers
           ◄── (number, fault or nothing, the answer) ◄──

The number ties an answer to its call; 0 asks for none. Before the first frame both sides prove, each on the
other's fresh bytes, that they know the platform's secret.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ... import errors
from ...errors import HeadwaterError, Unavailable

NONCE_BYTES: Final = 32
PROOF_BYTES: Final = 32
LENGTH_BYTES: Final = 4
NO_ANSWER: Final = 0


class Fault(msgspec.Struct, frozen=True, array_like=True):
    """An error of our own by the name of its class; any other as Unavailable."""

    kind: str
    what: str
    remedy: str

    def error(self) -> HeadwaterError:
        kind = getattr(errors, self.kind, Unavailable)
        error: HeadwaterError = kind(self.what, remedy=self.remedy)
        return error


class Call(msgspec.Struct, frozen=True, array_like=True):
    number: int
    word: str
    said: msgspec.Raw


class Reply(msgspec.Struct, frozen=True, array_like=True):
    number: int
    fault: Fault | None
    answer: msgspec.Raw


_ENCODER: Final = msgspec.msgpack.Encoder()


def framed(frame: tuple[Any, ...]) -> bytes:
    content = _ENCODER.encode(frame)
    return len(content).to_bytes(LENGTH_BYTES, "big") + content


def fault_of(error: Exception) -> Fault:
    if isinstance(error, HeadwaterError):
        kind = next(kind.__name__ for kind in type(error).__mro__ if hasattr(errors, kind.__name__))
        return Fault(kind, error.what, error.remedy)
    return Fault(Unavailable.__name__, f"{type(error).__name__}: {error}", "")


def proof(secret: bytes, role: bytes, nonce: bytes) -> bytes:
    """That whoever plays `role` knows the secret; good for this nonce only."""
    return hmac.digest(secret, b"headwater line " + role + nonce, hashlib.sha256)


class Frames:
    """Bytes as they come in, frames as they are complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def exactly(self, size: int) -> bytes | None:
        """The next `size` bytes, once they are there: for what comes before the first frame."""
        if len(self._buffer) < size:
            return None
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def __iter__(self) -> Iterator[bytes]:
        start = 0
        while (whole := start + LENGTH_BYTES) <= len(self._buffer):
            end = whole + int.from_bytes(self._buffer[start:whole], "big")
            if end > len(self._buffer):
                break
            yield bytes(self._buffer[whole:end])
            start = end
        del self._buffer[:start]
