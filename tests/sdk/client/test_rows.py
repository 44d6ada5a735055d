import numpy as np
import pyarrow as pa
import pytest

from headwater.errors import InvalidInput
from headwater.sdk.client.models import columns_of
from headwater.sdk.client.rows import arrow_stream
from headwater.wire.v2 import Signature, Tensor

SIGNATURE = Signature(
    inputs=(Tensor("distance", "FP64"), Tensor("carrier", "BYTES"), Tensor("month", "INT64")), outputs=()
)
NUMBERS = Signature(inputs=(Tensor("a", "FP32"), Tensor("b", "FP32")), outputs=())


def test_a_table_gives_the_columns_that_the_model_takes_in_its_types() -> None:
    table = pa.table({"distance": [1, 2], "carrier": ["UA", None], "month": [1, 2], "extra": [0, 0]})
    columns = columns_of(table, SIGNATURE)
    assert list(columns) == ["distance", "carrier", "month"]
    assert columns["distance"].dtype == np.float64
    assert columns["carrier"].tolist() == ["UA", ""]


def test_an_array_gives_a_column_for_each_input() -> None:
    columns = columns_of(np.array([[1.0, 2.0], [3.0, 4.0]]), NUMBERS)
    assert (columns["a"].tolist(), columns["b"].tolist()) == ([1.0, 3.0], [2.0, 4.0])
    with pytest.raises(InvalidInput, match="does not fit a model with 2 inputs"):
        columns_of(np.ones((2, 3)), NUMBERS)


def test_a_cast_that_loses_something_is_refused_by_name() -> None:
    with pytest.raises(InvalidInput, match=r"Column 'month' holds numbers such as 1.5; .* INT64 \(whole numbers\)"):
        columns_of({"month": [1.0, 1.5]}, SIGNATURE)
    assert columns_of({"month": np.array([1, 2], np.int32)}, SIGNATURE)["month"].dtype == np.int64


def test_text_where_the_model_takes_numbers_is_named_with_the_value_and_the_type() -> None:
    for values in (["4", "far"], [4, "far"], np.array(["far"], object)):
        with pytest.raises(InvalidInput, match=r"'distance' holds .*'far'; the model takes FP64 \(numbers\)"):
            columns_of({"distance": values}, SIGNATURE)


@pytest.mark.parametrize("rows", [300_000, 0])
def test_rows_are_streamed_piece_by_piece_and_come_back_whole(rows: int) -> None:
    table = pa.table({"x": np.arange(rows)})
    pieces = list(arrow_stream(pa.Table.from_batches(table.to_batches(10_000), table.schema))())
    assert pa.ipc.open_stream(b"".join(pieces)).read_all().equals(table)
    assert len(pieces) >= (2 if rows else 1)


def test_no_batches_at_all_are_refused() -> None:
    with pytest.raises(InvalidInput, match="no batches"):
        list(arrow_stream([])())
