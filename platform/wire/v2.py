"""Open Inference Protocol v2 in JSON: signatures, requests, responses, metadata and health.

A body is read in two steps. The envelope comes first, with each tensor's `data` left as raw bytes;
then each `data` is decoded straight into the element type that its datatype allows, flat or nested
as the caller sent it. So a wrong element is refused where it stands, and nothing is guessed: a
number in quotes is no number. `null` is a missing value: NaN in floats, the empty string in BYTES.

A dimension of -1 is free. The first free dimension of every input is the row count, the same for all.
An input of shape [-1] may also be sent as [rows, 1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import prod
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import orjson

from ..errors import InvalidInput, did_you_mean

Array = npt.NDArray[Any]

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype(np.uint8),
    "UINT16": np.dtype(np.uint16),
    "UINT32": np.dtype(np.uint32),
    "UINT64": np.dtype(np.uint64),
    "INT8": np.dtype(np.int8),
    "INT16": np.dtype(np.int16),
    "INT32": np.dtype(np.int32),
    "INT64": np.dtype(np.int64),
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "BYTES": np.dtype(np.object_),
}
DATATYPES: dict[np.dtype[Any], str] = {dtype: datatype for datatype, dtype in DTYPES.items()}

# What JSON may hold for each kind of NumPy type.
_ELEMENTS: dict[str, Any] = {"f": float | None, "i": int, "u": int, "b": bool, "O": str | None}
_WORDS = {"f": "numbers", "i": "whole numbers", "u": "whole numbers", "b": "truth values", "O": "text", "U": "text"}
_RANK_MAX = 8


class Tensor(msgspec.Struct, frozen=True):
    """One named input or output; a dimension of -1 is free."""

    name: str
    datatype: str
    shape: tuple[int, ...] = (-1,)


class Signature(msgspec.Struct, frozen=True):
    """What a model takes and what it gives, in order."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class InferRequest(msgspec.Struct, frozen=True):
    """A request that fits its model's signature; `outputs` empty means all of them."""

    inputs: dict[str, Array]
    outputs: tuple[str, ...] = ()
    id: str | None = None


class _RawTensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _RawOutput(msgspec.Struct):
    name: str


class _RawRequest(msgspec.Struct):
    inputs: list[_RawTensor]
    outputs: list[_RawOutput] = []
    id: str | None = None


class _RawResponse(msgspec.Struct):
    outputs: list[_RawTensor]


_request_decoder = msgspec.json.Decoder(_RawRequest)
_response_decoder = msgspec.json.Decoder(_RawResponse)


def decode_request(body: bytes, signature: Signature) -> InferRequest:
    """The request in `body`, its columns as arrays of the signature's types and shapes.

    Raises InvalidInput naming the input that is missing, unknown, or of a wrong datatype or shape.
    """
    try:
        raw = _request_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The body is no v2 inference request: {_without_path(error)}", remedy=_BODY) from None
    known = {tensor.name: tensor for tensor in signature.inputs}
    columns: dict[str, Array] = {}
    for tensor in raw.inputs:
        if tensor.name in columns:
            raise InvalidInput(f"Input '{tensor.name}' is given twice")
        if tensor.name not in known:
            raise InvalidInput(f"Unknown input '{tensor.name}'", remedy=did_you_mean(tensor.name, known))
        columns[tensor.name] = _array(tensor, expected=known[tensor.name].datatype)
    outputs = _wanted([output.name for output in raw.outputs], signature)
    return InferRequest(inputs=fit(columns, signature), outputs=outputs, id=raw.id)


def fit(columns: Mapping[str, Array], signature: Signature) -> dict[str, Array]:
    """The columns in the signature's order and shapes; InvalidInput names what does not fit."""
    known = [tensor.name for tensor in signature.inputs]
    for name in columns:
        if name not in known:
            raise InvalidInput(f"Unknown input '{name}'", remedy=did_you_mean(name, known))
    missing = [name for name in known if name not in columns]
    if missing:
        raise InvalidInput(f"Missing input {_quoted(missing)}", remedy=f"The model takes {_quoted(known)}.")
    fitted = {tensor.name: _shaped(columns[tensor.name], tensor) for tensor in signature.inputs}
    _check_rows(fitted)
    return fitted


def encode_request(
    columns: Mapping[str, Array], *, outputs: Sequence[str] = (), request_id: str | None = None
) -> bytes:
    """A request body with the columns as they are."""
    document: dict[str, Any] = {"inputs": [_encoded(name, array) for name, array in columns.items()]}
    if outputs:
        document["outputs"] = [{"name": name} for name in outputs]
    if request_id is not None:
        document["id"] = request_id
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def encode_response(model: str, version: str, outputs: Mapping[str, Array], *, request_id: str | None = None) -> bytes:
    """A response body. NaN becomes null, since JSON has no NaN."""
    tensors = [_encoded(name, array) for name, array in outputs.items()]
    document: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": tensors}
    if request_id is not None:
        document["id"] = request_id
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def decode_response(body: bytes) -> dict[str, Array]:
    """The outputs of a response by name; InvalidInput where the body is no v2 response."""
    try:
        raw = _response_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"The answer is no v2 inference response: {_without_path(error)}") from None
    return {tensor.name: _array(tensor, expected=tensor.datatype) for tensor in raw.outputs}


def encode_health(*, live: bool, ready: bool) -> bytes:
    """Both answers in one document: KServe's client reads either key from either address."""
    return orjson.dumps({"live": live, "ready": ready})


def encode_server_metadata(name: str, version: str) -> bytes:
    return orjson.dumps({"name": name, "version": version, "extensions": []})


def encode_model_metadata(name: str, versions: Sequence[str], platform: str, signature: Signature) -> bytes:
    document = {"name": name, "versions": list(versions), "platform": platform}
    return orjson.dumps(document | msgspec.to_builtins(signature))


def encode_error(message: str) -> bytes:
    return orjson.dumps({"error": message})


_BODY = 'Send JSON like {"inputs": [{"name": "x", "datatype": "FP64", "shape": [2], "data": [1.5, null]}]}.'


def _array(tensor: _RawTensor, *, expected: str) -> Array:
    if tensor.datatype != expected:
        raise InvalidInput(f"Input '{tensor.name}' has datatype '{tensor.datatype}'; the model takes {expected}")
    if isinstance(tensor.data, msgspec.UnsetType):
        raise InvalidInput(f"Input '{tensor.name}' has no data", remedy="Send its values as JSON in 'data'.")
    if any(size < 0 for size in tensor.shape):
        raise InvalidInput(f"Input '{tensor.name}' has a negative dimension in its shape {tensor.shape}")
    array = _decoded(tensor, bytes(tensor.data))
    if array.size != prod(tensor.shape):
        what = f"Input '{tensor.name}' has shape {tensor.shape}, which is {prod(tensor.shape)} values"
        raise InvalidInput(f"{what}, but holds {array.size}")
    if array.ndim > 1 and list(array.shape) != tensor.shape:
        raise InvalidInput(f"Input '{tensor.name}' has shape {tensor.shape}, but its data are {list(array.shape)}")
    return array.reshape(tensor.shape)


def misfit(name: str, array: Array, datatype: str) -> InvalidInput:
    """Says that the column is of another kind than the model takes, with a value that shows it."""
    wanted = DTYPES[datatype]
    held = _WORDS.get(array.dtype.kind, str(array.dtype)) if array.dtype.kind != "O" else "values of several kinds"
    values = array.ravel().tolist()
    shown = next((value for value in values if not _is_like(value, wanted)), values[0] if values else None)
    what = f"Column '{name}' holds {held} such as {shown!r}; the model takes {datatype} ({_WORDS[wanted.kind]})"
    return InvalidInput(what, remedy="Cast it first.")


def _is_like(value: object, wanted: np.dtype[Any]) -> bool:
    """Whether the value, or the text of it that NumPy made of a mixed column, could be one of that kind."""
    if wanted.kind == "O":
        return isinstance(value, str)
    try:
        number = float(value) if isinstance(value, str | int | float) else None
    except ValueError:
        return False
    return number is not None and (wanted.kind == "f" or number.is_integer())


def _decoded(tensor: _RawTensor, data: bytes) -> Array:
    """The values of `data` with the shape they were nested in."""
    dtype = DTYPES[tensor.datatype]
    try:
        values = _decoder(dtype.kind, _depth(data)).decode(data)
        with np.errstate(over="raise"):
            array = np.array(values, dtype)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        what = f"Input '{tensor.name}' does not hold {tensor.datatype}: {_without_path(error)}"
        raise InvalidInput(what) from None
    except (OverflowError, FloatingPointError):
        raise InvalidInput(f"Input '{tensor.name}' holds a number out of the range of {tensor.datatype}") from None
    except ValueError:
        raise InvalidInput(f"Input '{tensor.name}' holds rows of unequal length") from None
    if dtype.kind == "O":
        array[array == None] = ""  # noqa: E711 (elementwise)
    return array


@lru_cache(maxsize=64)
def _decoder(kind: str, depth: int) -> msgspec.json.Decoder[Any]:
    element = _ELEMENTS[kind]
    for _ in range(depth):
        element = list[element]  # type: ignore[valid-type]
    return msgspec.json.Decoder(element)


def _depth(data: bytes) -> int:
    """How many brackets the data open with, at least 1."""
    head = b"".join(data[:64].split())
    return min(max(len(head) - len(head.lstrip(b"[")), 1), _RANK_MAX)


def _shaped(array: Array, tensor: Tensor) -> Array:
    if tensor.shape == (-1,) and array.ndim == 2 and array.shape[1] == 1:
        return array.reshape(-1)
    fits = array.ndim == len(tensor.shape) and all(
        due in (-1, size) for due, size in zip(tensor.shape, array.shape, strict=True)
    )
    if not fits:
        raise InvalidInput(f"Input '{tensor.name}' has shape {list(array.shape)}; the model takes {list(tensor.shape)}")
    return array


def _check_rows(columns: Mapping[str, Array]) -> None:
    rows = {name: len(array) for name, array in columns.items() if array.ndim}
    if len(set(rows.values())) > 1:
        (first, count), *others = rows.items()
        name, other = next((name, other) for name, other in others if other != count)
        raise InvalidInput(f"Input '{name}' has {other} rows, but '{first}' has {count}")


def _wanted(names: Sequence[str], signature: Signature) -> tuple[str, ...]:
    known = [tensor.name for tensor in signature.outputs]
    for name in names:
        if name not in known:
            raise InvalidInput(f"Unknown output '{name}'", remedy=did_you_mean(name, known))
    return tuple(names)


def _encoded(name: str, array: Array) -> dict[str, Any]:
    datatype = DATATYPES.get(array.dtype) or ("BYTES" if array.dtype.kind == "U" else None)
    if datatype is None:
        raise InvalidInput(f"'{name}' is an array of {array.dtype}, which v2 cannot carry", remedy=_supported())
    flat = array.reshape(-1)
    data: Any = flat.tolist() if array.dtype.kind in "OUe" else np.ascontiguousarray(flat)
    return {"name": name, "datatype": datatype, "shape": list(array.shape), "data": data}


def _supported() -> str:
    return f"Known: {', '.join(DTYPES)}."


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _without_path(error: Exception) -> str:
    return str(error).replace(" - at `$", " at `").replace("`", "'").rstrip(".")
