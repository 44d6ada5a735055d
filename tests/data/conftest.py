"""A real catalog in a folder of its own, and the deletes that other engines write and pyiceberg does not."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestEntry,
    ManifestEntryStatus,
    ManifestFile,
    ManifestWriterV2,
)
from pyiceberg.table import Table
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update.snapshot import _FastAppendFiles
from pyiceberg.typedef import Record
from pyroaring import BitMap

from headwater.data import catalog as catalogs

DeleteRows = Callable[..., None]


@pytest.fixture
def lake_folder(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def catalog(lake_folder: Path) -> Iterator[Catalog]:
    with catalogs.opened(catalogs.embedded(lake_folder)) as opened:
        opened.create_namespace("lake")
        yield opened


@pytest.fixture
def delete_rows() -> DeleteRows:
    """Deletes rows by position in one data file, as merge-on-read engines do: `delete_rows(table, path, rows)`."""

    def delete(table: Table, path: str, rows: list[int]) -> None:
        target = f"{table.location()}/data/{len(table.metadata.snapshots)}-deletes.parquet"
        with table.io.new_output(target).create(overwrite=True) as sink:
            pq.write_table(pa.table({"file_path": [path] * len(rows), "pos": pa.array(sorted(rows), pa.int64())}), sink)
        _commit_deletes(table, _delete_file(target, DataFileContent.POSITION_DELETES, FileFormat.PARQUET, len(rows)))

    return delete


@pytest.fixture
def delete_rows_by_vector() -> DeleteRows:
    """The same with a deletion vector in a Puffin file."""

    def delete(table: Table, path: str, rows: list[int]) -> None:
        target = f"{table.location()}/data/{len(table.metadata.snapshots)}-deletes.puffin"
        with table.io.new_output(target).create(overwrite=True) as sink:
            sink.write(_puffin(path, rows))
        _commit_deletes(table, _delete_file(target, DataFileContent.POSITION_DELETES, FileFormat.PUFFIN, len(rows)))

    return delete


@pytest.fixture
def delete_by_equality() -> Callable[[Table], None]:
    """An equality delete, which we refuse: its file need not even exist."""

    def delete(table: Table) -> None:
        target = f"{table.location()}/data/equality.parquet"
        file = _delete_file(target, DataFileContent.EQUALITY_DELETES, FileFormat.PARQUET, 1, equality_ids=[1])
        _commit_deletes(table, file)

    return delete


def _delete_file(path: str, content: DataFileContent, kind: FileFormat, rows: int, **more: Any) -> DataFile:
    file = DataFile.from_args(
        content=content,
        file_path=path,
        file_format=kind,
        partition=Record(),
        record_count=rows,
        **more,
        file_size_in_bytes=1,
    )
    file.spec_id = 0
    return file


class _DeleteManifest(ManifestWriterV2):
    def content(self) -> ManifestContent:
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return {**super()._meta, "content": "deletes"}


class _RowDelta(_FastAppendFiles):
    """A snapshot that adds one delete file."""

    delete_file: DataFile

    def _manifests(self) -> list[ManifestFile]:
        output = self.new_manifest_output()
        writer = _DeleteManifest(self.spec(0), self.schema(), output, self._snapshot_id, self._compression)
        with writer:
            entry = ManifestEntry.from_args(
                status=ManifestEntryStatus.ADDED,
                snapshot_id=self._snapshot_id,
                sequence_number=None,
                file_sequence_number=None,
                data_file=self.delete_file,
            )
            writer.add(entry)
        return [writer.to_manifest_file(), *self._existing_manifests()]


def _commit_deletes(table: Table, file: DataFile) -> None:
    with table.transaction() as transaction:
        producer = _RowDelta(Operation.DELETE, transaction, table.io)
        producer.delete_file = file
        producer.commit()


def _puffin(path: str, rows: list[int]) -> bytes:
    bitmap = struct.pack("<qi", 1, 0) + BitMap(rows).serialize()
    vector = b"\xd1\xd3\x39\x64" + bitmap
    blob = struct.pack(">i", len(vector)) + vector + struct.pack(">I", zlib.crc32(vector))
    about = {
        "type": "deletion-vector-v1",
        "fields": [2147483545],
        "snapshot-id": -1,
        "sequence-number": -1,
        "offset": 4,
        "length": len(blob),
        "properties": {"referenced-data-file": path, "cardinality": str(len(rows))},
    }
    footer = json.dumps({"blobs": [about], "properties": {}}).encode()
    return b"PFA1" + blob + b"PFA1" + footer + struct.pack("<i", len(footer)) + bytes(4) + b"PFA1"
