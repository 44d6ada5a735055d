"""What is told to the accounts of storage, beside the hot path: artifacts that are gone, and the sums of logs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable

from ..core.log_keeping import Log
from ..store.queries import Queries
from .seams import Platform


async def end_charges(platform: Platform) -> int:
    """How many charges have ended of artifacts that are not there any more, whoever has taken them away."""
    missing = await asyncio.to_thread(_missing, platform)
    return await platform.owners.artifacts_gone(missing) if missing else 0


def _missing(platform: Platform) -> list[str]:
    """Charged first, then looked for: what is put and charged meanwhile is not missed."""
    charged = platform.queries.charged_digests()
    return sorted(charged - {kept.digest for kept in platform.files.there()})


def sums_of(queries: Queries, logs: Iterable[Log]) -> dict[str, int]:
    """The bytes of logs by project; those of a run that the rows know no more are nobody's."""
    sums = Counter[str]()
    by_run = Counter[str]()
    for log in logs:
        by_run[log.run_id] += log.size_bytes
    for run_id, project in queries.projects_of(by_run).items():
        sums[project] += by_run[run_id]
    return dict(sums)
