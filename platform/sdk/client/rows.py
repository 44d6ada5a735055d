"""Rows on their way out, as Arrow streams. Arrow comes at first use."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeAlias

from ...errors import InvalidInput

if TYPE_CHECKING:
    import pyarrow as pa

    Rows: TypeAlias = pa.Table | pa.RecordBatch | Iterable[pa.RecordBatch]

FLUSH_BYTES = 1 << 20


def arrow_stream(rows: Rows) -> Callable[[], Iterator[bytes]]:
    """The rows as an Arrow IPC stream, made piece by piece. A one-time iterable can be sent once."""
    return lambda: _stream(rows)


def _stream(rows: Rows) -> Iterator[bytes]:
    import pyarrow as pa

    schema, batches = _opened(rows)
    pipe = _Pipe()
    with pa.ipc.new_stream(pa.PythonFile(pipe, mode="w"), schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            if pipe.size_bytes >= FLUSH_BYTES:
                yield pipe.drain()
    yield pipe.drain()


def _opened(rows: Rows) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    import pyarrow as pa

    if isinstance(rows, pa.RecordBatch):
        return rows.schema, iter([rows])
    if isinstance(rows, pa.Table):
        return rows.schema, iter(rows.to_batches())
    batches = iter(rows)
    first = next(batches, None)
    if first is None:
        raise InvalidInput("There are no batches to append", remedy="Give at least one, or a pa.Table with a schema.")
    return first.schema, itertools.chain([first], batches)


class _Pipe:
    """A file to write into, whose content is taken away now and then."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size_bytes = 0

    def write(self, content: bytes) -> int:
        self._parts.append(bytes(content))
        self.size_bytes += len(content)
        return len(content)

    def drain(self) -> bytes:
        content = b"".join(self._parts)
        self._parts, self.size_bytes = [], 0
        return content

    def flush(self) -> None: ...

    def close(self) -> None: ...
