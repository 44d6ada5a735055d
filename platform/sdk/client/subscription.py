"""A callback for each entry, called in a thread of its own, in order, without gap or repeat."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...errors import Unavailable
from ...wire.types import Entry
from .watch import Watch, is_entry

if TYPE_CHECKING:
    from .link import Link


class Subscription:
    """Goes on until it is closed, the run it watches has ended, or the callback raises.

    `cursor` is that of the last entry the callback has had: kept somewhere and given as `since`, it lets another
    process go on exactly there. An entry is called back again where a process ends between the two.
    """

    def __init__(self, link: Link, watch: Watch, callback: Callable[[Entry], object]) -> None:
        self._link, self._watch, self._callback = link, watch, callback
        self._closed = threading.Event()
        self._error: BaseException | None = None
        self.cursor = watch.since
        self._thread = threading.Thread(target=self._run, name="headwater-subscription", daemon=True)
        self._thread.start()

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """No entry is called back any more once this returns, but for one that is at it."""
        self._closed.set()

    def wait(self, timeout: float | None = None) -> None:
        """Returns when the run has ended, and raises what has ended the subscription, or Unavailable when it takes
        longer than `timeout` seconds."""
        self._thread.join(timeout)
        if self._error is not None:
            raise self._error
        if self._thread.is_alive() and not self._closed.is_set():
            raise Unavailable(
                f"The subscription has not ended within {timeout:g} s", remedy="Wait longer, or close it."
            )

    def _run(self) -> None:
        try:
            for told in self._link.told(self._watch):
                if self._closed.is_set():
                    return
                if is_entry(told):
                    self._callback(told)
                    self.cursor = f"{self._epoch}:{told.position}"
        except BaseException as error:
            self._error = error

    @property
    def _epoch(self) -> str:
        return self._watch.since.rpartition(":")[0]
