"""Writes Arrow batches as Parquet data files in the layout that reads fastest.

Row groups of 131,072 rows are the reader's unit of work; lz4 decodes at memory speed; a dictionary
is kept only where a column has few values, since elsewhere it slows both sides. At most one row
group is held in memory, never the table. The files belong to no table until they are committed.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io import FileIO, load_file_io

from .shapes import conform


@dataclass(frozen=True, slots=True)
class Layout:
    """`group_bytes` ends a row group of wide rows early; `dictionary_share` is the most distinct values per row that
    a column with a dictionary may have.
    """

    group_rows: int = 131_072
    group_bytes: int = 128 * 1024 * 1024
    file_bytes: int = 512 * 1024 * 1024
    compression: str = "lz4"
    dictionary_share: float = 0.05


@dataclass(frozen=True, slots=True)
class Target:
    """Where the files of a table go and what they look like; `schema` carries the field ids."""

    table: str
    location: str
    schema: pa.Schema


@dataclass(frozen=True, slots=True)
class WrittenFile:
    path: str
    rows: int
    size_bytes: int


def write_files(
    target: Target, batches: Iterable[pa.RecordBatch], layout: Layout | None = None
) -> tuple[WrittenFile, ...]:
    """The data files written, in order. Raises InvalidInput naming the column that does not fit.

    On any error the files written so far are removed again.
    """
    layout, io = layout or Layout(), load_file_io(location=target.location)
    groups = _groups(target, batches, layout)
    written: list[WrittenFile] = []
    path = _new_path(target)
    try:
        for first in groups:
            written.append(_write_file(io.new_output(path).create(), path, _From(first, groups, layout)))
            path = _new_path(target)
    except BaseException:
        _remove(io, [*(file.path for file in written), path])
        raise
    return tuple(written)


def discard(files: Iterable[WrittenFile]) -> None:
    """Removes files that no table has."""
    for file in files:
        _remove(load_file_io(location=file.path), [file.path])


@dataclass(frozen=True, slots=True)
class _From:
    first: pa.Table
    rest: Iterator[pa.Table]
    layout: Layout


def _write_file(sink: object, path: str, source: _From) -> WrittenFile:
    """One file, of row groups from the source until it is large enough or the source is empty."""
    layout, rows = source.layout, 0
    dictionary = _columns_of_few_values(source.first, layout)
    with sink as stream, _writer(stream, source.first.schema, dictionary, layout) as writer:  # type: ignore[attr-defined]
        group: pa.Table | None = source.first
        while group is not None:
            writer.write_table(group, row_group_size=max(group.num_rows, 1))
            rows += group.num_rows
            group = next(source.rest, None) if stream.tell() < layout.file_bytes else None
        writer.close()
        return WrittenFile(path, rows, stream.tell())


def _writer(stream: object, schema: pa.Schema, dictionary: list[str], layout: Layout) -> pq.ParquetWriter:
    return pq.ParquetWriter(stream, schema, use_dictionary=dictionary or False, compression=layout.compression)


def _groups(target: Target, batches: Iterable[pa.RecordBatch], layout: Layout) -> Iterator[pa.Table]:
    """Tables of one row group each."""
    held: list[pa.RecordBatch] = []
    rows = size_bytes = 0
    for batch in batches:
        fitting = conform(batch, target.schema, target.table)
        for piece in _pieces(fitting, layout.group_rows - rows, layout.group_rows):
            held.append(piece)
            rows, size_bytes = rows + piece.num_rows, size_bytes + piece.nbytes
            if rows >= layout.group_rows or size_bytes >= layout.group_bytes:
                yield pa.Table.from_batches(held)
                held, rows, size_bytes = [], 0, 0
    if rows:
        yield pa.Table.from_batches(held)


def _pieces(batch: pa.RecordBatch, first: int, rows: int) -> Iterator[pa.RecordBatch]:
    """Slices of the batch: the first of at most `first` rows, the others of at most `rows`."""
    start, size = 0, first
    while start < batch.num_rows:
        yield batch.slice(start, size)
        start, size = start + size, rows


def _columns_of_few_values(group: pa.Table, layout: Layout) -> list[str]:
    flat = [field.name for field in group.schema if not pa.types.is_nested(field.type) and not _has_bits(field.type)]
    most = max(1, int(group.num_rows * layout.dictionary_share))
    return [name for name in flat if pc.count_distinct(group.column(name)).as_py() <= most]


def _has_bits(kind: pa.DataType) -> bool:
    return bool(pa.types.is_boolean(kind) or isinstance(kind, pa.ExtensionType))


def _new_path(target: Target) -> str:
    return f"{target.location}/{uuid.uuid4().hex}.parquet"


def _remove(io: FileIO, paths: Iterable[str]) -> None:
    for path in paths:
        try:
            io.delete(path)
        except OSError:  # the last one may not have been begun; what stays behind belongs to no table
            continue
