"""The beginning of an artifact as JSON, for people who look. Nothing is unpickled and no extension runs."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ..errors import InvalidInput
from ..wire.terms import JSON
from .kinds.arrays import KINDS, header_of

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS_MAX: Final = 100
TEXT_MAX: Final = 2_000
CELLS_MAX: Final = 10_000
JSON_MAX_BYTES: Final = 1 << 16


def head(codec: str, about: JSON, content: Callable[[], memoryview], rows: int) -> JSON:
    """Its first rows, numbers or characters; what is known of a small pickle; None where there is nothing to see."""
    show = READERS.get(codec)
    if show is not None:
        try:
            return show(content(), rows)
        except (ValueError, KeyError, struct.error) as error:  # pa.ArrowInvalid is a ValueError
            what = f"The artifact is no {codec} file that can be read: {str(error)[:200]}"
            raise InvalidInput(what, remedy="It was changed after it was made.") from None
    return about.get("value") if isinstance(about, dict) else None


def _arrow(content: memoryview, rows: int) -> JSON:
    """A list of rows, as JSON objects."""
    import pyarrow as pa

    file = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(content)))
    seen: list[JSON] = []
    for index in range(file.num_record_batches):
        seen += _rows(file.get_batch(index), rows - len(seen))
        if len(seen) >= rows:
            break
    return seen


def _rows(batch: pa.RecordBatch, most: int) -> list[JSON]:
    shown = batch.select(range(min(batch.num_columns, COLUMNS_MAX))).slice(0, most)
    shown.validate(full=True)  # the bytes may be anything
    found: list[JSON] = [{name: _plain(cell) for name, cell in row.items()} for row in shown.to_pylist()]
    return found


def _numpy(content: memoryview, rows: int) -> JSON:
    """Nested lists of its first rows."""
    import numpy as np

    (shape, fortran, dtype), offset = header_of(content)
    if dtype.hasobject or dtype.kind not in KINDS:
        return None
    array = np.ndarray(shape, dtype, content[offset:] or None, order="F" if fortran else "C")
    few = array[:rows] if array.ndim else array
    return _plain(few.tolist()) if few.size <= CELLS_MAX else _plain(few.reshape(-1)[:rows].tolist())


def _text(content: memoryview, rows: int) -> JSON:
    return str(content[: 4 * TEXT_MAX], "utf-8", "replace")[:TEXT_MAX]


def _json(content: memoryview, rows: int) -> JSON:
    found: JSON = msgspec.json.decode(content) if content.nbytes <= JSON_MAX_BYTES else None
    return found[:rows] if isinstance(found, list) else found


READERS: Final[Mapping[str, Callable[[memoryview, int], JSON]]] = {
    "arrow": _arrow,
    "numpy": _numpy,
    "text": _text,
    "json": _json,
}


def _plain(value: Any) -> JSON:
    """As JSON: what has no such form as text, and long text cut."""
    match value:
        case None | bool() | int() | float():
            return value
        case str():
            return value if len(value) <= TEXT_MAX else value[:TEXT_MAX] + "…"
        case list() | tuple():
            return [_plain(each) for each in value]
        case dict():
            return {str(name): _plain(each) for name, each in value.items()}
    return _plain(str(value))
