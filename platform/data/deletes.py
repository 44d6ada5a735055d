"""Rows that were deleted without rewriting their file: positional delete files and deletion vectors.

Both come to the same thing, the absolute positions of dead rows in one data file, sorted. Positions
count rows of the file before any filter. Equality deletes are not understood and are refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestContent, ManifestFile
from pyiceberg.table import FileScanTask
from pyiceberg.table.deletion_vector import deletion_vectors_from_puffin_file
from pyiceberg.table.puffin import PuffinFile

from ..errors import InvalidInput

Positions = npt.NDArray[np.int64]

NONE: Positions = np.empty(0, dtype=np.int64)


def refuse_equality_deletes(manifests: Iterable[ManifestFile], io: FileIO, table: str) -> None:
    """Raises InvalidInput where a live equality delete exists: reading past it would return deleted rows."""
    for manifest in manifests:
        if manifest.content is not ManifestContent.DELETES:
            continue
        for entry in manifest.fetch_manifest_entry(io, discard_deleted=True):
            if entry.data_file.content is DataFileContent.EQUALITY_DELETES:
                what = f"table {table} holds equality deletes ({entry.data_file.file_path}), which are not supported"
                raise InvalidInput(what, remedy="Compact the table with the engine that wrote them, then read it")


def understood(task: FileScanTask) -> bool:
    """Whether all deletes of the file are in formats that this module reads."""
    return all(file.file_format in (FileFormat.PARQUET, FileFormat.PUFFIN) for file in task.delete_files)


def read_positions(tasks: Iterable[FileScanTask], io: FileIO) -> dict[str, Positions]:
    """The dead rows of each data file that has any, sorted and without repeats."""
    wanted: dict[str, set[str]] = {}
    files: dict[str, DataFile] = {}
    for task in tasks:
        for file in task.delete_files:
            files[file.file_path] = file
            wanted.setdefault(file.file_path, set()).add(task.file.file_path)
    found: dict[str, list[Positions]] = {}
    for path, file in files.items():
        for data_path, positions in _read(file, wanted[path], io).items():
            found.setdefault(data_path, []).append(positions)
    return {path: np.unique(np.concatenate(parts)) for path, parts in found.items()}


def alive(dead: Positions, first_row: int, rows: int) -> npt.NDArray[np.bool_] | None:
    """A mask of the rows alive among `rows` from `first_row`; None where all of them are."""
    low, high = np.searchsorted(dead, (first_row, first_row + rows))
    if low == high:
        return None
    mask = np.ones(rows, dtype=np.bool_)
    mask[dead[low:high] - first_row] = False
    return mask


def _read(file: DataFile, data_paths: set[str], io: FileIO) -> Mapping[str, Positions]:
    with io.new_input(file.file_path).open() as handle:
        if file.file_format is FileFormat.PUFFIN:
            return _from_puffin(handle.read(), data_paths)
        chosen = pc.field("file_path").isin(sorted(data_paths))
        table = pq.read_table(handle, columns=["file_path", "pos"], filters=chosen)
    return {path: _of_file(table, path) for path in data_paths}


def _of_file(table: pa.Table, path: str) -> Positions:
    rows = table.filter(pc.equal(table.column("file_path"), path))
    positions: Positions = rows.column("pos").to_numpy().astype(np.int64, copy=False)
    return positions


def _from_puffin(content: bytes, data_paths: set[str]) -> dict[str, Positions]:
    vectors = deletion_vectors_from_puffin_file(PuffinFile(content))
    return {
        vector.referenced_data_file: vector.to_vector().to_numpy().astype(np.int64, copy=False)
        for vector in vectors
        if vector.referenced_data_file in data_paths
    }
