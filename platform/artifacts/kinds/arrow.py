"""Arrow tables as Arrow IPC files: any Arrow reads them, and columns are used where the file is mapped."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from ...wire.terms import JSON
from ..encoded import Encoded, Part

if TYPE_CHECKING:
    import pyarrow as pa

HELD_BYTES: Final = 1 << 23
FIELDS_MAX: Final = 500


class ArrowCodec:
    """Dictionaries that differ from chunk to chunk become one."""

    name = "arrow"

    def encode(self, value: Any) -> Encoded | None:
        pa = sys.modules.get("pyarrow")
        if pa is None or type(value) is not pa.Table:
            return None
        if any(_has_dictionary(field.type) and not pa.types.is_dictionary(field.type) for field in value.schema):
            return None  # dictionaries inside other types cannot be unified: such a table is pickled
        return Encoded(codec=self.name, parts=_parts(value), size_bytes=value.nbytes, about=about(value))

    def decode(self, content: memoryview) -> pa.Table:
        import pyarrow as pa

        return pa.ipc.open_file(pa.BufferReader(pa.py_buffer(content))).read_all()


def about(table: pa.Table) -> dict[str, JSON]:
    """What the table is: its rows, and its first columns with their types."""
    fields = list(table.schema)[:FIELDS_MAX]
    schema: list[JSON] = [{"name": field.name, "type": str(field.type)} for field in fields]
    return {"type": "pyarrow.Table", "rows": table.num_rows, "columns": table.num_columns, "schema": schema}


def _parts(table: pa.Table) -> Iterator[Part]:
    """The file piece by piece, so that a table is never held twice."""
    import pyarrow as pa

    pipe = _Pipe()
    options = pa.ipc.IpcWriteOptions(unify_dictionaries=True)
    with pa.ipc.new_file(pa.PythonFile(pipe, mode="w"), table.schema, options=options) as writer:
        unified = table.unify_dictionaries() if any(_has_dictionary(each.type) for each in table.schema) else table
        for batch in unified.to_batches():
            writer.write_batch(batch)
            if pipe.held_bytes >= HELD_BYTES:
                yield from pipe.drain()
    yield from pipe.drain()


def _has_dictionary(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return True
    return any(_has_dictionary(kind.field(index).type) for index in range(kind.num_fields))


class _Pipe:
    """A file to write into, whose content is taken away now and then."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.held_bytes = 0

    def write(self, content: bytes) -> int:
        self._parts.append(bytes(content))
        self.held_bytes += len(content)
        return len(content)

    def drain(self) -> list[bytes]:
        parts, self._parts, self.held_bytes = self._parts, [], 0
        return parts

    def flush(self) -> None: ...

    def close(self) -> None: ...
