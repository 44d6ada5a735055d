"""Avro records as JSON, by the schema they were written with.

The decoder is C code that follows the schema wherever the bytes lead. What could lead it without end is refused
beforehand, by the schema: one that contains itself, and lists of what takes no bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any, Final

import fastavro
import msgspec
from fastavro.schema import SchemaParseException

from ..errors import InvalidInput

DEPTH_MAX: Final = 64
_NAMED: Final = ("record", "error", "enum", "fixed")


def reader_of(text: str, referred: Iterable[str]) -> Callable[[bytes], bytes]:
    """Reads one record as JSON; raises ValueError for bytes that are none. InvalidInput where the schema is none.

    `referred` are the texts of the schemas that it names, those first that others name.
    """
    try:
        known: dict[str, Any] = {}
        for each in referred:
            fastavro.parse_schema(msgspec.json.decode(each), named_schemas=known)
        parsed = fastavro.parse_schema(msgspec.json.decode(text), named_schemas=known, expand=False)
    except (SchemaParseException, msgspec.DecodeError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InvalidInput(f"The schema is no Avro schema: {error}", remedy="Register one that is") from None
    _check(parsed, known, ())

    def read(raw: bytes) -> bytes:
        stream = io.BytesIO(raw)
        try:
            said = msgspec.json.encode(fastavro.schemaless_reader(stream, parsed, None))
        except Exception as error:  # whatever wrong bytes lead the decoder into
            raise ValueError(f"{type(error).__name__}: {error}") from None
        if stream.tell() != len(raw):
            raise ValueError(f"{len(raw) - stream.tell()} bytes are left over")
        return said

    return read


def _check(schema: Any, known: dict[str, Any], way: tuple[str, ...]) -> None:
    """Raises InvalidInput for a schema that could be read without end. `way` leads to it from the root."""
    if len(way) > DEPTH_MAX:
        raise _endless(way, f"it is nested over {DEPTH_MAX} deep")
    kind = _kind(schema)
    if isinstance(schema, str) and schema in known:
        return _check(known[schema], known, way)
    if isinstance(schema, list):
        for option in schema:
            _check(option, known, (*way, ""))
    elif kind in ("record", "error"):
        name = str(schema["name"])
        if name in way:
            raise _endless(way, f"{name} contains itself")
        for field in schema["fields"]:
            _check(field["type"], known, (*way, name))
    elif kind in ("array", "map"):
        items = schema["items" if kind == "array" else "values"]
        if kind == "array" and not _takes_bytes(items, known, 0):
            raise _endless(way, "it lists what takes no bytes")
        _check(items, known, (*way, ""))
    return None


def _takes_bytes(schema: Any, known: dict[str, Any], depth: int) -> bool:
    if depth > DEPTH_MAX:
        return True  # refused elsewhere, by its depth
    kind = _kind(schema)
    if isinstance(schema, str) and schema in known:
        return _takes_bytes(known[schema], known, depth + 1)
    if kind == "fixed":
        return int(schema["size"]) > 0
    if kind in ("record", "error"):
        return any(_takes_bytes(field["type"], known, depth + 1) for field in schema["fields"])
    return isinstance(schema, list) or kind != "null"


def _kind(schema: Any) -> str:
    return str(schema["type"]) if isinstance(schema, dict) else str(schema)


def _endless(way: tuple[str, ...], why: str) -> InvalidInput:
    place = ".".join(filter(None, way)) or "its root"
    return InvalidInput(f"The schema is not read, at {place}: {why}", remedy="Register a plain one")
