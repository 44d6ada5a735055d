"""Server-sent events, read without I/O: a parser of the wire, and a watch that resumes where it was.

A watch knows its cursor. It says what to ask for, takes the bytes that came, and gives the entries
that are new; a connection that ends before the `end` event is asked for again after the cursor, so
that nothing is missed and nothing comes twice.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeGuard, TypeVar
from urllib.parse import urlencode

import msgspec

from ...errors import Conflict, Unavailable
from ...wire import cursor
from ...wire.api.status import Status
from ...wire.calls import Progress
from ...wire.labels import checked
from ...wire.types import Entry, decode_entry

TRIES_MAX = 30
BACKOFF_S = 0.1
BACKOFF_MAX_S = 2.0
SILENCE_S = 60.0  # longer than several heartbeats: a stream that silent is dead

Told = Entry | Progress
N = TypeVar("N")


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


class Retries:
    """How often a stream was lost in a row."""

    def __init__(self, path: str) -> None:
        self._path, self._tries = path, 0

    def heard(self) -> None:
        self._tries = 0

    def lost(self) -> float:
        """How many seconds to wait before the next connection; raises Unavailable after many in a row."""
        self._tries += 1
        if self._tries > TRIES_MAX:
            raise Unavailable(f"The event stream {self._path} was lost {TRIES_MAX} times", remedy="Is the platform up?")
        return 0.0 if self._tries == 1 else min(BACKOFF_S * 2.0 ** (self._tries - 2), BACKOFF_MAX_S)


class Pushed(Protocol[N]):
    """What a link drives: it says what to ask for, takes the bytes that came, and gives what is new."""

    path: str

    @property
    def ended(self) -> bool: ...
    def connect(self) -> dict[str, str]: ...
    def feed(self, chunk: bytes) -> list[N]: ...
    def lost(self) -> float: ...


class Watch:
    """`state` is that of the run once its stream has ended."""

    def __init__(self, path: str, *, since: str = "") -> None:
        self.path, self.since = path, since
        self.ended = False
        self.state = ""
        self._position = cursor.parse(since).position if since else -1
        self._parser = EventParser()
        self._retries = Retries(path)

    def connect(self) -> dict[str, str]:
        """The headers to ask with, for a new connection."""
        self._parser = EventParser()
        resume = {"Last-Event-ID": self.since} if self.since else {}
        return {"Accept": "text/event-stream", **resume}

    def feed(self, chunk: bytes) -> list[Told]:
        """What is new. Raises Conflict where the store is not the one that the cursor is of."""
        events = self._parser.feed(chunk)
        if chunk and not any(event.event == "joined" for event in events):
            self._retries.heard()
        return [told for event in events if (told := self._told(event)) is not None]

    def lost(self) -> float:
        return self._retries.lost()

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


def cursor_of(status: Status) -> str:
    return f"{status.store_epoch}:{status.position}"


def watch_path(
    project: str | None,
    flow: str | None = None,
    state: str | Sequence[str] = (),
    labels: Mapping[str, str] | None = None,
) -> str:
    given = [(name, text) for name, text in (("project", project), ("flow", flow)) if text]
    states = [state] if isinstance(state, str) else list(state)
    given += [("state", each) for each in states]
    given += [("label", f"{name}={text}") for name, text in checked(labels).items()]
    return f"/v1/watch?{urlencode(given)}"


def is_entry(told: Told) -> TypeGuard[Entry]:
    return isinstance(told, Entry)


def entries(told: Generator[Told, None, None]) -> Generator[Entry, None, None]:
    with contextlib.closing(told):
        yield from filter(is_entry, told)


def patience_until(deadline: float | None) -> Callable[[], float]:
    """How long to wait for the next word; raises Unavailable once the deadline has passed."""

    def patience_s() -> float:
        if deadline is None:
            return SILENCE_S
        left = deadline - time.monotonic()
        if left <= 0:
            raise Unavailable("The run has not ended in the time given", remedy="Wait longer, or watch it.")
        return min(left, SILENCE_S)

    return patience_s
