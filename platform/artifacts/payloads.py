"""Values in transit: small ones inside the message, large ones as artifacts."""

from __future__ import annotations

from ..errors import InvalidInput
from ..wire.calls import INLINE_MAX_BYTES, Payload
from .files import Files


def payload_of(files: Files, content: bytes, *, codec: str = "pickle") -> Payload:
    if len(content) <= INLINE_MAX_BYTES:
        return Payload(codec=codec, inline=content, size_bytes=len(content))
    return Payload(codec=codec, digest=files.put_bytes(content), size_bytes=len(content))


def content_of(files: Files, payload: Payload) -> bytes:
    """The bytes; raises NotFound where the artifact is gone."""
    if payload.inline is not None:
        return payload.inline
    if payload.digest is None:
        raise InvalidInput("A payload holds neither bytes nor a digest", remedy="Send one of them")
    return files.read(payload.digest)
