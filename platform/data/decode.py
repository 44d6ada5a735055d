"""Decodes the splits of Parquet files: the filter's columns first, and the rest only where rows are left.

Files that need more than a cast per column (nested evolution, partition values, other formats) are
read whole by pyiceberg's own ArrowScan. Decoding releases the interpreter's lock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.expressions import BooleanExpression
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.schema import Schema
from pyiceberg.table import FileScanTask
from pyiceberg.table.metadata import TableMetadata

from .deletes import Positions, alive
from .plan import Split

_ROW = "\0row"

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ParquetFile:
    """A file decoded by us: `names` maps a table's column to the file's, None where the file lacks it (nulls)."""

    footer: pq.FileMetaData
    names: Mapping[str, str | None]
    dead: Positions


@dataclass(frozen=True, slots=True)
class ForeignFile:
    """A file decoded by pyiceberg."""

    task: FileScanTask


@dataclass(frozen=True, slots=True)
class Scan:
    """What all files of a plan share; `predicate` speaks of `predicate_schema`, in the table's names and types."""

    metadata: TableMetadata
    io: FileIO
    schema: pa.Schema
    projection: Schema
    row_filter: BooleanExpression
    predicate: pc.Expression | None
    predicate_schema: pa.Schema


@dataclass(frozen=True, slots=True)
class LocalSource:
    """Decodes in this process: the UnitSource of tables that this process may open."""

    scan: Scan
    files: Mapping[str, ParquetFile | ForeignFile]

    def decode(self, split: Split) -> list[pa.RecordBatch]:
        file = self.files[split.path]
        if isinstance(file, ForeignFile):
            return _decode_whole(self.scan, file)
        with self.scan.io.new_input(split.path).open() as handle:
            parquet = pq.ParquetFile(handle, metadata=file.footer, pre_buffer=False)
            return _decode_row_group(self.scan, _RowGroup(parquet, file, split))


@dataclass(frozen=True, slots=True)
class _RowGroup:
    parquet: pq.ParquetFile
    file: ParquetFile
    split: Split


def _decode_row_group(scan: Scan, group: _RowGroup) -> list[pa.RecordBatch]:
    mask = alive(group.file.dead, group.split.first_row, group.split.rows)
    decoded: dict[str, pa.ChunkedArray] = {}
    if scan.predicate is not None:
        decoded = _columns(group, scan.predicate_schema)
        mask = _both(mask, _matching(decoded, scan.predicate, group.split.rows))
        if mask is not None and not mask.any():
            return []
    rest = [field for field in scan.schema if field.name not in decoded]
    decoded |= _columns(group, pa.schema(rest))
    table = pa.Table.from_arrays([decoded[name] for name in scan.schema.names], schema=scan.schema)
    batches: list[pa.RecordBatch] = _chosen(table, mask).to_batches()
    return batches


def _columns(group: _RowGroup, schema: pa.Schema) -> dict[str, pa.ChunkedArray]:
    """The columns of one row group in the table's names and types."""
    names = [name for field in schema if (name := group.file.names[field.name]) is not None]
    read = group.parquet.read_row_group(group.split.row_group, columns=names, use_threads=False) if names else None
    return {field.name: _column(group, read, field) for field in schema}


def _column(group: _RowGroup, read: pa.Table | None, field: pa.Field) -> pa.ChunkedArray:
    name = group.file.names[field.name]
    if read is None or name is None:
        return pa.chunked_array([pa.nulls(group.split.rows, field.type)])
    column = read.column(name)
    return column if column.type == field.type else column.cast(field.type)


def _matching(columns: dict[str, pa.ChunkedArray], predicate: pc.Expression, rows: int) -> Mask | None:
    numbered = pa.table(columns | {_ROW: np.arange(rows, dtype=np.int64)})
    found = numbered.filter(predicate).column(_ROW).to_numpy()
    if len(found) == rows:
        return None
    mask = np.zeros(rows, dtype=np.bool_)
    mask[found] = True
    return mask


def _both(left: Mask | None, right: Mask | None) -> Mask | None:
    if left is None or right is None:
        return left if right is None else right
    return left & right


def _chosen(table: pa.Table, mask: Mask | None) -> pa.Table:
    return table if mask is None or mask.all() else table.filter(pa.array(mask))


def _decode_whole(scan: Scan, file: ForeignFile) -> list[pa.RecordBatch]:
    reader = ArrowScan(scan.metadata, scan.io, scan.projection, scan.row_filter, case_sensitive=True)
    batches = (batch.select(scan.schema.names) for batch in reader.to_record_batches([file.task]))
    tables = [pa.Table.from_batches([batch]).cast(scan.schema) for batch in batches]
    return [batch for table in tables for batch in table.to_batches() if batch.num_rows]
