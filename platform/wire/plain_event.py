"""Structured events as nearly all are, read at once: a third of the work of reading them attribute by attribute.

Whatever is not plain (an extension, an escape, a name written twice, a text that is not ASCII, another content type, a
large body) is left to `envelope`, which reads everything and has the words for what is wrong. So this says yes only
where nothing needs to be said.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import orjson

from .attributes import ATTRIBUTE_MAX_CHARS
from .json_text import DEPTH_MAX, Json

_SIZE_MAX_BYTES: Final = 1 << 16
_CONTENT_TYPES: Final = frozenset(
    f"application/cloudevents+json{charset}".encode()
    for charset in ("", "; charset=UTF-8", "; charset=utf-8", ";charset=UTF-8", ";charset=utf-8")
)
_NULL: Final = msgspec.Raw(b"null")


class Plain(msgspec.Struct, forbid_unknown_fields=True):
    """The attributes as they were written, and `data` as JSON."""

    id: str
    source: str
    type: str
    specversion: str
    subject: str | None = None
    time: str | None = None
    project: str | None = None
    dataschema: str | None = None
    data: msgspec.Raw = _NULL


_DECODER: Final = msgspec.json.Decoder(Plain)
_WRITTEN: Final = tuple(f'"{name}"'.encode() for name in Plain.__struct_fields__)
_LIMITS: Final = tuple(ATTRIBUTE_MAX_CHARS[name] for name in Plain.__struct_fields__[:-1])


def is_plainly_structured(headers: Sequence[tuple[str, bytes | None]]) -> bool:
    """Whether the headers say structured JSON in UTF-8, once, and nothing else that counts."""
    said = 0
    for name, value in headers:
        if name == "content-type" and value in _CONTENT_TYPES:
            said += 1
        elif not name.isascii() or name[:3].lower() in ("ce_", "con"):
            return False
    return said == 1


def read_plain(value: bytes) -> tuple[Plain, Json] | None:
    """The event, all of whose attributes but `time` are as they should be, and its data; None where it is not plain."""
    if len(value) > _SIZE_MAX_BYTES or b"\\" in value or value.count(b"{") + value.count(b"[") > DEPTH_MAX:
        return None
    try:
        plain = _DECODER.decode(value)
        data: Json = orjson.loads(memoryview(plain.data))
    except (msgspec.DecodeError, orjson.JSONDecodeError):
        return None
    for name in _WRITTEN:
        if value.count(name) > 1:
            return None
    texts = (
        plain.id,
        plain.source,
        plain.type,
        plain.specversion,
        plain.subject,
        plain.time,
        plain.project,
        plain.dataschema,
    )
    for text, limit in zip(texts, _LIMITS, strict=True):
        if text is not None and not (0 < len(text) <= limit and text.isascii() and text.isprintable()):
            return None
    return (plain, data) if plain.specversion == "1.0" else None
