"""What an owner need not know any more: commands that came in long ago, each of its own inbox."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from ..config import Store
from ..errors import Unavailable
from ..store.aged import forget_inbox, inbox_kept_us
from .journal import Journal
from .loop import wall_clock_us

RETRY_S: Final = 60.0

log = logging.getLogger("headwater.owner")


async def forget_for_ever(journal: Journal, owner: str, settings: Store) -> None:
    """Every `archive_every_s`, in a transaction of the owner's own."""
    while True:
        try:
            gone = await forget_once(journal, owner, wall_clock_us() - inbox_kept_us(settings.inbox_retention_s))
            if gone:
                log.info("%s: %d commands of long ago are forgotten", owner, gone)
            await asyncio.sleep(settings.archive_every_s)
        except Unavailable as error:
            log.warning("%s: its inbox could not be tidied: %s", owner, error)
            await asyncio.sleep(min(settings.archive_every_s, RETRY_S))


async def forget_once(journal: Journal, owner: str, before_us: int) -> int:
    return await journal.forget(lambda rows: forget_inbox(rows, owner, before_us))
