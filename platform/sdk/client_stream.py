"""Server-sent events, read without I/O: a parser of the wire, and a watch that resumes where it was.

A watch knows its cursor. It says what to ask for, takes the bytes that came, and gives the entries
that are new; a connection that ends before the `end` event is asked for again after the cursor, so
that nothing is missed and nothing comes twice.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from ..errors import Conflict, Unavailable
from ..wire import cursor
from ..wire.calls import Progress
from ..wire.types import Entry, decode_entry

TRIES_MAX = 30
BACKOFF_S = 0.1
BACKOFF_MAX_S = 2.0

Told = Entry | Progress


class ServerEvent(NamedTuple):
    """`id` is the stream's last one, of this event or an earlier one."""

    id: str
    event: str
    data: str


class EventParser:
    """Bytes in, whole events out, however the bytes are cut. Comments and unknown fields are passed over."""

    def __init__(self) -> None:
        self._rest = b""
        self._id, self._event = "", ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [event for line in lines if (event := self._line(line.removesuffix(b"\r").decode())) is not None]

    def _line(self, line: str) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "id":
            self._id = value
        elif field == "event":
            self._event = value
        elif field == "data":
            self._data.append(value)
        return None

    def _dispatch(self) -> ServerEvent | None:
        event = ServerEvent(self._id, self._event or "message", "\n".join(self._data)) if self._data else None
        self._event, self._data = "", []
        return event


class Watch:
    """`state` is that of the run once its stream has ended."""

    def __init__(self, path: str, *, since: str = "") -> None:
        self.path, self.since = path, since
        self.ended = False
        self.state = ""
        self._position = cursor.parse(since).position if since else -1
        self._parser = EventParser()
        self._tries = 0

    def connect(self) -> dict[str, str]:
        """The headers to ask with, for a new connection."""
        self._parser = EventParser()
        resume = {"Last-Event-ID": self.since} if self.since else {}
        return {"Accept": "text/event-stream", **resume}

    def feed(self, chunk: bytes) -> list[Told]:
        """What is new. Raises Conflict where the store is not the one that the cursor is of."""
        events = self._parser.feed(chunk)
        if chunk and not any(event.event == "joined" for event in events):
            self._tries = 0
        return [told for event in events if (told := self._told(event)) is not None]

    def lost(self) -> float:
        """How many seconds to wait before the next connection; raises Unavailable after many in a row."""
        self._tries += 1
        if self._tries > TRIES_MAX:
            raise Unavailable(f"The event stream {self.path} was lost {TRIES_MAX} times", remedy="Is the platform up?")
        return 0.0 if self._tries == 1 else min(BACKOFF_S * 2.0 ** (self._tries - 2), BACKOFF_MAX_S)

    def _told(self, event: ServerEvent) -> Told | None:
        if event.event == "end":
            self.ended, self.state = True, str(msgspec.json.decode(event.data)["state"])
        elif event.event == "rewound":
            what = "The platform's store is not the one this watch began with: it was restored or made anew"
            raise Conflict(what, remedy="Look at the runs again, then watch from the beginning.")
        elif event.event == "progress":
            return msgspec.json.decode(event.data, type=Progress)
        elif event.id:
            return self._entry(event)
        return None

    def _entry(self, event: ServerEvent) -> Entry | None:
        position = cursor.parse(event.id).position
        if position <= self._position:
            return None
        self.since, self._position = event.id, position
        try:
            return None if event.event == "joined" else decode_entry(event.data)
        except msgspec.ValidationError:  # a type of a newer version
            return None
