"""Makes the plan of a scan: reads manifests, deletes and footers, and prunes what cannot match.

In order: ask `authorize`, refuse equality deletes, prune files by the statistics in the manifests,
read the dead rows, then each file's footer, and prune row groups by the statistics there.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyiceberg.expressions import AlwaysTrue, BooleanExpression
from pyiceberg.expressions.visitors import bind, translate_column_names
from pyiceberg.io.pyarrow import expression_to_pyarrow
from pyiceberg.manifest import FileFormat
from pyiceberg.schema import Schema
from pyiceberg.table import FileScanTask, ManifestGroupPlanner, StaticTable

from ..errors import Conflict, InvalidInput, did_you_mean
from ..governance.access import Action, authorize
from . import deletes, filters, shapes
from .catalog import as_of, open_snapshot
from .decode import ForeignFile, LocalSource, ParquetFile, Scan
from .evolution import columns_in
from .history import appended_since
from .plan import Plan, Split, digest
from .query import Query, Reader
from .snapshot import Snapshot

_FOOTER_THREADS = 4
_EXPANSION = 4  # decoded bytes per byte of a compressed file, where its footer was not read

Files = dict[str, ParquetFile | ForeignFile]


def plan(snapshot: Snapshot, query: Query | None = None, *, reader: Reader | None = None) -> Plan:
    """The ordered splits that answer `query`, empty for a table without data.

    Raises InvalidInput for unknown columns and filters that do not fit, Conflict where `since` cannot
    be answered by appended rows alone or where the access is refused.
    """
    query = query or Query()
    table = open_snapshot(snapshot)
    names = _columns(as_of(table.metadata, snapshot.snapshot_id).schema(), query, snapshot.table)
    where = _permitted(snapshot.table, names, query, reader or Reader())
    scan = _scan(table, snapshot, names, filters.parse(where))
    tasks = _tasks(scan, snapshot, query)
    files, splits = _files_and_splits(scan, tasks)
    rows = sum(_alive(files[split.path], split) for split in splits)
    exact = scan.predicate is None and not any(task.delete_files and _is_foreign(files, task) for task in tasks)
    name = digest(snapshot, (names, where, query.since), splits)
    return Plan(snapshot, scan.schema, splits, rows, exact, name, LocalSource(scan, files))


def _columns(schema: Schema, query: Query, table: str) -> tuple[str, ...]:
    known = [field.name for field in schema.fields]
    names = tuple(known) if query.columns is None else query.columns
    for name in names:
        if name not in known:
            raise InvalidInput(f"table {table} has no column '{name}'", remedy=did_you_mean(name, known))
    if not names or len(set(names)) < len(names):
        raise InvalidInput(f"the selection {list(names)} of table {table} is empty or repeats", remedy="Name each once")
    return names


def _permitted(table: str, names: tuple[str, ...], query: Query, reader: Reader) -> str:
    """The reader's filter and that of the access rules, as one. Raises Conflict where the access is refused."""
    touched = tuple(dict.fromkeys((*names, *sorted(filters.referenced(filters.parse(query.where))))))
    decision = authorize(reader.principal, Action.READ, table, touched, reader.purpose)
    denied = decision.denied_columns()
    if not decision.allowed or denied:
        what = f"{reader.principal} may not read {', '.join(denied) or 'anything'} of {table}"
        raise Conflict(what, remedy=decision.reason or "Ask the table's owner")
    return filters.both(query.where, decision.row_filter)


def _scan(table: StaticTable, snapshot: Snapshot, names: tuple[str, ...], row_filter: BooleanExpression) -> Scan:
    metadata = as_of(table.metadata, snapshot.snapshot_id)
    schema = metadata.schema()
    bound = filters.bound(row_filter, schema, snapshot.table)
    touched = tuple(sorted({name.split(".")[0] for name in filters.referenced(row_filter)}))
    return Scan(
        metadata=metadata,
        io=table.io,
        schema=shapes.delivered(schema, names),
        projection=schema.select(*names),
        row_filter=row_filter,
        predicate=None if isinstance(bound, AlwaysTrue) else expression_to_pyarrow(bound, schema),
        predicate_schema=shapes.delivered(schema, touched),
    )


def _tasks(scan: Scan, snapshot: Snapshot, query: Query) -> list[FileScanTask]:
    """The files that may hold matching rows, oldest first."""
    chosen = None if snapshot.snapshot_id is None else scan.metadata.snapshot_by_id(snapshot.snapshot_id)
    if chosen is None:
        return []
    manifests = chosen.manifests(scan.io)
    deletes.refuse_equality_deletes(manifests, scan.io, snapshot.table)
    planner = ManifestGroupPlanner(scan.metadata, scan.io, scan.row_filter)
    if query.since is None:
        return list(planner.plan_files(list(reversed(manifests))))
    appended = appended_since(scan.metadata, snapshot, query.since, scan.io)
    return list(planner.plan_files(appended.manifests, appended.holds))


def _files_and_splits(scan: Scan, tasks: list[FileScanTask]) -> tuple[Files, tuple[Split, ...]]:
    dead = deletes.read_positions([task for task in tasks if deletes.understood(task)], scan.io)
    with ThreadPoolExecutor(_FOOTER_THREADS, thread_name_prefix="footers") as pool:
        opened = list(pool.map(lambda task: _open(scan, task, dead.get(task.file.file_path, deletes.NONE)), tasks))
    files: Files = {task.file.file_path: file for task, (file, _) in zip(tasks, opened, strict=True)}
    return files, tuple(split for _, splits in opened for split in splits)


def _open(scan: Scan, task: FileScanTask, dead: deletes.Positions) -> tuple[ParquetFile | ForeignFile, list[Split]]:
    path = task.file.file_path
    whole = Split(path, None, 0, task.file.record_count, task.file.file_size_in_bytes * _EXPANSION)
    if task.file.file_format is not FileFormat.PARQUET or not deletes.understood(task):
        return ForeignFile(task), [whole]
    with scan.io.new_input(path).open() as handle:
        fragment = ds.ParquetFileFormat().make_fragment(handle)
        found = columns_in(fragment.physical_schema, scan.metadata, task, _touched(scan))
        if found is None:
            return ForeignFile(task), [whole]
        groups = _row_groups(fragment, scan, found.schema)
        file = ParquetFile(fragment.metadata, found.names, dead)
    return file, _splits(path, file, groups)


def _touched(scan: Scan) -> pa.Schema:
    return pa.schema([*scan.schema, *(field for field in scan.predicate_schema if field.name not in scan.schema.names)])


def _row_groups(fragment: ds.ParquetFileFragment, scan: Scan, file_schema: Schema) -> set[int]:
    """The row groups whose statistics do not rule the filter out.

    A file of 32-bit floats in a table of 64-bit ones is not pruned: its statistics would be compared
    with a literal that was rounded.
    """
    rounded = pa.float32() in fragment.physical_schema.types and pa.float64() in scan.predicate_schema.types
    if scan.predicate is None or rounded:
        return set(range(fragment.metadata.num_row_groups))
    bound = bind(scan.metadata.schema(), scan.row_filter, case_sensitive=True)
    in_file = bind(file_schema, translate_column_names(bound, file_schema), case_sensitive=True)
    chosen = fragment.subset(filter=expression_to_pyarrow(in_file, file_schema), schema=fragment.physical_schema)
    return {group.id for group in chosen.row_groups}


def _splits(path: str, file: ParquetFile, groups: set[int]) -> list[Split]:
    splits, first_row = [], 0
    wanted = {name for name in file.names.values() if name is not None}
    for number in range(file.footer.num_row_groups):
        group = file.footer.row_group(number)
        if number in groups and group.num_rows:
            splits.append(Split(path, number, first_row, group.num_rows, _size_bytes(group, wanted)))
        first_row += group.num_rows
    return splits


def _size_bytes(group: pq.RowGroupMetaData, wanted: set[str]) -> int:
    """The encoded size of the wanted columns, or eight bytes a value where a dictionary made that smaller."""
    columns = [
        column for i in range(group.num_columns) if (column := group.column(i)).path_in_schema.split(".")[0] in wanted
    ]
    return sum(max(column.total_uncompressed_size, column.num_values * 8) for column in columns)


def _alive(file: ParquetFile | ForeignFile, split: Split) -> int:
    mask = None if isinstance(file, ForeignFile) else deletes.alive(file.dead, split.first_row, split.rows)
    return split.rows if mask is None else int(mask.sum())


def _is_foreign(files: Files, task: FileScanTask) -> bool:
    return isinstance(files[task.file.file_path], ForeignFile)
