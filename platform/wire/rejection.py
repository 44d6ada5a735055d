"""Why a message was not believed, and how that leaves the depth of a parse."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Reason(StrEnum):
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    INVALID_ENCODING = "invalid_encoding"
    INVALID_JSON = "invalid_json"
    UNSUPPORTED_CONTENT_TYPE = "unsupported_content_type"
    UNKNOWN_SCHEMA = "unknown_schema"
    INVALID_ENVELOPE = "invalid_envelope"
    CRASH_LOOP = "crash_loop"


class Rejected(msgspec.Struct, frozen=True):
    """Why a message was not believed: a code for programs, a sentence with value and remedy for people."""

    reason: Reason
    sentence: str


class Refused(Exception):
    """Carries a `Rejected` out of the depth of one parse; `parse` gives it back as a value."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        self.rejected = Rejected(reason, sentence)


def kind(item: object) -> str:
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return names.get(type(item), "null")


def shown(item: object) -> str:
    """The value as a reader may see it: quoted, without control characters, and short."""
    text = ascii(item)
    return text if len(text) <= 80 else f"{text[:77]}..."
