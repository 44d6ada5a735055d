"""The attributes of a CloudEvent: which there must be, how long they may be, and what they may hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from .json_text import Json
from .rejection import Reason, Refused, kind, shown

EXTENSIONS_MAX: Final = 64
EXTENSION_MAX_CHARS: Final = 4_096
ATTRIBUTE_MAX_CHARS: Final[Mapping[str, int]] = {
    "id": 256,
    "source": 1_024,
    "type": 256,
    "specversion": 16,
    "subject": 1_024,
    "time": 64,
    "project": 128,
    "dataschema": 1_024,
    "datacontenttype": 256,
}
REQUIRED: Final = ("id", "source", "type", "specversion")

Attribute: TypeAlias = str | int | bool


_NAME = re.compile(r"[a-z0-9]{1,64}")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def checked_attributes(found: Mapping[str, Json]) -> dict[str, Attribute]:
    present = {name: item for name, item in found.items() if item is not None}
    for name in REQUIRED:
        if name not in present:
            raise Refused(
                Reason.INVALID_ENVELOPE, f"The attribute '{name}' is missing. Every event has {', '.join(REQUIRED)}."
            )
    if len(present) > EXTENSIONS_MAX + len(ATTRIBUTE_MAX_CHARS):
        raise Refused(
            Reason.INVALID_ENVELOPE,
            f"{len(present)} attributes are too many. Put what is over {EXTENSIONS_MAX} into data.",
        )
    checked = {name: _checked(name, item) for name, item in present.items()}
    if checked["specversion"] != "1.0":
        raise Refused(
            Reason.INVALID_ENVELOPE, f"The specversion is {shown(checked['specversion'])}. Send CloudEvents '1.0'."
        )
    return checked


def _checked(name: str, item: Json) -> Attribute:
    known = ATTRIBUTE_MAX_CHARS.get(name)
    if known and type(item) is str and 0 < len(item) <= known and item.isascii() and item.isprintable():
        return item  # what nearly all are
    if not _NAME.fullmatch(name):
        raise Refused(
            Reason.INVALID_ENVELOPE,
            f"The attribute name {shown(name)} is not allowed. Use lower-case letters and digits.",
        )
    if name not in ATTRIBUTE_MAX_CHARS and isinstance(item, bool | int):
        if not -(1 << 31) <= item < 1 << 31:
            raise Refused(
                Reason.INVALID_ENVELOPE, f"The attribute '{name}' is {item}: over 32 bits. Send it as a string."
            )
        return item
    limit = ATTRIBUTE_MAX_CHARS.get(name, EXTENSION_MAX_CHARS)
    if not isinstance(item, str):
        raise Refused(Reason.INVALID_ENVELOPE, f"The attribute '{name}' is {kind(item)}. Send it as a string.")
    if not item or len(item) > limit:
        raise Refused(
            Reason.INVALID_ENVELOPE,
            f"The attribute '{name}' has {len(item):,} characters. Send from 1 to {limit:,}.",
        )
    if _CONTROL.search(item):
        raise Refused(
            Reason.INVALID_ENVELOPE, f"The attribute '{name}' is {shown(item)}: control characters. Take them out."
        )
    return item


_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,12}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_us_of(text: str) -> int:
    match = _RFC3339.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        day, clock, fraction, zone = match.groups()
        zone = "+00:00" if zone in "Zz" else zone
        moment = datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0')[:6]:0<6}{zone}")
        return (moment - _EPOCH) // timedelta(microseconds=1)
    except (ValueError, OverflowError):
        raise Refused(
            Reason.INVALID_ENVELOPE,
            f"The attribute 'time' is {shown(text)}. Send RFC 3339, such as '2026-01-31T08:00:00Z'.",
        ) from None


def rfc3339(time_us: int) -> str:
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat(timespec="microseconds").replace("+00:00", "Z")
