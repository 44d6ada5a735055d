"""A callback for each entry, called in a task of its own, in order, without gap or repeat."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from ...errors import Unavailable
from ...wire.types import Entry
from .watch import Watch, is_entry

if TYPE_CHECKING:
    from .async_link import AsyncLink

Callback = Callable[[Entry], object]


class AsyncSubscription:
    """Goes on until it is closed, the run it watches has ended, or the callback raises; one that gives an awaitable is
    awaited before the next entry.

    `cursor` is that of the last entry the callback has had, as with `Subscription`.
    """

    def __init__(self, link: AsyncLink, opened: Callable[[], Awaitable[Watch]], callback: Callback) -> None:
        self._link, self._opened, self._callback = link, opened, callback
        self.cursor = ""
        self._task = asyncio.ensure_future(self._run())

    async def __aenter__(self) -> AsyncSubscription:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """No entry is called back any more once this returns. What the callback raised before is `wait`'s to raise."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def wait(self, timeout: float | None = None) -> None:
        """Returns when the run has ended or it was closed, and raises what has ended the subscription, or Unavailable
        when it takes longer than `timeout` seconds."""
        done, _ = await asyncio.wait([self._task], timeout=timeout)
        if not done:
            what = f"The subscription has not ended within {timeout:g} s"
            raise Unavailable(what, remedy="Wait longer, or close it.")
        if not self._task.cancelled():
            self._task.result()

    async def _run(self) -> None:
        watch = await self._opened()
        self.cursor = self.cursor or watch.since
        async with aclosing(self._link.told(watch)) as told:
            async for one in told:
                if is_entry(one):
                    answer = self._callback(one)
                    if inspect.isawaitable(answer):
                        await answer
                    self.cursor = f"{watch.since.rpartition(':')[0]}:{one.position}"
