"""Records of other people's topics as events: what they lack for a CloudEvent is made from where they lie.

The type is the topic's name, the source `kafka/TOPIC`, the id `TOPIC_ID/PARTITION/OFFSET`, so that a record read
again is the same event; the subject is the key, where that is text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

CONTENT: Final[Mapping[str, bytes]] = {
    "json": b"application/json",
    "bytes": b"application/octet-stream",
    "avro": b"application/json",  # what is read of them is JSON
    "protobuf": b"application/json",
}
KEY_MAX: Final = 1_024


def formats_of(settings: Iterable[str]) -> dict[str, str]:
    """Topic → format, from `NAME:json`, `NAME:bytes`, `NAME:avro` or `NAME:protobuf`."""
    return {name: form for name, _, form in (setting.rpartition(":") for setting in settings)}


def headers_of(topic: str, place: str, key: bytes | None, *, form: str) -> tuple[tuple[str, bytes | None], ...]:
    """The headers of binary mode that make the record an event."""
    made: tuple[tuple[str, bytes | None], ...] = (
        ("ce_specversion", b"1.0"),
        ("ce_id", place.encode()),
        ("ce_source", f"kafka/{topic}".encode()),
        ("ce_type", topic.encode()),
        ("content-type", CONTENT[form]),
    )
    subject = _text(key)
    return (*made, ("ce_subject", subject.encode())) if subject else made


def _text(key: bytes | None) -> str:
    try:
        text = (key or b"").decode()
    except UnicodeDecodeError:
        return ""
    return text if text.isprintable() and len(text) <= KEY_MAX else ""
