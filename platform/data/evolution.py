"""How the columns of an older file become those of the table: by field id, never by name.

Handled here is what one cast per column can do: renames, new optional columns, reordering and the
promotions of numbers. Anything else makes the file foreign, and pyiceberg reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
from pyiceberg.io.pyarrow import pyarrow_to_schema
from pyiceberg.schema import Schema
from pyiceberg.table import FileScanTask
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.types import DecimalType, DoubleType, FloatType, IcebergType, IntegerType, LongType, NestedField

from .shapes import plain


@dataclass(frozen=True, slots=True)
class FileColumns:
    """`names` maps a column of the table to that of the file, None where the file was written before it."""

    schema: Schema
    names: Mapping[str, str | None]


def columns_in(
    physical: pa.Schema, metadata: TableMetadata, task: FileScanTask, wanted: pa.Schema
) -> FileColumns | None:
    """Where `wanted` columns of the table are in a file; None where the file is foreign."""
    schema = _file_schema(physical, metadata)
    if schema is None or len(set(physical.names)) < len(physical.names):
        return None
    spec = metadata.specs()[task.file.spec_id]
    names: dict[str, str | None] = {}
    for target in wanted:
        field = metadata.schema().find_field(target.name)
        found = next((candidate for candidate in schema.fields if candidate.field_id == field.field_id), None)
        if found is None:
            if field.required or field.initial_default is not None or spec.fields_by_source_id(field.field_id):
                return None
            names[target.name] = None
        elif "." in found.name or not _castable(found, field, physical.field(found.name).type, target.type):
            return None
        else:
            names[target.name] = found.name
    return FileColumns(schema, names)


def _file_schema(physical: pa.Schema, metadata: TableMetadata) -> Schema | None:
    try:
        return pyarrow_to_schema(physical, metadata.name_mapping(), format_version=metadata.format_version)
    except Exception:  # a file that cannot be described here may still be read by pyiceberg, which says what is wrong
        return None


def _castable(found: NestedField, field: NestedField, source: pa.DataType, target: pa.DataType) -> bool:
    if found.field_type == field.field_type:
        return bool(plain(source) == target)
    return _promotes(found.field_type, field.field_type)


def _promotes(old: IcebergType, new: IcebergType) -> bool:
    match old, new:
        case (IntegerType(), LongType()) | (FloatType(), DoubleType()):
            return True
        case DecimalType(), DecimalType():
            return old.scale == new.scale and old.precision <= new.precision
        case _:
            return False
