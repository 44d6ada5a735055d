"""What the code of a run writes, followed while it writes."""

from __future__ import annotations

import msgspec

from ...wire.api.artifacts import LogText
from .watch import EventParser, Retries


class LogWatch:
    """Every text once and in order for each log, however often the connection is lost."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.ended = False
        self._parser = EventParser()
        self._retries = Retries(path)
        self._seen: dict[tuple[int, int], int] = {}

    def connect(self) -> dict[str, str]:
        self._parser = EventParser()
        return {"Accept": "text/event-stream"}

    def feed(self, chunk: bytes) -> list[LogText]:
        if chunk:
            self._retries.heard()
        return [told for event in self._parser.feed(chunk) if (told := self._told(event.event, event.data)) is not None]

    def lost(self) -> float:
        return self._retries.lost()

    def _told(self, event: str, data: str) -> LogText | None:
        if event == "end":
            self.ended = True
        if event != "log":
            return None
        text = msgspec.json.decode(data, type=LogText)
        log = text.ordinal, text.attempt
        seen = self._seen.get(log, 0)
        if text.end <= seen:
            return None
        self._seen[log] = text.end
        if text.offset >= seen:
            return text
        rest = text.text.encode()[seen - text.offset :].decode(errors="replace")
        return msgspec.structs.replace(text, offset=seen, text=rest)
