"""What projects store, as the Conductor remembers it. Fields are the columns."""

from __future__ import annotations

import msgspec


class StorageUse(msgspec.Struct, frozen=True, kw_only=True):
    """What a project stores, in bytes, and the `level` that was said last: ok, warned or full."""

    project: str
    artifacts_bytes: int = 0
    tables_bytes: int = 0
    logs_bytes: int = 0
    level: str = "ok"


class StoredArtifact(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact that is charged to a project. The key is (project, digest)."""

    project: str
    digest: str
    size_bytes: int
    charged_us: int
