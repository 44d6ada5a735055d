"""Rows on their way out: columns for a model, Arrow streams for a table. NumPy and Arrow come at first use."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

import msgspec

from ..errors import InvalidInput
from .client_calls import Call, Program, checked, status

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from ..wire.v2 import Signature

    Array: TypeAlias = npt.NDArray[Any]
    Features: TypeAlias = pa.Table | pa.RecordBatch | Mapping[str, Any] | Array
    Rows: TypeAlias = pa.Table | pa.RecordBatch | Iterable[pa.RecordBatch]

FLUSH_BYTES = 1 << 20


class Metadata(msgspec.Struct, frozen=True):
    """What `/v2/models/NAME` says."""

    name: str
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]


def predict(name: str, features: Features) -> Program[dict[str, Array]]:
    """The model's outputs by name. Columns are cast to the model's types where nothing is lost."""
    from ..wire import v2

    base = (yield from status()).inference_url
    path = f"/v2/models/{quote(name, safe='')}"
    signature = signature_of(checked((yield Call("GET", path, base=base))))
    fitted = v2.fit(columns_of(features, signature), signature)
    body = v2.encode_request(fitted)
    call = Call("POST", f"{path}/infer", {"Content-Type": "application/json"}, body, base=base)
    return v2.decode_response(checked((yield call)))


def signature_of(raw: bytes) -> Signature:
    from ..wire.v2 import Signature, Tensor

    said = msgspec.json.decode(raw, type=Metadata)
    return Signature(
        inputs=msgspec.convert(said.inputs, tuple[Tensor, ...]),
        outputs=msgspec.convert(said.outputs, tuple[Tensor, ...]),
    )


def columns_of(features: Features, signature: Signature) -> dict[str, Array]:
    """The features as arrays of the model's types, by input name; columns that the model does not take are left out
    of a table, and refused in a mapping."""
    wanted = {tensor.name: tensor.datatype for tensor in signature.inputs}
    return {name: _cast(name, values, wanted.get(name)) for name, values in _given(features, list(wanted)).items()}


def _given(features: Any, wanted: list[str]) -> Mapping[str, Any]:
    """The columns by name. Neither NumPy nor Arrow is imported to tell which of them it is."""
    if isinstance(features, Mapping):
        return features
    if hasattr(features, "schema"):
        return {name: _arrow_values(features.column(name)) for name in features.schema.names if name in wanted}
    return _by_position(features, wanted)


def _by_position(matrix: Array, names: list[str]) -> dict[str, Any]:
    if len(names) == 1:
        return {names[0]: matrix}
    if getattr(matrix, "ndim", 0) != 2 or matrix.shape[1] != len(names):
        shape = list(getattr(matrix, "shape", ()))
        what = f"An array of shape {shape} does not fit a model with {len(names)} inputs"
        raise InvalidInput(what, remedy=f"Give one column for each of {', '.join(names)}, or a dict by name.")
    return {name: matrix[:, index] for index, name in enumerate(names)}


def _arrow_values(column: pa.ChunkedArray | pa.Array) -> Any:
    """A column as NumPy; a missing number is NaN, a missing text empty."""
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return [text or "" for text in column.to_pylist()]
    return column.to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else column.to_numpy()


def _cast(name: str, values: Any, datatype: str | None) -> Array:
    import numpy as np

    from ..wire.v2 import DTYPES

    array = np.asarray(values)
    if datatype is None:
        return array
    dtype = DTYPES[datatype]
    if array.dtype == dtype:
        return array
    if dtype.kind == "O" or (array.dtype.kind in "biuf" and _keeps(array, dtype)):
        return array.astype(dtype)
    what = f"Input '{name}' is {array.dtype}; the model takes {datatype} ({dtype})"
    raise InvalidInput(what, remedy="Cast it first.")


def _keeps(array: Array, dtype: np.dtype[Any]) -> bool:
    """Whether the cast loses no more than float precision."""
    import numpy as np

    if dtype.kind == "f":
        return True
    return bool(array.dtype.kind != "f" and np.array_equal(array.astype(dtype), array))


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
