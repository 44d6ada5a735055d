"""Server-sent events as bytes. An entry is written out once, however many are sent it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import msgspec

from ..wire.calls import Progress
from ..wire.cursor import Cursor
from ..wire.types import Entry, encode_entry

HEARTBEAT: Final = b": heartbeat\n\n"
KEPT_MAX: Final = 2_000


class EntryFrames:
    """The frames of the entries that were asked for last."""

    def __init__(self, store_epoch: str) -> None:
        self._store_epoch = store_epoch
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def of(self, entries: Sequence[Entry]) -> bytes:
        return b"".join(map(self._of, entries))

    def _of(self, entry: Entry) -> bytes:
        kept = self._kept.get(entry.position)
        if kept is None:
            cursor = Cursor(self._store_epoch, entry.position)
            kept = self._kept[entry.position] = identified(cursor, entry.type, encode_entry(entry))
            if len(self._kept) > KEPT_MAX:
                self._kept.popitem(last=False)
        return kept


def end_frame(type_name: str) -> bytes:
    state = type_name.removeprefix("run.").upper()
    return frame("end", msgspec.json.encode({"state": state}))


def progress_frames(items: Sequence[Progress]) -> bytes:
    return b"".join(frame("progress", msgspec.json.encode(item)) for item in items)


def identified(cursor: Cursor, event: str, data: bytes) -> bytes:
    return f"id: {cursor}\n".encode() + frame(event, data)


def frame(event: str, data: bytes) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event.encode(), data)
