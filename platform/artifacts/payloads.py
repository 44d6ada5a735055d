"""Values in transit: small ones inside the message, large ones as artifacts."""

from __future__ import annotations

from typing import Final

from ..errors import InvalidInput
from ..wire.calls import INLINE_MAX_BYTES, Payload
from .encoded import Encoded
from .files import Files

RESULT_MAX_BYTES: Final = 64 * (1 << 30)


def payload_of(files: Files, encoded: Encoded, *, place: str = "", limit_bytes: int = RESULT_MAX_BYTES) -> Payload:
    """The value where it can be fetched from; raises InvalidInput naming `place` where it is larger than the limit."""
    if encoded.size_bytes > limit_bytes:
        what = f"{place or 'The value'} has {said(encoded.size_bytes)}, more than the limit of {said(limit_bytes)}"
        remedy = "Append it to a table, or keep less of it; artifacts.result_max_bytes is the limit."
        raise InvalidInput(what, remedy=remedy)
    if encoded.size_bytes <= INLINE_MAX_BYTES and len(content := encoded.content) <= INLINE_MAX_BYTES:
        return Payload(codec=encoded.codec, inline=content, size_bytes=len(content), about=encoded.about)
    parts = encoded.parts if encoded.size_bytes > INLINE_MAX_BYTES else (content,)
    digest, size_bytes = files.put_parts(parts)
    return Payload(codec=encoded.codec, digest=digest, size_bytes=size_bytes, about=encoded.about)


def content_of(files: Files, payload: Payload) -> memoryview:
    """The bytes, mapped where they are an artifact; raises NotFound where it is gone. To write changes this view."""
    if payload.inline is not None:
        return memoryview(bytearray(payload.inline))
    if payload.digest is None:
        raise InvalidInput("A payload holds neither bytes nor a digest", remedy="Send one of them")
    return files.mapped(payload.digest)


def said(size_bytes: int) -> str:
    size, unit = float(size_bytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.4g} {unit}"
