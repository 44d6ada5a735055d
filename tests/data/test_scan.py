"""What the stream reads is what pyiceberg reads, on tables made at random."""

from __future__ import annotations

import datetime as dt
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.table import Table
from pyiceberg.types import IntegerType, LongType, NestedField, StringType, StructType

from headwater.data import catalog as catalogs
from headwater.data.commit import Append, append_batches
from headwater.data.decode import ForeignFile, LocalSource
from headwater.data.plan import Delivery, Plan
from headwater.data.query import Query
from headwater.data.scan import plan
from headwater.data.snapshot import Snapshot
from headwater.data.stream import stream
from headwater.errors import Conflict, InvalidInput

NAME = "lake.trips"


def rows_of(seed: int, count: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    holes = rng.random(count) < 0.2
    return pa.table(
        {
            "id": pa.array(np.arange(count) + seed * 1_000_000, pa.int64()),
            "small": pa.array(rng.integers(-50, 50, count), pa.int32(), mask=holes),
            "price": pa.array(rng.normal(size=count), pa.float64(), mask=rng.random(count) < 0.1),
            "carrier": pa.array(rng.choice(["AA", "UA", "DL"], count), pa.string(), mask=holes),
            "day": pa.array([dt.date(2013, 1, 1) + dt.timedelta(days=int(d)) for d in rng.integers(0, 300, count)]),
            "paid": pa.array([Decimal(int(c)) / 100 for c in rng.integers(0, 9999, count)], pa.decimal128(9, 2)),
            "flag": pa.array(rng.random(count) < 0.5),
            "at": pa.array(rng.integers(0, 10**15, count), pa.timestamp("us", tz="UTC")),
            "tags": pa.array([["x"] * int(n) for n in rng.integers(0, 3, count)], pa.list_(pa.string())),
        }
    )


def a_table(catalog: Catalog, count: int = 500) -> Table:
    """Files of ours and of pyiceberg's, in small row groups, with deletes of neither."""
    first = rows_of(1, count)
    append_batches(catalog, Append(NAME, (), "first"), first.schema, first.to_batches(max_chunksize=70))
    table = catalog.load_table(NAME)
    with table.transaction() as transaction:
        transaction.set_properties({"write.parquet.row-group-limit": "64"})
    table.append(rows_of(2, count).cast(table.schema().as_arrow()))
    return table


def evolve(table: Table) -> None:
    with table.update_schema() as schema:
        schema.rename_column("price", "cost")
        schema.update_column("small", LongType())
        schema.add_column("note", StringType())
        schema.delete_column("flag")
        schema.move_first("carrier")


def pinned(catalog: Catalog) -> Snapshot:
    return catalogs.resolve(catalog, NAME)


def read(plan: Plan, batch_rows: int = 97) -> pa.Table:
    return pa.Table.from_batches(list(stream(plan, Delivery(batch_rows=batch_rows))), schema=plan.schema)


def by_pyiceberg(table: Table, where: str = "") -> pa.Table:
    return table.scan(row_filter=where or "true").to_arrow()


def assert_same_rows(ours: pa.Table, theirs: pa.Table) -> None:
    theirs = theirs.select(ours.schema.names).cast(ours.schema).sort_by("id")
    assert ours.sort_by("id").combine_chunks().equals(theirs.combine_chunks())


FILTERS = [
    "",
    "small < 0",
    "small >= 10 and carrier = 'AA'",
    "carrier in ('AA', 'DL') or carrier is null",
    "not (small > 3)",
    "day >= '2013-06-01' and day < '2013-07-01'",
    "paid <= 12.50",
    "id > 2000100",
    "id < 0",
    "carrier like 'A%' and small is not null",
]


@pytest.mark.parametrize("where", FILTERS)
def test_the_stream_reads_what_pyiceberg_reads(catalog: Catalog, where: str) -> None:
    table = a_table(catalog)
    assert_same_rows(read(plan(pinned(catalog), Query(where=where))), by_pyiceberg(table, where))


@pytest.mark.parametrize("where", [*FILTERS, "note is null and cost > 0.5", "note = 'late'"])
def test_evolved_tables_read_as_pyiceberg_reads_them(
    catalog: Catalog, where: str, delete_rows: Callable[..., None], delete_rows_by_vector: Callable[..., None]
) -> None:
    table = a_table(catalog)
    old, new = sorted(task.file.file_path for task in table.scan().plan_files())
    delete_rows(table, old, [0, 63, 64, 65, 311, 499])
    evolve(table)
    more = table.schema().as_arrow()
    newer = rows_of(3, 200).rename_columns({"price": "cost"}).drop_columns(["flag"])
    table.append(newer.append_column("note", pa.array(["late"] * 200)).select(more.names).cast(more))
    delete_rows_by_vector(table, new, [1, 2, 3, 130])
    assert_same_rows(read(plan(pinned(catalog), Query(where=where))), by_pyiceberg(table, where))


@pytest.mark.parametrize("seed", range(8))
def test_tables_made_at_random_read_as_pyiceberg_reads_them(
    catalog: Catalog, seed: int, delete_rows: Callable[..., None], delete_rows_by_vector: Callable[..., None]
) -> None:
    rng = np.random.default_rng(seed)
    table = a_table(catalog, int(rng.integers(1, 300)))
    for step in range(6):
        files = sorted((task.file for task in table.scan().plan_files()), key=lambda file: file.file_path)
        file = files[int(rng.integers(len(files)))]
        dead = rng.choice(file.record_count, int(rng.integers(1, file.record_count + 1)), replace=False)
        match rng.integers(4):
            case 0:
                delete_rows(table, file.file_path, dead.tolist())
            case 1:
                delete_rows_by_vector(table, file.file_path, dead.tolist())
            case 2:
                table.append(rows_fitting(table, 10 + step))
            case _:
                evolve_at_random(table, rng, step)
    where = str(rng.choice([*FILTERS[:2], "id > 1000100", "id >= 2000020 and small is not null"]))
    assert_same_rows(read(plan(pinned(catalog), Query(where=where))), by_pyiceberg(table, where))


def evolve_at_random(table: Table, rng: np.random.Generator, step: int) -> None:
    names = [field.name for field in table.schema().fields if field.name not in ("id", "small")]
    with table.update_schema() as schema:
        schema.rename_column(str(rng.choice(names)), f"renamed_{step}")
        schema.add_column(f"added_{step}", LongType())
        if rng.random() < 0.5:
            schema.move_first("id")
        if rng.random() < 0.5 and isinstance(table.schema().find_type("small"), IntegerType):
            schema.update_column("small", LongType())


def rows_fitting(table: Table, seed: int) -> pa.Table:
    """Rows for the table as it is now: known columns by their first names' types, others null."""
    known, target = rows_of(seed, 40), table.schema().as_arrow()
    columns = [known[f.name].cast(f.type) if f.name in known.column_names else pa.nulls(40, f.type) for f in target]
    return pa.table(columns, schema=target)


def test_every_file_of_a_plain_table_is_decoded_by_us(catalog: Catalog) -> None:
    a_table(catalog)
    source = plan(pinned(catalog)).source
    assert isinstance(source, LocalSource)
    assert not any(isinstance(file, ForeignFile) for file in source.files.values())


def test_files_that_need_more_than_a_cast_are_read_by_pyiceberg(catalog: Catalog) -> None:
    table = a_table(catalog)
    with table.update_schema() as schema:
        schema.add_column("place", StructType(NestedField(1, "city", StringType(), required=False)))
    table.append(rows_of(4, 60).append_column("place", pa.array([{"city": "x"}] * 60)).cast(table.schema().as_arrow()))
    with table.update_schema() as schema:
        schema.add_column(("place", "street"), StringType())
    found = plan(pinned(catalog), Query(where="carrier = 'AA'"))
    assert isinstance(found.source, LocalSource)
    assert [isinstance(file, ForeignFile) for file in found.source.files.values()] == [False, False, True]
    assert_same_rows(read(found), by_pyiceberg(table, "carrier = 'AA'"))


@pytest.mark.parametrize("where", ["", "carrier = 'AA'", "carrier = 'UA' and small > 0", "carrier is null"])
def test_partitioned_tables_of_other_engines_are_read(catalog: Catalog, where: str) -> None:
    table = a_table(catalog, 50)
    with table.update_spec() as spec:
        spec.add_identity("carrier")
    table.append(rows_fitting(table, 4))
    assert_same_rows(read(plan(pinned(catalog), Query(where=where))), by_pyiceberg(table, where))


def test_a_filter_reaches_into_a_struct(catalog: Catalog) -> None:
    table = a_table(catalog, 10)
    with table.update_schema() as schema:
        schema.add_column("place", StructType(NestedField(1, "city", StringType(), required=False)))
    table.append(rows_of(4, 5).append_column("place", pa.array([{"city": "x"}] * 5)).cast(table.schema().as_arrow()))
    assert read(plan(pinned(catalog), Query(columns=("id",), where="place.city = 'x'"))).num_rows == 5


def test_a_plan_has_the_same_name_in_every_process(catalog: Catalog) -> None:
    a_table(catalog, 10)
    query, snapshot = Query(where="carrier in ('AA', 'UA', 'DL')"), pinned(catalog)
    code = (
        "import sys, pickle; from headwater.data.scan import plan;"
        "print(plan(*pickle.loads(bytes.fromhex(sys.argv[1]))).digest)"
    )
    sent = [sys.executable, "-c", code, pickle.dumps((snapshot, query)).hex()]
    found = {
        subprocess.run(sent, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {plan(snapshot, query).digest}


def test_columns_come_in_the_order_asked_for(catalog: Catalog) -> None:
    a_table(catalog)
    ours = read(plan(pinned(catalog), Query(columns=("carrier", "id"), where="small > 0")))
    assert ours.schema.names == ["carrier", "id"]
    assert ours.num_rows > 0


def test_deleted_rows_are_counted_without_reading(catalog: Catalog, delete_rows: Callable[..., None]) -> None:
    table = a_table(catalog)
    path = next(iter(table.scan().plan_files())).file.file_path
    delete_rows(table, path, [3, 3, 70])
    found = plan(pinned(catalog))
    assert (found.rows, found.exact) == (998, True)
    assert read(found).num_rows == 998


def test_row_groups_that_cannot_match_are_not_planned(catalog: Catalog) -> None:
    a_table(catalog)
    found = plan(pinned(catalog), Query(where="id >= 2000490"))
    assert [split.row_group for split in found.splits] == [7]
    assert read(found).num_rows == 10


def test_an_older_snapshot_is_read_with_its_own_schema(catalog: Catalog) -> None:
    table = a_table(catalog)
    before = table.metadata.current_snapshot_id
    evolve(table)
    table.append(table.schema().as_arrow().empty_table())
    ours = read(plan(catalogs.resolve(catalog, NAME, before), Query(where="price > 0")))
    assert "price" in ours.schema.names
    assert ours.num_rows == by_pyiceberg(table, "cost > 0").num_rows


def test_a_table_nobody_has_written_to_has_no_rows(catalog: Catalog) -> None:
    catalog.create_table(NAME, rows_of(1, 1).schema)
    found = plan(pinned(catalog))
    assert (found.rows, found.exact, read(found).num_rows) == (0, True, 0)


def test_since_reads_only_what_was_appended(catalog: Catalog) -> None:
    table = a_table(catalog)
    first, second = (snapshot.snapshot_id for snapshot in table.metadata.snapshots)
    assert read(plan(pinned(catalog), Query(since=first))).column("id").to_pylist() == list(range(2_000_000, 2_000_500))
    assert read(plan(pinned(catalog), Query(since=second))).num_rows == 0
    assert read(plan(pinned(catalog), Query(since=first, where="id < 2000010"))).num_rows == 10


def test_since_refuses_a_table_that_was_also_changed(catalog: Catalog, delete_rows: Callable[..., None]) -> None:
    table = a_table(catalog)
    second = table.metadata.current_snapshot_id
    assert second is not None
    delete_rows(table, next(iter(table.scan().plan_files())).file.file_path, [1])
    with pytest.raises(Conflict, match=r"was not only appended to since .* is 'delete'"):
        plan(pinned(catalog), Query(since=second))
    table.overwrite(rows_of(5, 5).cast(table.schema().as_arrow()))
    with pytest.raises(Conflict, match="was not only appended to"):
        plan(pinned(catalog), Query(since=second))


def test_since_refuses_a_snapshot_that_is_no_ancestor(catalog: Catalog) -> None:
    a_table(catalog)
    with pytest.raises(Conflict, match="snapshot 12345 is no ancestor"):
        plan(pinned(catalog), Query(since=12345))


def test_equality_deletes_are_refused_by_name(catalog: Catalog, delete_by_equality: Callable[[Table], None]) -> None:
    delete_by_equality(a_table(catalog))
    with pytest.raises(InvalidInput, match=r"lake\.trips holds equality deletes .*equality\.parquet"):
        plan(pinned(catalog), Query(where="id < 0"))


@pytest.mark.parametrize(
    ("query", "says"),
    [
        (Query(columns=("carier",)), "no column 'carier'. Did you mean 'carrier'"),
        (Query(where="pric > 3"), "no column 'pric'. Did you mean 'price'"),
        (Query(where="small = 'many'"), "does not fit table lake.trips"),
        (Query(where="small <<"), "cannot be read"),
        (Query(columns=()), "is empty or repeats"),
        (Query(columns=("id", "id")), "is empty or repeats"),
    ],
)
def test_a_query_that_does_not_fit_says_what_would(catalog: Catalog, query: Query, says: str) -> None:
    a_table(catalog, 10)
    with pytest.raises(InvalidInput) as caught:
        plan(pinned(catalog), query)
    assert says in str(caught.value)


def test_files_without_field_ids_are_read_through_the_name_mapping(catalog: Catalog, tmp_path: object) -> None:
    table = a_table(catalog)
    path = f"{tmp_path}/foreign.parquet"
    pq.write_table(rows_of(6, 30), path)
    table.add_files([path])
    assert_same_rows(read(plan(pinned(catalog))), by_pyiceberg(table))
