"""Bytes that should be JSON text: bounded first, then decoded, then parsed. Each raises `Refused`."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final, TypeAlias

import orjson

from .rejection import Reason, Refused

SIZE_MAX_BYTES: Final = 1 << 20
DEPTH_MAX: Final = 64

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None


def require_size(value: bytes) -> None:
    if len(value) > SIZE_MAX_BYTES:
        raise Refused(
            Reason.TOO_LARGE,
            f"The event has {len(value):,} bytes. Send at most {SIZE_MAX_BYTES:,}; put larger data into a table.",
        )


def parse_json(value: bytes) -> tuple[Json, int]:
    """The parsed value, and how many members its outermost object was written with."""
    depth, members = _shape(value)
    if depth > DEPTH_MAX:
        raise Refused(Reason.TOO_DEEP, f"The JSON is nested deeper than {DEPTH_MAX}. Send it flatter.")
    require_text(value, "the body")
    try:
        parsed: Json = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise Refused(Reason.INVALID_JSON, f"The body is not JSON: {error}. Send valid JSON.") from None
    return parsed, members


_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # an unclosed string runs to the end: linear, always
_NOT_STRUCTURE = bytes(set(range(256)) - set(b"[]{}:"))


def _shape(value: bytes) -> tuple[int, int]:
    """How deep the JSON nests (counting stops past the bound), and the colons at depth one."""
    depth = deepest = members = 0
    for char in _STRINGS.sub(b"", value).translate(None, _NOT_STRUCTURE):
        if char in b"[{":
            depth += 1
            deepest = max(deepest, depth)
            if depth > DEPTH_MAX:
                break
        elif char in b"]}":
            depth -= 1
        elif depth == 1:
            members += 1
    return deepest, members


def decode_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused(Reason.INVALID_ENVELOPE, "'data_base64' is not base64. Encode it by RFC 4648.") from None


def require_text(raw: bytes | None, what: str) -> str:
    try:
        return (raw or b"").decode("utf-8")
    except UnicodeDecodeError as error:
        sentence = f"{what[0].upper()}{what[1:]} is not UTF-8 at byte {error.start}. Encode it as UTF-8."
        raise Refused(Reason.INVALID_ENCODING, sentence) from None


def is_encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
