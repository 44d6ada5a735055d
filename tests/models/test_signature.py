from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headwater.errors import InvalidInput
from headwater.models.signature import columns_of
from headwater.wire.v2 import Signature, Tensor

SIGNATURE = Signature((Tensor("x", "FP64"), Tensor("n", "INT64"), Tensor("s", "BYTES")), (Tensor("y", "FP32"),))
NUMBERS = Signature((Tensor("a", "FP32"), Tensor("b", "FP64")), (Tensor("y", "FP32"),))
ROWS = {"x": [1.5, None], "n": [1, 2], "s": ["a", None]}


@pytest.mark.parametrize(
    "data",
    [
        pa.table({**ROWS, "more": [1, 2]}),
        pa.RecordBatch.from_pydict(ROWS),
        pa.table({**ROWS, "s": pa.array(ROWS["s"]).dictionary_encode()}),
        pa.table({**ROWS, "x": pa.array([Decimal("1.5"), None])}),
        ROWS,
        {"x": np.array([1.5, np.nan]), "n": np.array([1, 2], np.int8), "s": np.array(["a", ""])},
        {"x": np.array([[1.5], [np.nan]]), "n": [1, 2], "s": ["a", ""]},
    ],
)
def test_columns_come_from_whatever_the_caller_holds(data: Any) -> None:
    columns = columns_of(data, SIGNATURE)
    np.testing.assert_array_equal(columns["x"], np.array([1.5, np.nan]))
    assert columns["n"].dtype == np.int64
    assert columns["s"].tolist() == ["a", ""]


def test_an_array_holds_the_inputs_in_order() -> None:
    columns = columns_of(np.array([[1, 2], [3, 4]]), NUMBERS)
    assert columns["a"].tolist() == [1, 3]
    assert columns["b"].tolist() == [2, 4]


def test_a_chunked_table_is_one_column() -> None:
    table = pa.concat_tables([pa.table(ROWS), pa.table(ROWS)])
    assert len(columns_of(table, SIGNATURE)["s"]) == 4


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (pa.table({"x": [1.0], "m": [1], "s": ["a"]}), "Missing column 'n'"),
        ({"x": [1.0], "s": ["a"]}, "Missing input 'n'"),
        ({**ROWS, "z": [1, 2]}, "Unknown input 'z'"),
        ({**ROWS, "x": ["1", "2"]}, r"Column 'x' holds text such as '1'; the model takes FP64 \(numbers\)"),
        ({**ROWS, "x": [1, "b"]}, r"Column 'x' holds text such as 'b'; the model takes FP64 \(numbers\)"),
        ({**ROWS, "x": [None, "b"]}, "Column 'x' does not hold numbers"),
        ({**ROWS, "n": [1.5, 2.0]}, r"Column 'n' holds numbers such as 1.5; the model takes INT64 \(whole numbers\)"),
        ({**ROWS, "s": [1, 2]}, r"Column 's' holds whole numbers such as 1; the model takes BYTES \(text\)"),
        (
            {**ROWS, "s": ["a", 2.0, None]},
            r"Column 's' holds values of several kinds such as 2.0; the model takes BYTES",
        ),
        ({**ROWS, "n": [1, 2, 3]}, "Input 'n' has 3 rows, but 'x' has 2"),
        (pa.table({**ROWS, "n": [1, None]}), "Column 'n' has 1 nulls, and INT64 has none"),
        (np.zeros((2, 5)), r"An array of shape \(2, 5\) is not \(rows, 3\)"),
    ],
)
def test_what_does_not_fit_is_named(data: Any, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        columns_of(data, SIGNATURE)
