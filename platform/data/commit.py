"""Commits data files to a table, each key once.

    load the table ─► is the key in a snapshot since the announced head? ─► yes: that snapshot, again
          ▲                         │ no
          └──── conflict ◄── append, asserting the head just looked at ─► committed

pyiceberg's own retries are off, because they would rebase the append without looking for the key.
The catalog swaps the metadata only where the head is still the one that was searched, so a key
cannot slip in between. An outcome that is unknown (a lost answer) is mended by committing again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import orjson
import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, TableAlreadyExistsError
from pyiceberg.io.pyarrow import parquet_file_to_data_file
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from ..errors import InvalidInput, NotFound, Unavailable
from .catalog import checked_name, load
from .durable import sync
from .history import KEY, OFFSETS, PROJECT, Entry, find_key
from .shapes import creatable, stored
from .write import Layout, Target, WrittenFile, write_files

_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Append:
    """Files to commit under `key` (run/step/n); `offsets` says how far their source was read, `project` who writes."""

    table: str
    files: tuple[WrittenFile, ...]
    key: str
    offsets: Mapping[str, int] = field(default_factory=dict)
    announced_head: int | None = None
    project: str = ""


@dataclass(frozen=True, slots=True)
class Committed:
    """`already` says that an earlier commit carried the key and this one changed nothing."""

    table: str
    snapshot_id: int
    parent_id: int | None
    rows: int
    already: bool
    metadata_location: str


def prepare(catalog: Catalog, name: str, schema: pa.Schema) -> Target:
    """Where and how to write files for the table, which is created, empty, where it does not exist."""
    return target_of(name, _existing_or_new(catalog, name, schema))


def target_of(name: str, table: Table) -> Target:
    """The same for a table at hand. Raises InvalidInput for a partitioned one."""
    if not table.spec().is_unpartitioned():
        what = f"table {name} is partitioned ({', '.join(f.name for f in table.spec().fields)})"
        raise InvalidInput(
            what, remedy="Append to it with the engine that made it; Headwater writes unpartitioned tables"
        )
    return Target(name, f"{table.location().rstrip('/')}/data", stored(table.schema()))


def commit(catalog: Catalog, append: Append) -> Committed:
    """The snapshot that holds the files, or the one that an earlier commit of the key made.

    Raises Unavailable when others keep committing in between; then nothing was committed.
    """
    for _ in range(_ATTEMPTS):
        table = load(catalog, append.table)
        found = find_key(table.metadata, append.key, append.announced_head)
        if found is not None:
            return _committed(append.table, table, found, already=True)
        try:
            return _append(table, append)
        except CommitFailedException:
            continue
    what = f"the append {append.key} to {append.table} met {_ATTEMPTS} other commits in a row"
    raise Unavailable(what, remedy="Commit it again with the same key")


def append_batches(catalog: Catalog, append: Append, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Committed:
    """Write and commit in one: nothing is written where the key is already there. `append.files` is added to."""
    target = prepare(catalog, append.table, schema)
    table = load(catalog, append.table)
    found = find_key(table.metadata, append.key, append.announced_head)
    if found is not None:
        return _committed(append.table, table, found, already=True)
    files = (*append.files, *write_files(target, batches, Layout()))
    return commit(catalog, replace(append, files=files))


def _append(table: Table, append: Append) -> Committed:
    files = [_data_file(table, file) for file in append.files]
    properties = {KEY: append.key, OFFSETS: orjson.dumps(dict(append.offsets)).decode()}
    properties |= {PROJECT: append.project} if append.project else {}
    alone = {**table.metadata.properties, "commit.retry.num-retries": "0"}
    table.metadata = table.metadata.model_copy(update={"properties": alone})
    with table.transaction() as transaction, transaction.update_snapshot(properties).fast_append() as producer:
        for file in files:
            producer.append_data_file(file)
    found = find_key(table.metadata, append.key, append.announced_head)
    assert found is not None, f"the commit of {append.key} to {append.table} is not in its own metadata"
    return _committed(append.table, table, found, already=False)


def _data_file(table: Table, file: WrittenFile) -> DataFile:
    """The file as a manifest has it; from here on a power cut leaves it there."""
    try:
        sync(file.path)
        return parquet_file_to_data_file(table.io, table.metadata, file.path)
    except FileNotFoundError:
        raise NotFound(f"the data file {file.path} is gone", remedy="Write the files again") from None
    except ValueError as error:
        raise InvalidInput(f"the data file {file.path} does not fit its table: {error}") from None


def _committed(name: str, table: Table, entry: Entry, *, already: bool) -> Committed:
    return Committed(name, entry.snapshot_id, entry.parent_id, entry.rows_added, already, table.metadata_location)


def _existing_or_new(catalog: Catalog, name: str, schema: pa.Schema) -> Table:
    if catalog.table_exists(checked_name(name)):
        return catalog.load_table(name)
    wanted = creatable(schema, name)
    catalog.create_namespace_if_not_exists(name.rpartition(".")[0])
    try:
        return catalog.create_table(name, wanted, properties={"commit.retry.num-retries": "0"})
    except TableAlreadyExistsError:
        return catalog.load_table(name)
