"""What an owner need not know any more: commands that came in long ago, each of its own inbox; and what it owns that
was given back, or replaced, long ago."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from ..config import Store
from ..errors import Unavailable
from ..store.aged import forget_inbox, inbox_kept_us
from ..store.reader import Reader
from ..store.superseded import Forget, free_leases, old_code, old_trees
from .journal import Journal
from .loop import wall_clock_us

RETRY_S: Final = 60.0

log = logging.getLogger("headwater.owner")


class Outgrown(NamedTuple):
    """What one owner lets go of: what it is, how long it is kept, and what of it may go."""

    what: str
    keep_s: Callable[[Store], float]
    old: Callable[[Reader, int], Forget]


OUTGROWN: Final[Mapping[str, Outgrown]] = {
    "gpu_pool": Outgrown("leases that are free again", lambda store: store.usage_keep_s, free_leases),
    "registry": Outgrown("code versions that nothing needs", lambda store: store.code_keep_s, old_code),
    "scheduler": Outgrown("quota trees", lambda store: store.trees_keep_s, old_trees),
}


async def forget_for_ever(journal: Journal, reader: Reader, owner: str, settings: Store) -> None:
    """Every `archive_every_s`, in transactions of the owner's own."""
    while True:
        try:
            now_us = wall_clock_us()
            gone = await forget_once(journal, owner, now_us - inbox_kept_us(settings.inbox_retention_s))
            if gone:
                log.info("%s: %d commands of long ago are forgotten", owner, gone)
            while await let_go(journal, reader, owner, settings, now_us):
                pass
            await asyncio.sleep(settings.archive_every_s)
        except Unavailable as error:
            log.warning("%s: what is old could not be forgotten: %s", owner, error)
            await asyncio.sleep(min(settings.archive_every_s, RETRY_S))


async def forget_once(journal: Journal, owner: str, before_us: int) -> int:
    return await journal.forget(lambda rows: forget_inbox(rows, owner, before_us))


async def let_go(journal: Journal, reader: Reader, owner: str, settings: Store, now_us: int) -> int:
    """How much of what the owner has outgrown has left; none where that is kept for ever."""
    outgrown = OUTGROWN.get(owner)
    keep_s = outgrown.keep_s(settings) if outgrown else 0
    if outgrown is None or not keep_s:
        return 0
    forget = await asyncio.to_thread(outgrown.old, reader, now_us - int(keep_s * 1e6))
    gone = await journal.forget(forget)
    if gone:
        log.info("%s: %d %s are forgotten", owner, gone, outgrown.what)
    return gone
