"""A value as bytes: parts that are written one after the other, views of the value's own memory where it has any."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..wire.terms import JSON

Part: TypeAlias = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """`size_bytes` may be an estimate where `parts` are made as they are asked for, which can be done once.

    `about` says what the value is without reading it; `needs` are the ordinals of the futures inside, in order.
    """

    codec: str
    parts: Sequence[Part] | Iterable[Part]
    size_bytes: int
    about: JSON = None
    needs: tuple[int, ...] = ()

    @property
    def content(self) -> bytes:
        return b"".join(self.parts)


def of_parts(codec: str, *parts: Part, about: JSON | None = None) -> Encoded:
    views = tuple(memoryview(part) for part in parts)
    return Encoded(codec=codec, parts=views, size_bytes=sum(view.nbytes for view in views), about=about)
