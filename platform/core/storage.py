"""What projects store, and how much each may: bytes of artifacts, tables and logs. Pure, whole numbers.

An artifact counts from when a result that names it is accepted until it is collected: once for each project that has
it, in full, so that nobody's account moves when another lets go. Of a table each project is charged what it wrote, as
the summaries of the snapshots say. Logs count as the last sweep found them; what is printed is never refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from ..wire.terms import JSON
from .records.storage import StorageUse

WARNED_PERCENT: Final = 80
OK, WARNED, FULL = "ok", "warned", "full"
REMEDY: Final = (
    "Let runs and their results go (`headwater artifacts collect`), remove rows of tables, or raise `storage` of the "
    "project in the quota tree"
)


def total_of(use: StorageUse) -> int:
    return use.artifacts_bytes + use.tables_bytes + use.logs_bytes


def level_of(use: StorageUse, limit_bytes: int | None) -> str:
    """`full` where nothing more may be written, `warned` from four fifths of the limit on."""
    if limit_bytes is None:
        return OK
    used_bytes = total_of(use)
    if used_bytes >= limit_bytes:
        return FULL
    return WARNED if used_bytes * 100 >= limit_bytes * WARNED_PERCENT else OK


def refusal(use: StorageUse, limit_bytes: int | None, what: str, size_bytes: int) -> str:
    """Why `what`, of so many bytes, may not be stored; empty where it may."""
    used_bytes = total_of(use)
    if limit_bytes is None or size_bytes <= 0 or used_bytes + size_bytes <= limit_bytes:
        return ""
    parts = f"artifacts {said(use.artifacts_bytes)}, tables {said(use.tables_bytes)}, logs {said(use.logs_bytes)}"
    return (
        f"Project {use.project} may store {said(limit_bytes)} and has {said(used_bytes)} ({parts}): there is no room "
        f"for {what} of {said(size_bytes)}"
    )


def limits_in(tree: JSON) -> dict[str, int]:
    """The bytes that each project may store, from the written form of a quota tree; those without a limit left out."""
    return dict(_limits(tree.get("cohort", {}))) if isinstance(tree, dict) else {}


def _limits(group: Mapping[str, JSON]) -> Iterator[tuple[str, int]]:
    for body in group.values():
        for name, project in body.get("projects", {}).items():
            if "storage" in project:
                yield name, int(project["storage"])
        yield from _limits(body.get("teams", {}))


def said(size_bytes: int) -> str:
    """With its unit, and exactly where that says less."""
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        scale = 1 << (10 * power)
        if size_bytes >= scale:
            whole, tenths = divmod(size_bytes * 10 // scale, 10)
            number = f"{whole}" if size_bytes % scale == 0 else f"{whole}.{tenths}"
            return f"{number} {unit} ({size_bytes:,} bytes)"
    return f"{size_bytes:,} bytes"


def charged(shares: Mapping[str, int], writer: str, *, added: int, removed: int) -> dict[str, int]:
    """What each project has of a table after a snapshot of `writer`: what it removed is taken off its own first, then
    off the largest."""
    after = dict(shares)
    after[writer] = after.get(writer, 0) + added
    return _less(after, removed, first=writer)


def levelled(shares: Mapping[str, int], total_bytes: int, writer: str) -> dict[str, int]:
    """The shares of a table whose line was broken: what is beyond the shares is the writer's."""
    before = sum(shares.values())
    return charged(shares, writer, added=max(0, total_bytes - before), removed=max(0, before - total_bytes))


def _less(shares: dict[str, int], removed: int, *, first: str) -> dict[str, int]:
    after = dict(shares)
    for project in sorted(after, key=lambda name: (name != first, -after[name], name)):
        taken = min(after[project], removed)
        after[project] -= taken
        removed -= taken
    return after


def moved(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """By how much each share has changed; those that have not are left out."""
    names = sorted({*before, *after})
    changed = {name: after.get(name, 0) - before.get(name, 0) for name in names}
    return {name: delta for name, delta in changed.items() if delta}


def used_more(use: StorageUse, **more: int) -> StorageUse:
    """The use with so much more of a kind (`artifacts_bytes`, …), never below 0."""
    return msgspec.structs.replace(use, **{name: max(0, getattr(use, name) + delta) for name, delta in more.items()})
