"""The place of a subscriber in the log: (store epoch, position), filtered or not.

As text, in `Last-Event-ID`, `since=` and everywhere else, it is `EPOCH:POSITION`. A store that was
restored from a backup has another epoch, so that a position of its other life means nothing.
"""

from __future__ import annotations

import msgspec

from ..errors import InvalidInput

POSITION_MAX = 2**63 - 1


class Cursor(msgspec.Struct, frozen=True):
    """Everything up to and including `position` was seen."""

    store_epoch: str
    position: int

    def __str__(self) -> str:
        return f"{self.store_epoch}:{self.position}"


def parse(text: str) -> Cursor:
    """The cursor in `text`; InvalidInput where it is none."""
    epoch, _, number = text.rpartition(":")
    if not epoch or not (number.isascii() and number.isdigit()) or int(number) > POSITION_MAX:
        raise InvalidInput(f"{text[:80]!r} is no cursor", remedy="Send the id of the last event you saw, unchanged.")
    return Cursor(epoch, int(number))
