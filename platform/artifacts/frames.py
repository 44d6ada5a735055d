"""A pickle whose large buffers lie beside it: magic, header, then each frame at a multiple of 64 bytes.

The first frame is the pickle (protocol 5), compressed where a sample says that it pays; the others are the buffers
that it refers to, as they were in memory, so that a mapped file is used in place.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import msgspec

from ..errors import InvalidInput
from ..wire.calls import INLINE_MAX_BYTES
from .encoded import Encoded, Part, of_parts

MAGIC: Final = b"HWFRAME1"
ALIGN: Final = 64
SAMPLE_BYTES: Final = 1 << 18
PAYS: Final = 0.75  # of the size it had
COMPRESSION: Final = "zstd"


class Header(msgspec.Struct, frozen=True, omit_defaults=True):
    """`sizes` in bytes, as stored; `raw_bytes` is the size of the pickle where it was compressed."""

    sizes: tuple[int, ...]
    raw_bytes: int | None = None


def framed(stream: bytes, buffers: Sequence[memoryview]) -> Encoded:
    """As `pickle` where it is the pickle alone and gains nothing by more, otherwise as `frames`."""
    packed = _compressed(stream)
    if not buffers and packed is None:
        return of_parts("pickle", stream)
    first: bytes = stream if packed is None else packed
    header = Header((len(first), *(each.nbytes for each in buffers)), None if packed is None else len(stream))
    parts: list[Part] = []
    size = 0
    encoded = msgspec.json.encode(header)
    frames: tuple[Part, ...] = (MAGIC + struct.pack("<Q", len(encoded)) + encoded, first, *buffers)
    for part in frames:
        pad = -size % ALIGN
        parts += [bytes(pad), part] if pad else [part]
        size += pad + memoryview(part).nbytes
    return of_parts("frames", *parts)


def unframed(content: memoryview) -> tuple[bytes | memoryview, list[memoryview]]:
    """The pickle and its buffers, which are views of `content`."""
    if bytes(content[: len(MAGIC)]) != MAGIC:
        raise InvalidInput("The artifact is no pickle with frames", remedy="Was it written by a newer version?")
    start = len(MAGIC) + 8
    (length,) = struct.unpack("<Q", content[len(MAGIC) : start])
    header = msgspec.json.decode(content[start : start + length], type=Header)
    frames, offset = [], start + length
    for size in header.sizes:
        offset += -offset % ALIGN
        frames.append(content[offset : offset + size])
        offset += size
    stream, *buffers = frames
    if header.raw_bytes is None:
        return stream, buffers
    import pyarrow as pa

    return pa.decompress(stream, header.raw_bytes, codec=COMPRESSION, asbytes=True), buffers


def _compressed(stream: bytes) -> bytes | None:
    """The stream compressed; None where it is small or a sample of it shows too little gain."""
    if len(stream) <= INLINE_MAX_BYTES:
        return None
    import pyarrow as pa

    middle = max(0, (len(stream) - SAMPLE_BYTES) // 2)
    sample = stream[middle : middle + SAMPLE_BYTES]
    if len(pa.compress(sample, codec=COMPRESSION, asbytes=True)) > PAYS * len(sample):
        return None
    packed: bytes = pa.compress(stream, codec=COMPRESSION, asbytes=True)
    return packed
