"""Files of a table are on the disk before the catalog names them, where the warehouse is a folder.

pyiceberg leaves what it has written in the system's cache, while the catalog's own file is durable at once: a power
cut would leave a catalog that names files which are not there, and a table that nobody can read.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO

LOCAL: Final = "file"
FOLDERS: Final = 4  # data or metadata, the table's, its namespace's, the warehouse: any of them may be new


class DurableFileIO(PyArrowFileIO):
    """What the catalog of a folder writes with; pyiceberg finds it by its name."""

    def new_output(self, location: str) -> PyArrowFile:
        scheme, netloc, path = self.parse_location(location, self.properties)
        kind = _DurableFile if scheme == LOCAL else PyArrowFile
        return kind(location=location, path=path, fs=self.fs_by_scheme(scheme, netloc))


def sync(location: str) -> None:
    """Returns once the file and its name are on the disk; a file of an object store is there when it is written."""
    scheme, _, path = PyArrowFileIO.parse_location(location)
    if scheme == LOCAL:
        for each in (Path(path), *list(Path(path).parents)[:FOLDERS]):
            _sync(each)


class _DurableFile(PyArrowFile):
    def create(self, overwrite: bool = False) -> Any:
        return _Sink(super().create(overwrite), self.location)


class _Sink:
    """A stream whose content is on the disk once it is closed."""

    def __init__(self, stream: Any, location: str) -> None:
        self._stream, self._location = stream, location

    def __getattr__(self, name: str) -> Any:
        """Whatever else a stream can do; Arrow asks for all of it."""
        return getattr(self._stream, name)

    def close(self) -> None:
        if not self._stream.closed:
            self._stream.close()
            sync(self._location)

    def __enter__(self) -> _Sink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
