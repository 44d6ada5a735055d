"""How kinds of values become artifacts: one codec for each, asked in turn, extensions first.

A package adds codecs by an entry point of the group `headwater.artifact_codecs`, whose object is a `Codec`. They are
looked for once in a process, and only when a value comes that is none of Python's own plain kinds. What no codec
takes is pickled. `conformance.check` proves in a test what a codec promises.
"""

from __future__ import annotations

import functools
from typing import Any, Final, Protocol, runtime_checkable

from ..errors import NotFound
from ..extensions import installed, unusable
from .encoded import Encoded
from .kinds.arrays import ArrayCodec
from .kinds.arrow import ArrowCodec
from .kinds.tensors import TensorsCodec
from .kinds.text import TextCodec

GROUP: Final = "headwater.artifact_codecs"
PLAIN: Final = frozenset({type(None), bool, int, float, complex, bytes, tuple, list, set, frozenset})


@runtime_checkable
class Codec(Protocol):
    """Values of one kind as bytes. Its name is kept with the artifact and must never mean another format."""

    @property
    def name(self) -> str: ...

    def encode(self, value: Any) -> Encoded | None:
        """The value as bytes, of this codec's name; None where it is not of this kind. Cheap to ask."""

    def decode(self, content: memoryview) -> Any:
        """An equal value of the same type. `content` may be written to without changing the artifact, and lives as
        long as something refers to it: use it in place."""


OURS: Final[tuple[Codec, ...]] = (ArrowCodec(), ArrayCodec(), TensorsCodec(), TextCodec())


def encode(value: object) -> Encoded | None:
    """The value as the first codec that takes it writes it; None where it is to be pickled."""
    if type(value) in PLAIN:
        return None
    for codec in (*extensions(), *OURS):
        if (encoded := codec.encode(value)) is not None:
            return encoded
    return None


def decode(name: str, content: memoryview) -> Any:
    """The value of an artifact that a codec wrote; raises NotFound where that codec is not installed."""
    for codec in (*OURS, *extensions()):
        if codec.name == name:
            return codec.decode(content)
    remedy = f"Install the package that has it in the group {GROUP} of its entry points."
    raise NotFound(f"There is no artifact codec '{name}' in this environment", remedy=remedy)


@functools.cache
def extensions() -> tuple[Codec, ...]:
    """The codecs that installed packages bring; raises HeadwaterError naming one that is none."""
    found: tuple[Codec, ...] = installed(GROUP, Codec, "artifact codec")
    taken = {"pickle", "frames", "json", *(ours.name for ours in OURS)}
    for codec in found:
        if codec.name in taken:
            raise unusable(codec.name, f"An artifact codec that is installed has the name '{codec.name}' of ours")
    return found
