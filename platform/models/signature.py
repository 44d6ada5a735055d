"""A signature's columns from whatever a caller holds: a table, a dict, an array."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import InvalidInput, did_you_mean
from ..wire.v2 import DTYPES, Array, Signature, Tensor, fit, misfit

Columns = Mapping[str, Array]
Data: TypeAlias = pa.Table | pa.RecordBatch | Mapping[str, Any] | Array


def columns_of(data: Data, signature: Signature) -> dict[str, Array]:
    """The signature's inputs taken from a table, a dict of columns, or an array.

    A table may hold more columns than the model takes; a dict may not. An array is the model's only input,
    or (rows, inputs) in the signature's order. Missing values become NaN, and the empty string in text.
    Raises InvalidInput naming the column that is missing or does not fit.
    """
    if isinstance(data, pa.Table | pa.RecordBatch):
        taken = {tensor.name: _from_arrow(data, tensor) for tensor in signature.inputs}
    elif isinstance(data, np.ndarray):
        taken = _split(data, signature)
    else:
        types = {tensor.name: tensor for tensor in signature.inputs}
        taken = {name: _from_values(values, types.get(name)) for name, values in data.items()}
    return fit(taken, signature)


def _from_arrow(data: pa.Table | pa.RecordBatch, tensor: Tensor) -> Array:
    if tensor.name not in data.schema.names:
        raise InvalidInput(f"Missing column '{tensor.name}'", remedy=did_you_mean(tensor.name, data.schema.names))
    column = data.column(tensor.name)
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.DictionaryArray):
        column = column.dictionary_decode()
    dtype = DTYPES[tensor.datatype]
    if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
        return _checked(np.stack(column.to_numpy(zero_copy_only=False)), tensor)
    if dtype.kind in "iub" and column.null_count:
        what = f"Column '{tensor.name}' has {column.null_count} nulls, and {tensor.datatype} has none"
        raise InvalidInput(what, remedy="Fill them, or declare the column FP64.")
    if dtype.kind == "O":
        text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        column = pc.fill_null(column, "") if text else column
    elif dtype.kind == "f" and (pa.types.is_integer(column.type) or pa.types.is_decimal(column.type)):
        column = pc.cast(column, pa.float64(), safe=False)
    return _checked(column.to_numpy(zero_copy_only=False), tensor)


def _from_values(values: Any, tensor: Tensor | None) -> Array:
    array = np.asarray(values)
    if tensor is None:
        return array  # `fit` says that it is unknown
    if DTYPES[tensor.datatype].kind == "f" and array.dtype.kind == "O":
        try:
            array = np.array(values, np.float64)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"Column '{tensor.name}' does not hold numbers: {error}") from None
    if DTYPES[tensor.datatype].kind == "O" and array.dtype.kind == "O":
        array = np.where(array == None, "", array)  # noqa: E711 (elementwise)
    return _checked(array, tensor)


def _split(array: Array, signature: Signature) -> dict[str, Array]:
    inputs = signature.inputs
    if len(inputs) == 1:
        return {inputs[0].name: _checked(array, inputs[0])}
    if array.ndim != 2 or array.shape[1] != len(inputs):
        names = ", ".join(tensor.name for tensor in inputs)
        raise InvalidInput(f"An array of shape {array.shape} is not (rows, {len(inputs)})", remedy=f"Order: {names}.")
    return {tensor.name: _checked(array[:, place], tensor) for place, tensor in enumerate(inputs)}


def _checked(array: Array, tensor: Tensor) -> Array:
    """The array in the tensor's type, where no value changes its kind on the way."""
    dtype = DTYPES[tensor.datatype]
    kinds = {"f": "fiu", "i": "iu", "u": "iu", "b": "b", "O": "OU"}[dtype.kind]
    if array.dtype.kind not in kinds and array.size:
        raise misfit(tensor.name, array, tensor.datatype)
    if dtype.kind == "O" and array.dtype.kind == "O" and not all(isinstance(text, str) for text in array.flat):
        raise misfit(tensor.name, array, tensor.datatype)
    with np.errstate(over="ignore"):
        return array.astype(dtype)
