"""What the Registry hears (past tense) and what its shell must do (imperative)."""

from __future__ import annotations

from msgspec import Struct

from ...wire.types import Entry
from ..inbox import Arrived, Ordered, SeekTo, TopicGap


class Followed(Struct, frozen=True):
    """The log from `after` to `upto`: `entry` is its last and the only one that concerns us, None for none."""

    after: int
    upto: int
    entry: Entry | None = None


class BecameReady(Struct, frozen=True):
    """The Deployer's word: the version answers at `url`."""

    name: str
    version: int
    url: str
    duration_us: int


class BecameFailed(Struct, frozen=True):
    name: str
    version: int
    reason: str


class ServingBegan(Struct, frozen=True):
    """The Deployer's word: Ray Serve begins anew, so nothing answers yet."""


Event = Arrived | Ordered | TopicGap | Followed | BecameReady | BecameFailed | ServingBegan


class Reread(Struct, frozen=True):
    """The log is wanted again from the machine's cursor: a stretch of it is missing."""


Effect = SeekTo | Reread
