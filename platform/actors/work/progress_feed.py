"""Progress of one attempt, thinned to five words a second: the latest one counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from ...sdk.context import Mark
from ...wire.calls import AttemptOrder, Progress

PAUSE_S: Final = 0.2


class ProgressFeed:
    """`tell` is called from any thread; `send` on the loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, order: AttemptOrder, worker: str, send: Callable[[Progress], None]
    ) -> None:
        self._loop, self._order, self._worker, self._send = loop, order, worker, send
        self._began = time.monotonic()
        self._latest: Mark | None = None
        self._planned = False
        self._sent_at = -PAUSE_S
        self._streams = _Rows()

    @property
    def rows(self) -> int:
        """Rows streamed so far, over all streams of the attempt."""
        return self._streams.total

    def tell(self, mark: Mark) -> None:
        self._latest = mark
        if not self._planned:
            self._planned = True
            self._loop.call_soon_threadsafe(self._plan)

    def tell_rows(self, rows: int, total: int | None) -> None:
        """What a stream says after each batch. The rate is that of the stream that is read now."""
        if self._streams.add(rows):
            self._began = time.monotonic()
        self.tell(Mark(rows, total, "rows"))

    def say_running(self) -> None:
        """A first word from an attempt that has said nothing yet."""
        if self._sent_at < 0 and not self._planned:
            self.tell(Mark(0.0))

    def _plan(self) -> None:
        self._loop.call_later(max(0.0, self._sent_at + PAUSE_S - time.monotonic()), self.flush)

    def flush(self) -> None:
        """Sends what has not been sent."""
        mark, self._latest, self._planned = self._latest, None, False
        if mark is not None:
            self._sent_at = time.monotonic()
            self._send(self._progress(mark))

    def _progress(self, mark: Mark) -> Progress:
        elapsed_s = time.monotonic() - self._began
        return Progress(
            fence=self._order.fence,
            run_id=self._order.run_id,
            step_id=self._order.step_id,
            name=self._order.name,
            attempt=self._order.attempt,
            worker=self._worker,
            done=mark.done,
            total=mark.total,
            rate=mark.done / elapsed_s if elapsed_s > 0 and mark.done else None,
            unit=mark.unit,
            note=mark.note,
            time_us=time.time_ns() // 1000,
        )


class _Rows:
    """Adds up streams that each count from nothing."""

    def __init__(self) -> None:
        self._ended = self._current = 0

    @property
    def total(self) -> int:
        return self._ended + self._current

    def add(self, rows: int) -> bool:
        """Whether another stream has begun."""
        is_another = rows < self._current
        if is_another:
            self._ended += self._current
        self._current = rows
        return is_another
