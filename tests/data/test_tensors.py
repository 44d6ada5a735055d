from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from headwater.data.tensors import to_matrix, to_numpy
from headwater.errors import InvalidInput


def a_batch() -> pa.RecordBatch:
    return pa.record_batch(
        {
            "x": pa.array([1.0, 2.0, 3.0]),
            "n": pa.array([1, None, 3]),
            "flag": pa.array([True, False, True]),
            "unsure": pa.array([True, None, False]),
            "word": pa.array(["a", None, "c"]),
            "few": pa.array(["a", "a", "b"]).dictionary_encode(),
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(range(6), pa.float32()), 2),
        }
    )


def test_numbers_without_nulls_share_the_memory_of_the_batch() -> None:
    batch = a_batch()
    arrays = to_numpy(batch)
    assert arrays["x"].__array_interface__["data"][0] == batch.column("x").buffers()[1].address
    assert arrays["vector"].shape == (3, 2)
    assert not arrays["vector"].flags.owndata


def test_nulls_become_nan_and_strings_objects() -> None:
    arrays = to_numpy(a_batch())
    np.testing.assert_array_equal(arrays["n"], [1.0, np.nan, 3.0])
    np.testing.assert_array_equal(arrays["unsure"], [1.0, np.nan, 0.0])
    assert arrays["word"].tolist() == ["a", None, "c"]
    assert arrays["few"].tolist() == ["a", "a", "b"]
    assert arrays["flag"].dtype == np.bool_


def test_a_slice_of_vectors_is_its_own_rows() -> None:
    np.testing.assert_array_equal(to_numpy(a_batch().slice(1, 1))["vector"], [[2, 3]])


def test_a_matrix_fills_the_buffer_it_is_given() -> None:
    buffer = np.zeros((10, 2), dtype=np.float32, order="F")
    matrix = to_matrix(a_batch(), ["x", "n"], buffer)
    assert np.shares_memory(matrix, buffer)
    np.testing.assert_array_equal(matrix, np.array([[1, 1], [2, np.nan], [3, 3]], dtype=np.float32))
    assert to_matrix(a_batch(), ["flag"]).tolist() == [[1.0], [0.0], [1.0]]


def test_a_matrix_of_strings_is_refused_by_column() -> None:
    with pytest.raises(InvalidInput, match="column 'word' is string, not a number"):
        to_matrix(a_batch(), ["x", "word"])
