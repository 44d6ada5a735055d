"""Where tables are found: pyiceberg's catalog, opened shortly, and the pinned snapshots that it gives.

Embedded, the catalog is a SQLite file of its own beside the warehouse; in production it is a REST
catalog by configuration. Readers resolve once and afterwards open the metadata file that the
snapshot names, so the catalog is never in their way.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.table import StaticTable, Table
from pyiceberg.table.metadata import TableMetadata

from ..errors import InvalidInput, NotFound, did_you_mean
from .durable import DurableFileIO
from .snapshot import Column, Snapshot


@dataclass(frozen=True, slots=True)
class CatalogSettings:
    """`properties` are pyiceberg's own words for a catalog (`type`, `uri`, `warehouse`, ...)."""

    name: str
    properties: Mapping[str, str] = field(default_factory=dict)


def embedded(lake: Path) -> CatalogSettings:
    """The catalog of one machine: `catalog.db` and `warehouse/` in the folder `lake`, which is private to the user."""
    folder = lake.absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / "warehouse").mkdir(exist_ok=True)
    settings = _settings(folder, folder / "catalog.db")
    if not (folder / "catalog.db").exists():
        _make(folder)
    return settings


def _settings(folder: Path, database: Path) -> CatalogSettings:
    properties = {
        "type": "sql",
        "uri": f"sqlite:///{database}",
        "warehouse": f"file://{folder / 'warehouse'}",
        "py-io-impl": f"{DurableFileIO.__module__}.{DurableFileIO.__name__}",
    }
    return CatalogSettings("headwater", properties)


def _make(folder: Path) -> None:
    """The catalog's file, made aside and put in place whole: pyiceberg's own making fails where two do it at once."""
    with (folder / "catalog.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "catalog.db").exists():
            return
        with opened(_settings(folder, folder / "catalog.db.new")):
            (folder / "catalog.db.new").chmod(0o600)
        (folder / "catalog.db.new").replace(folder / "catalog.db")


@contextmanager
def opened(settings: CatalogSettings) -> Iterator[Catalog]:
    """The catalog, closed again at the end: no connection outlives the question."""
    catalog = load_catalog(settings.name, **settings.properties)
    try:
        yield catalog
    finally:
        catalog.close()


def list_tables(catalog: Catalog) -> list[str]:
    """The full names of all tables, sorted; namespaces of one level."""
    names = [".".join(name) for space in catalog.list_namespaces() for name in catalog.list_tables(space)]
    return sorted(names)


def resolve(catalog: Catalog, name: str, snapshot_id: int | None = None) -> Snapshot:
    """The table's snapshot, pinned: the current one, or the one named. Raises NotFound."""
    return snapshot_of(name, load(catalog, name), snapshot_id)


def load(catalog: Catalog, name: str) -> Table:
    """pyiceberg's table. Raises NotFound with the nearest known name."""
    checked_name(name)
    try:
        return catalog.load_table(name)
    except (NoSuchTableError, NoSuchNamespaceError):
        raise NotFound(f"no table {name!r}", remedy=did_you_mean(name, list_tables(catalog))) from None


def checked_name(name: str) -> str:
    """The name, if it is `namespace.table`. Raises InvalidInput."""
    parts = name.split(".")
    if len(parts) < 2 or not all(part.replace("_", "a").replace("-", "a").isalnum() for part in parts):
        raise InvalidInput(f"{name!r} is no table name", remedy="Write namespace.table, as in lake.flights")
    return name


def snapshot_of(name: str, table: Table, snapshot_id: int | None = None) -> Snapshot:
    """The reference that travels, from pyiceberg's table."""
    metadata = table.metadata
    chosen = metadata.current_snapshot_id if snapshot_id is None else snapshot_id
    if chosen is not None and metadata.snapshot_by_id(chosen) is None:
        known = ", ".join(str(entry.snapshot_id) for entry in metadata.snapshots[-5:]) or "none"
        raise NotFound(f"table {name} has no snapshot {chosen}", remedy=f"The latest are: {known}")
    schema = as_of(metadata, chosen).schema()
    columns = tuple(Column(field.name, str(field.field_type), field.required) for field in schema.fields)
    return Snapshot(name, table.metadata_location, chosen, columns, _rows(metadata, chosen))


def open_snapshot(snapshot: Snapshot) -> StaticTable:
    """The table as its metadata file says, without the catalog. Raises NotFound where the file is gone."""
    try:
        return StaticTable.from_metadata(snapshot.metadata_location)
    except FileNotFoundError:
        what = f"the metadata of {snapshot.table} at {snapshot.metadata_location} is gone"
        raise NotFound(what, remedy="Pin the table again; its snapshot has expired") from None


def as_of(metadata: TableMetadata, snapshot_id: int | None) -> TableMetadata:
    """The metadata with the schema an older snapshot was written with; the current one has the current schema."""
    if snapshot_id is None or snapshot_id == metadata.current_snapshot_id:
        return metadata
    snapshot = metadata.snapshot_by_id(snapshot_id)
    if snapshot is None or snapshot.schema_id is None or snapshot.schema_id == metadata.current_schema_id:
        return metadata
    return metadata.model_copy(update={"current_schema_id": snapshot.schema_id})


def _rows(metadata: TableMetadata, snapshot_id: int | None) -> int | None:
    if snapshot_id is None:
        return 0
    snapshot = metadata.snapshot_by_id(snapshot_id)
    summary = None if snapshot is None else snapshot.summary
    if summary is None or summary["total-records"] is None:
        return None
    return int(summary["total-records"]) - int(summary["total-position-deletes"] or 0)
