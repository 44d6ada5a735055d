"""Where the folders of models live: addressed by what they hold, found through the context.

A step runs with the platform's artifacts as `current_artifacts`; a notebook or a test that sets none gets
a temporary folder, which lives as long as the process.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Protocol

from ..artifacts.files import Files


class ArtifactStore(Protocol):
    """Folders by digest. Putting an equal folder again is the same digest and no second copy."""

    def put_folder(self, path: Path) -> str: ...

    def folder(self, digest: str) -> Path:
        """Where the folder can be read; raises NotFound."""
        ...


class FolderArtifacts:
    """Folders kept as trees of content-addressed files, laid out below `unpacked` at first use."""

    def __init__(self, files: Path, unpacked: Path) -> None:
        self._files, self._unpacked = Files(files), unpacked

    def put_folder(self, path: Path) -> str:
        return self._files.put_tree(path)

    def folder(self, digest: str) -> Path:
        return self._files.materialise(digest, self._unpacked / digest)


current_artifacts: ContextVar[ArtifactStore | None] = ContextVar("current_artifacts", default=None)


def artifacts() -> ArtifactStore:
    """The store of this context, otherwise this process's temporary one."""
    return current_artifacts.get() or _temporary()


@cache
def _temporary() -> FolderArtifacts:
    root = Path(tempfile.mkdtemp(prefix="headwater-models-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return FolderArtifacts(root / "artifacts", root / "models")
