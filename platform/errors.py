"""The one family of errors that a user may see: what was wrong, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HeadwaterError(Exception):
    """Says in one sentence what was wrong, with the value, and how to mend it."""

    def __init__(self, what: str, *, remedy: str = "") -> None:
        super().__init__(f"{what}. {remedy}" if remedy else what)
        self.what, self.remedy = what, remedy

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.remedy)


class InvalidInput(HeadwaterError):
    """The caller's words do not fit: a bad file, parameter, event or request."""


class NotFound(HeadwaterError):
    """What was named does not exist."""


class Conflict(HeadwaterError):
    """The request is well formed but the state of things forbids it."""


class Unavailable(HeadwaterError):
    """A part that is needed does not answer now; trying later may help."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`Did you mean 'x'?` for the nearest known word; otherwise what is known, or nothing."""
    options = sorted(known)
    near = difflib.get_close_matches(word, options, n=1)
    if near:
        return f"Did you mean '{near[0]}'?"
    return f"Known: {', '.join(options[:10])}" if options else ""


def _rebuild(kind: type[HeadwaterError], what: str, remedy: str) -> HeadwaterError:
    return kind(what, remedy=remedy)
