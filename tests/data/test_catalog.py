from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog

from headwater.data import catalog as catalogs
from headwater.data.snapshot import Column, Snapshot
from headwater.errors import InvalidInput, NotFound

SCHEMA = pa.schema([pa.field("id", pa.int64(), nullable=False), pa.field("tags", pa.list_(pa.string()))])


def test_a_reference_says_what_the_table_looks_like(catalog: Catalog) -> None:
    catalog.create_table("lake.trips", SCHEMA)
    snapshot = catalogs.resolve(catalog, "lake.trips")
    assert (snapshot.snapshot_id, snapshot.rows) == (None, 0)
    assert snapshot.columns == (Column("id", "long", required=True), Column("tags", "list<string>"))
    assert msgspec.json.decode(msgspec.json.encode(snapshot), type=Snapshot) == snapshot


def test_a_reference_is_read_without_the_catalog(catalog: Catalog, lake_folder: Path) -> None:
    catalog.create_table("lake.trips", SCHEMA)
    snapshot = catalogs.resolve(catalog, "lake.trips")
    (lake_folder / "catalog.db").unlink()
    assert catalogs.open_snapshot(snapshot).schema().column_names[0] == "id"


def test_a_reference_whose_metadata_is_gone_says_so(catalog: Catalog) -> None:
    catalog.create_table("lake.trips", SCHEMA)
    snapshot = catalogs.resolve(catalog, "lake.trips")
    Path(snapshot.metadata_location.removeprefix("file://")).unlink()
    with pytest.raises(NotFound, match=r"the metadata of lake\.trips at .* is gone"):
        catalogs.open_snapshot(snapshot)


def test_tables_are_listed_by_their_full_names(catalog: Catalog) -> None:
    catalog.create_namespace("eta")
    for name in ("lake.trips", "eta.trips", "lake.weather"):
        catalog.create_table(name, SCHEMA)
    assert catalogs.list_tables(catalog) == ["eta.trips", "lake.trips", "lake.weather"]


@pytest.mark.parametrize("name", ["trips", "", ".trips", "lake.", "lake.tr ips", "lake..trips", "lake.trips;drop"])
def test_what_is_no_table_name_is_refused(catalog: Catalog, name: str) -> None:
    with pytest.raises(InvalidInput, match="is no table name"):
        catalogs.resolve(catalog, name)


def test_a_namespace_that_is_not_there_is_a_table_not_found(catalog: Catalog) -> None:
    with pytest.raises(NotFound, match=r"no table 'sea\.trips'"):
        catalogs.resolve(catalog, "sea.trips")


def test_many_may_open_a_new_lake_at_once(lake_folder: Path) -> None:
    def names(_: int) -> list[str]:
        with catalogs.opened(catalogs.embedded(lake_folder)) as opened:
            return catalogs.list_tables(opened)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(names, range(8))) == [[]] * 8
    assert (lake_folder / "catalog.db").stat().st_mode & 0o077 == 0
