"""Steps with `cache=True` whose inputs have come: whether a result of them is kept is looked up beside the loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from ..artifacts.files import Files
from ..core.conductor.messages import LookedUp, LookUp
from ..core.records.steps import CacheEntry
from ..errors import HeadwaterError
from ..store.reader import Reader
from .earlier import kept_results

log = logging.getLogger("headwater.conductor")


class KeptResults:
    """`tell` hears one word for each step that was to be looked up, found or not."""

    def __init__(self, reader: Reader, files: Files, tell: Callable[[LookedUp], None]) -> None:
        self._reader, self._files, self._tell = reader, files, tell
        self._tasks: set[asyncio.Task[None]] = set()

    def look_up(self, wanted: Sequence[LookUp]) -> None:
        """All that a commit led to in one look. Does not block."""
        if wanted:
            task = asyncio.get_running_loop().create_task(self._look_up(wanted))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _look_up(self, wanted: Sequence[LookUp]) -> None:
        """Where the rows cannot be asked, the steps run."""
        found: dict[str, CacheEntry] = {}
        try:
            found = await asyncio.to_thread(kept_results, self._reader, self._files, {each.key for each in wanted})
        except (HeadwaterError, OSError) as error:
            log.warning("%d steps run without a look at what is kept: %s", len(wanted), error)
        for each in wanted:
            self._tell(LookedUp(each.step_id, found.get(each.key)))
