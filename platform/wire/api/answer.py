"""What the HTTP API answers: one struct for each noun, the same for server, client and command line.

Times are microseconds UTC. A listing is a `Page`; `next` is the `after=` of the page that follows.
Every failure is `{"error": {"code", "message", "remedy"}}`. Changes only add optional fields.
"""

from __future__ import annotations

from typing import Final, Generic, TypeVar

import msgspec

T = TypeVar("T")
COMMAND_SOURCE: Final = "/v1"  # of commands that come through the API; one is known as SOURCE/ID
PAGE_MAX: Final = 1_000
PAGE_DEFAULT: Final = 50


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The parent of what is answered: every field is written, so that a reader need not know defaults."""


class Page(msgspec.Struct, Generic[T], frozen=True, kw_only=True):
    items: list[T]
    next: str | None = None


class Problem(Answer, frozen=True, omit_defaults=True):
    """`file`, `line` and the user's `frames` say where, when a deployed folder is refused; `index` which of a batch."""

    code: str
    message: str
    remedy: str = ""
    file: str = ""
    line: int = 0
    frames: str = ""
    index: int | None = None


class ErrorAnswer(Answer, frozen=True):
    error: Problem


_ERROR: Final = msgspec.json.Decoder(ErrorAnswer)


def decode_error(raw: bytes) -> Problem | None:
    """The problem in a failed answer; None where the body is something else (another server's page)."""
    try:
        return _ERROR.decode(raw).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
