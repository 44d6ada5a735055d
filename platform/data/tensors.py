"""Arrow batches as NumPy arrays and torch tensors, without copies where the types allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..errors import InvalidInput

if TYPE_CHECKING:
    from torch import Tensor

Array = npt.NDArray[np.generic]
Matrix = npt.NDArray[np.float32] | npt.NDArray[np.float64]


def to_numpy(batch: pa.RecordBatch) -> dict[str, Array]:
    """One array per column.

    Numbers and timestamps without nulls are read-only views of the batch, fixed-size lists of them
    views of shape (rows, size). Copied are booleans, strings (object arrays, None for null) and
    columns with nulls: numbers become float64 with NaN, timestamps NaT.
    """
    return {name: _array(batch.column(name)) for name in batch.schema.names}


def to_matrix(batch: pa.RecordBatch, columns: list[str], out: Matrix | None = None) -> Matrix:
    """The columns side by side, (rows, columns), float32 unless `out` says otherwise; nulls become NaN.

    `out` is a column-major buffer of at least as many rows, to be reused from batch to batch; the
    result is its first rows. Raises InvalidInput naming a column that holds no numbers.
    """
    held = (
        np.empty((batch.num_rows, len(columns)), dtype=np.float32, order="F") if out is None else out[: batch.num_rows]
    )
    for i, name in enumerate(columns):
        column = batch.column(name)
        if not (
            pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type)
        ):
            raise InvalidInput(
                f"column '{name}' is {column.type}, not a number", remedy="Encode it first, or leave it out"
            )
        held[:, i] = _array(column)
    return held


def to_torch(batch: pa.RecordBatch) -> dict[str, Tensor]:
    """One tensor per numeric column, sharing memory where `to_numpy` does: do not write into them."""
    import warnings

    import torch

    arrays = {name: array for name, array in to_numpy(batch).items() if array.dtype.kind in "iufb"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch warns that the memory is read-only, as the docstring says
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _array(column: pa.Array) -> Array:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _array(column.cast(kind.value_type))
    if pa.types.is_fixed_size_list(kind) and not column.null_count:
        return _array(column.flatten()).reshape(len(column), kind.list_size)
    if pa.types.is_boolean(kind) and column.null_count:
        column = column.cast(pa.int8())
    array: Array = column.to_numpy(zero_copy_only=False)
    return array
