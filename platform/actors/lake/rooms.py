"""How much more each project may store, as the rows have it."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from ...core.records.storage import StorageUse
from ...core.storage import limits_in, refusal
from ...store.reader import Reader
from ...store.schema import QUOTA_TREES, STORAGE_USE


class Rooms:
    """The limits of a tree are read once, however often they are asked for. Blocking; safe for several threads."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._limits: tuple[int, dict[str, int]] = (0, {})

    def refusal(self, project: str, what: str, size_bytes: int) -> str:
        """Why the project may not store so much more; empty where it may."""
        with self._reader.picture() as picture:
            version = picture.scalar(sa.select(sa.func.max(QUOTA_TREES.c.version))) or 0
            known, limits = self._limits
            if version != known:
                tree = picture.scalar(sa.select(QUOTA_TREES.c.tree).where(QUOTA_TREES.c.version == version))
                limits = limits_in(msgspec.json.decode(tree))
                self._limits = (version, limits)
            if project not in limits:
                return ""
            uses: list[StorageUse] = picture.rows("storage_use", STORAGE_USE.c.project == project)
        use = uses[0] if uses else StorageUse(project=project)
        return refusal(use, limits[project], what, size_bytes)
