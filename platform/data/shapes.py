"""Arrow schemas of Iceberg tables: what is delivered, what may be written, and how a batch is made to fit.

Delivered types are the plain ones (string, list), never the large ones, so that a batch has the same
schema whoever wrote its file.
"""

from __future__ import annotations

import pyarrow as pa
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.schema import Schema

from ..errors import InvalidInput, did_you_mean


def delivered(schema: Schema, names: tuple[str, ...]) -> pa.Schema:
    """The Arrow schema of `names`, in that order, without field ids."""
    arrow = schema_to_pyarrow(schema, include_field_ids=False)
    return pa.schema([_bare(arrow.field(name)) for name in names])


def stored(schema: Schema) -> pa.Schema:
    """The Arrow schema that data files of a table are written with: plain types, field ids in the metadata."""
    return pa.schema([_with_plain_type(field) for field in schema_to_pyarrow(schema)])


def plain(kind: pa.DataType) -> pa.DataType:
    """The same type with 32-bit offsets and without dictionaries."""
    if pa.types.is_dictionary(kind):
        return plain(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_struct(kind):
        return pa.struct([_with_plain_type(kind.field(i)) for i in range(kind.num_fields)])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(_with_plain_type(kind.value_field))
    if pa.types.is_map(kind):
        return pa.map_(_with_plain_type(kind.key_field), _with_plain_type(kind.item_field))
    return kind


_WIDER: dict[pa.DataType, pa.DataType] = {
    pa.int8(): pa.int32(),
    pa.int16(): pa.int32(),
    pa.uint8(): pa.int32(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.float16(): pa.float32(),
}


def creatable(schema: pa.Schema, table: str) -> pa.Schema:
    """The schema a new table gets from batches of `schema`. Raises InvalidInput for a type Iceberg has not."""
    return pa.schema([_creatable(field, table) for field in schema])


def _creatable(field: pa.Field, table: str) -> pa.Field:
    kind = plain(field.type)
    if pa.types.is_null(kind) or kind == pa.uint64() or pa.types.is_duration(kind):
        what = f"column '{field.name}' of table {table} has the type {field.type}, which Iceberg cannot store"
        raise InvalidInput(what, remedy="Cast the column before appending")
    if pa.types.is_timestamp(kind):
        kind = pa.timestamp("us", tz="UTC" if kind.tz else None)
    return pa.field(field.name, _WIDER.get(kind, kind), nullable=field.nullable)


def conform(batch: pa.RecordBatch, target: pa.Schema, table: str) -> pa.RecordBatch:
    """The batch with the table's columns, order and types. Raises InvalidInput naming the first column that differs."""
    extra = [name for name in batch.schema.names if name not in target.names]
    if extra:
        what = f"table {table} has no column '{extra[0]}'"
        raise InvalidInput(what, remedy=did_you_mean(extra[0], target.names))
    return pa.RecordBatch.from_arrays([_conformed(batch, field, table) for field in target], schema=target)


def _conformed(batch: pa.RecordBatch, field: pa.Field, table: str) -> pa.Array:
    if field.name not in batch.schema.names:
        if field.nullable:
            return pa.nulls(batch.num_rows, field.type)
        remedy = f"Batches hold: {', '.join(batch.schema.names)}"
        raise InvalidInput(f"column '{field.name}' of table {table} is required and missing", remedy=remedy)
    column = batch.column(field.name)
    if not field.nullable and column.null_count:
        what = f"column '{field.name}' of table {table} is required and holds {column.null_count} nulls"
        raise InvalidInput(what, remedy="Fill them before appending")
    return column if column.type == field.type else _cast(column, field, table)


def _cast(column: pa.Array, field: pa.Field, table: str) -> pa.Array:
    kind = plain(column.type)
    if kind == plain(field.type) or _fits(kind, field.type):
        try:
            return column.cast(field.type)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            what = f"column '{field.name}' of table {table} cannot become {field.type}: {error}"
            raise InvalidInput(what, remedy="Cast the column before appending") from None
    what = f"column '{field.name}' of table {table} is {field.type}, the batch holds {column.type}"
    raise InvalidInput(what, remedy="Cast the column before appending, or append to another table")


def _fits(source: pa.DataType, target: pa.DataType) -> bool:
    """Whether every value of `source` has its place in `target`; timestamps are checked value by value."""
    if pa.types.is_null(source) or _WIDER.get(source) == target:
        return True
    if pa.types.is_integer(source) and pa.types.is_integer(target):
        return bool(source.bit_width < target.bit_width)
    if pa.types.is_floating(source) and pa.types.is_floating(target):
        return bool(source.bit_width < target.bit_width)
    if pa.types.is_decimal(source) and pa.types.is_decimal(target):
        return bool(source.scale == target.scale and source.precision <= target.precision)
    if pa.types.is_timestamp(source) and pa.types.is_timestamp(target):
        return (source.tz is None) == (target.tz is None)
    return bool(pa.types.is_nested(source) and source.id == plain(target).id)


def _with_plain_type(field: pa.Field) -> pa.Field:
    return field.with_type(plain(field.type))


def _bare(field: pa.Field) -> pa.Field:
    return pa.field(field.name, plain(field.type), nullable=field.nullable)
