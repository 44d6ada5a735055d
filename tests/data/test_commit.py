"""Each key once, whoever else commits in between."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.table import CommitTableResponse, Table

from headwater.data import catalog as catalogs
from headwater.data.commit import Append, Committed, append_batches, commit, prepare
from headwater.data.history import Reset, find_key, snapshots_between
from headwater.data.write import write_files
from headwater.errors import InvalidInput, NotFound, Unavailable

NAME = "lake.trips"
ROWS = pa.table({"id": pa.array(range(10), pa.int64()), "carrier": ["AA"] * 10})


def append(catalog: Catalog, key: str, announced: int | None = None) -> Committed:
    asked = Append(NAME, (), key, {"trips/0": 42}, announced)
    return append_batches(catalog, asked, ROWS.schema, ROWS.to_batches())


def rows_in(catalog: Catalog) -> int:
    return int(catalog.load_table(NAME).scan().count())


def test_an_append_makes_the_table_and_says_what_it_committed(catalog: Catalog) -> None:
    committed = append(catalog, "run-1/fit/0")
    assert (committed.rows, committed.parent_id, committed.already) == (10, None, False)
    assert catalogs.resolve(catalog, NAME).snapshot_id == committed.snapshot_id
    entry = find_key(catalog.load_table(NAME).metadata, "run-1/fit/0", None)
    assert entry is not None
    assert (entry.key, entry.offsets) == ("run-1/fit/0", {"trips/0": 42})


def test_what_the_catalog_names_is_on_the_disk_before_it_names_it(
    catalog: Catalog, lake_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a power cut would leave a table whose newest metadata nobody can read."""
    append(catalog, "before")
    named, sync = dict[str, str](), os.fsync

    def fsync(handle: int) -> None:
        sync(handle)
        named[os.readlink(f"/proc/self/fd/{handle}")] = metadata_of(lake_folder)

    before = metadata_of(lake_folder)
    there = set(lake_folder.rglob("*"))
    monkeypatch.setattr(os, "fsync", fsync)
    append(catalog, "after")
    written = [path for path in lake_folder.rglob("*") if path not in there and path.is_file()]
    assert sorted(path.suffix for path in written) == [".avro", ".avro", ".json", ".parquet"]
    for path in written:
        assert named[str(path)] == named[str(path.parent)] == before != metadata_of(lake_folder)


def metadata_of(lake: Path) -> str:
    with closing(sqlite3.connect(lake / "catalog.db")) as rows:
        return str(rows.execute("SELECT metadata_location FROM iceberg_tables").fetchone()[0])


def test_a_repeated_key_is_no_second_commit(catalog: Catalog) -> None:
    first = append(catalog, "k")
    append(catalog, "other")
    again = append(catalog, "k")
    assert (again.snapshot_id, again.rows, again.already) == (first.snapshot_id, 10, True)
    assert rows_in(catalog) == 20


def test_the_same_files_committed_again_stay_committed_once(catalog: Catalog) -> None:
    target = prepare(catalog, NAME, ROWS.schema)
    files = write_files(target, ROWS.to_batches())
    first = commit(catalog, Append(NAME, files, "k"))
    assert commit(catalog, Append(NAME, files, "k")).snapshot_id == first.snapshot_id
    assert rows_in(catalog) == 10


def test_a_key_older_than_the_announced_head_is_not_sought(catalog: Catalog) -> None:
    head = append(catalog, "k")
    assert append(catalog, "k", announced=head.snapshot_id).already is False


class Contended(SqlCatalog):
    """A real catalog where somebody else commits the next of `keys` just before each commit of ours."""

    keys: list[str]

    def commit_table(self, table: Table, *rest: object) -> CommitTableResponse:
        if self.keys:
            with catalogs.opened(catalogs.CatalogSettings(self.name, {**self.properties, "type": "sql"})) as other:
                append(other, self.keys.pop(0))
        return super().commit_table(table, *rest)  # type: ignore[arg-type]


@pytest.fixture
def contended(catalog: Catalog, lake_folder: Path) -> Iterator[Contended]:
    append(catalog, "before")
    settings = catalogs.embedded(lake_folder)
    opened = Contended(settings.name, **{name: value for name, value in settings.properties.items() if name != "type"})
    opened.keys = []
    yield opened
    opened.close()


def test_an_append_is_based_anew_on_a_foreign_commit(contended: Contended) -> None:
    contended.keys = ["theirs"]
    ours = append(contended, "ours")
    line = snapshots_between(contended.load_table(NAME).metadata, None, ours.snapshot_id)
    assert isinstance(line, list)
    assert [entry.key for entry in line] == ["before", "theirs", "ours"]


def test_the_key_is_sought_again_after_a_conflict(contended: Contended) -> None:
    contended.keys = ["ours"]
    assert append(contended, "ours").already is True
    assert rows_in(contended) == 20


def test_endless_contention_is_given_up_with_nothing_committed(contended: Contended) -> None:
    contended.keys = [f"theirs-{number}" for number in range(10)]
    files = write_files(prepare(contended, NAME, ROWS.schema), ROWS.to_batches())
    with pytest.raises(Unavailable, match="met 10 other commits in a row"):
        commit(contended, Append(NAME, files, "ours"))
    assert find_key(contended.load_table(NAME).metadata, "ours", None) is None


def test_writers_side_by_side_each_commit_once(lake_folder: Path, catalog: Catalog) -> None:
    append(catalog, "first")

    def one(key: str) -> Committed:
        with catalogs.opened(catalogs.embedded(lake_folder)) as own:
            return append(own, key)

    with ThreadPoolExecutor(3) as pool:
        done = list(pool.map(one, ["a", "b", "a", "c", "b", "a"]))
    assert rows_in(catalog) == 40
    assert len({committed.snapshot_id for committed in done}) == 3


def test_nothing_appended_is_still_a_commit_of_the_key(catalog: Catalog) -> None:
    committed = append_batches(catalog, Append(NAME, (), "empty"), ROWS.schema, [])
    assert committed.rows == 0
    assert append_batches(catalog, Append(NAME, (), "empty"), ROWS.schema, []).already is True


def test_files_that_are_gone_are_named(catalog: Catalog) -> None:
    target = prepare(catalog, NAME, ROWS.schema)
    (file,) = write_files(target, ROWS.to_batches())
    Path(file.path.removeprefix("file://")).unlink()
    with pytest.raises(NotFound, match=r"\.parquet is gone"):
        commit(catalog, Append(NAME, (file,), "k"))


def test_a_partitioned_table_is_refused_by_name(catalog: Catalog) -> None:
    table = catalog.create_table(NAME, ROWS.schema)
    with table.update_spec() as spec:
        spec.add_identity("carrier")
    with pytest.raises(InvalidInput, match=r"lake\.trips is partitioned \(carrier\)"):
        append(catalog, "k")


def test_a_name_without_a_namespace_is_refused(catalog: Catalog) -> None:
    with pytest.raises(InvalidInput, match="'trips' is no table name"):
        prepare(catalog, "trips", ROWS.schema)


def test_snapshots_are_listed_oldest_first_from_the_announced_head(catalog: Catalog) -> None:
    first, second, third = (append(catalog, key) for key in "abc")
    metadata = catalog.load_table(NAME).metadata
    after = snapshots_between(metadata, first.snapshot_id, third.snapshot_id)
    assert isinstance(after, list)
    assert [entry.snapshot_id for entry in after] == [second.snapshot_id, third.snapshot_id]
    assert [(entry.rows_added, entry.rows_total) for entry in after] == [(10, 20), (10, 30)]
    assert snapshots_between(metadata, third.snapshot_id, third.snapshot_id) == []
    assert snapshots_between(metadata, None, None) == []


def test_a_rollback_is_a_reset(catalog: Catalog) -> None:
    first, second = (append(catalog, key) for key in "ab")
    table = catalog.load_table(NAME)
    table.manage_snapshots().rollback_to_snapshot(first.snapshot_id).commit()
    metadata = catalog.load_table(NAME).metadata
    assert snapshots_between(metadata, second.snapshot_id, first.snapshot_id) == Reset(
        second.snapshot_id, first.snapshot_id
    )


def test_a_foreign_commit_is_announced_without_a_key(catalog: Catalog) -> None:
    ours = append(catalog, "a")
    table = catalog.load_table(NAME)
    table.append(ROWS.cast(table.schema().as_arrow()))
    found = snapshots_between(table.metadata, ours.snapshot_id, table.metadata.current_snapshot_id)
    assert isinstance(found, list)
    (entry,) = found
    assert (entry.key, entry.operation, entry.rows_added) == ("", "append", 10)
