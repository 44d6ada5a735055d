"""Files in the fast layout, one row group in memory, and batches that do not fit named by their column."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import Catalog

from headwater.data.commit import Append, append_batches, prepare
from headwater.data.write import Layout, Target, WrittenFile, write_files
from headwater.errors import InvalidInput

NAME = "lake.trips"
SCHEMA = pa.schema([pa.field("id", pa.int64()), pa.field("carrier", pa.string()), pa.field("price", pa.float64())])


def batches(count: int, rows: int) -> Iterator[pa.RecordBatch]:
    for number in range(count):
        ids = np.arange(rows) + number * rows
        columns = [pa.array(ids), pa.array(np.array(["AA", "UA"])[ids % 2]), pa.array(ids / 7)]
        yield pa.record_batch(columns, schema=SCHEMA)


def footer(file: WrittenFile) -> pq.FileMetaData:
    return pq.read_metadata(file.path.removeprefix("file://"))


def files_at(target: Target) -> list[Path]:
    return list(Path(target.location.removeprefix("file://")).glob("*.parquet"))


def test_row_groups_are_even_whatever_the_batches_were(catalog: Catalog) -> None:
    (file,) = write_files(prepare(catalog, NAME, SCHEMA), batches(10, 33), Layout(group_rows=100))
    groups = [footer(file).row_group(i).num_rows for i in range(footer(file).num_row_groups)]
    assert groups == [100, 100, 100, 30]
    assert file.rows == 330


def test_a_dictionary_is_kept_where_values_are_few(catalog: Catalog) -> None:
    (file,) = write_files(prepare(catalog, NAME, SCHEMA), batches(1, 1000))
    group = footer(file).row_group(0)
    assert [group.column(i).has_dictionary_page for i in range(3)] == [False, True, False]
    assert group.column(0).compression == "LZ4"


def test_a_file_ends_when_it_is_large_enough(catalog: Catalog) -> None:
    target = prepare(catalog, NAME, SCHEMA)
    files = write_files(target, batches(10, 100), Layout(group_rows=100, file_bytes=1))
    assert [file.rows for file in files] == [100] * 10
    assert len(files_at(target)) == 10


def test_wide_rows_end_a_row_group_early(catalog: Catalog) -> None:
    (file,) = write_files(prepare(catalog, NAME, SCHEMA), batches(4, 50), Layout(group_bytes=1500))
    assert footer(file).num_row_groups == 2


def test_batches_are_read_one_row_group_at_a_time(catalog: Catalog) -> None:
    target = prepare(catalog, NAME, SCHEMA)
    written_before: list[int] = []

    def watched() -> Iterator[pa.RecordBatch]:
        for batch in batches(6, 100):
            written_before.append(len(files_at(target)))
            yield batch

    write_files(target, watched(), Layout(group_rows=100, file_bytes=1))
    assert written_before == [0, 1, 2, 3, 4, 5]


def test_files_carry_the_field_ids_of_the_table(catalog: Catalog) -> None:
    (file,) = write_files(prepare(catalog, NAME, SCHEMA), batches(1, 3))
    schema = footer(file).schema.to_arrow_schema()
    assert [schema.field(i).metadata[b"PARQUET:field_id"] for i in range(3)] == [b"1", b"2", b"3"]


def test_a_failed_write_leaves_no_file(catalog: Catalog) -> None:
    target = prepare(catalog, NAME, SCHEMA)

    def breaks() -> Iterator[pa.RecordBatch]:
        yield from batches(3, 100)
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        write_files(target, breaks(), Layout(group_rows=100, file_bytes=1))
    assert files_at(target) == []


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ({"id": [1], "carier": ["AA"]}, "table lake.trips has no column 'carier'. Did you mean 'carrier'?"),
        ({"id": ["one"]}, "column 'id' of table lake.trips is int64, the batch holds string"),
        ({"price": [1]}, "column 'price' of table lake.trips is double, the batch holds int64"),
    ],
)
def test_rows_that_do_not_fit_name_the_column(catalog: Catalog, rows: dict[str, list[object]], says: str) -> None:
    target = prepare(catalog, NAME, SCHEMA)
    with pytest.raises(InvalidInput) as caught:
        write_files(target, pa.table(rows).to_batches())
    assert says in str(caught.value)


def test_a_required_column_must_be_there_and_full(catalog: Catalog) -> None:
    strict = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("note", pa.string())])
    target = prepare(catalog, NAME, strict)
    with pytest.raises(InvalidInput, match=r"column 'id' of table lake\.trips is required and missing"):
        write_files(target, pa.table({"note": ["x"]}).to_batches())
    with pytest.raises(InvalidInput, match="is required and holds 1 nulls"):
        write_files(target, pa.table({"id": pa.array([1, None], pa.int64())}).to_batches())


def test_narrower_numbers_dictionaries_and_missing_columns_are_made_to_fit(catalog: Catalog) -> None:
    rows = pa.table({"carrier": pa.array(["AA", "UA"]).dictionary_encode(), "id": pa.array([1, 2], pa.int16())})
    append_batches(catalog, Append(NAME, (), "a"), SCHEMA, batches(1, 2))
    append_batches(catalog, Append(NAME, (), "b"), rows.schema, rows.to_batches())
    found = catalog.load_table(NAME).scan(row_filter="price is null").to_arrow()
    assert found.column("id").to_pylist() == [1, 2]


def test_a_new_table_takes_the_nearest_types_that_iceberg_has(catalog: Catalog) -> None:
    rows = pa.table(
        {
            "tiny": pa.array([1], pa.uint8()),
            "when": pa.array([1000], pa.timestamp("ns")),
            "half": pa.array([1.5], pa.float16()),
            "word": pa.array(["x"], pa.large_string()),
        }
    )
    append_batches(catalog, Append(NAME, (), "a"), rows.schema, rows.to_batches())
    kinds = [str(field.field_type) for field in catalog.load_table(NAME).schema().fields]
    assert kinds == ["int", "timestamp", "float", "string"]


@pytest.mark.parametrize("kind", [pa.null(), pa.uint64(), pa.duration("s")])
def test_a_type_that_iceberg_has_not_is_refused_by_column(catalog: Catalog, kind: pa.DataType) -> None:
    with pytest.raises(InvalidInput, match=r"column 'odd' of table lake\.trips has the type"):
        prepare(catalog, NAME, pa.schema([pa.field("odd", kind)]))
