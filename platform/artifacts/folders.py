"""Folders as artifacts: put as a tree, read as a folder that is laid out once per node."""

from __future__ import annotations

from pathlib import Path

from .files import Files


class Folders:
    """Trees of `files`, laid out below `root` by digest when first asked for. What lies there is never changed."""

    def __init__(self, files: Files, root: Path) -> None:
        self._files, self._root = files, root

    def put_folder(self, path: Path) -> str:
        """The digest of the tree; an equal folder gives the same one."""
        return self._files.put_tree(path)

    def folder(self, digest: str) -> Path:
        """Where the folder can be read; raises NotFound."""
        return self._files.materialise(digest, self._root / digest)
