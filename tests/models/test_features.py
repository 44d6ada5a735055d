from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from headwater.errors import InvalidInput
from headwater.models.feature_graph import OPSETS, fuse, signature
from headwater.models.features import Category, Features, FittedFeatures, Number
from headwater.models.runtimes import OnnxRuntime
from headwater.models.signature import columns_of

FEATURES = Features(
    target="y",
    columns=[
        Number("wide"),
        Number("mean", fill="mean"),
        Number("narrow", fill=-1.0, datatype="FP32"),
        Number("whole", datatype="INT64"),
        Category("text", size_max=3),
    ],
)


def a_batch(**columns: list[Any]) -> pa.RecordBatch:
    given_rows = len(next(iter(columns.values())))
    plain: dict[str, list[Any]] = {"y": [1.0] * given_rows, "whole": [0] * given_rows, "text": ["a"] * given_rows}
    plain |= {name: [0.0] * given_rows for name in ("wide", "mean", "narrow")}
    types = {"whole": pa.int64(), "text": pa.string()}
    both = {**plain, **columns}
    arrays = [pa.array(values, types.get(name, pa.float64())) for name, values in both.items()]
    return pa.RecordBatch.from_arrays(arrays, list(both))


def row_sums(columns: int) -> onnx.ModelProto:
    """A predictor that shows its features: their weighted sum, one weight a power of two for each."""
    weights = helper.make_tensor("w", TensorProto.FLOAT, [columns, 1], [float(2**place) for place in range(columns)])
    nodes = [helper.make_node("MatMul", ["features", "w"], ["sum"])]
    taken = helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, columns])
    given = helper.make_tensor_value_info("sum", TensorProto.FLOAT, [None, 1])
    graph = helper.make_graph(nodes, "sums", [taken], [given], [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSETS[""])], ir_version=8)


def predicted_by_graph(fitted: FittedFeatures, batch: pa.RecordBatch, tmp_path: Any) -> Any:
    path = tmp_path / "model.onnx"
    onnx.save(fuse(fitted, row_sums(len(fitted.columns))), path)
    runtime = OnnxRuntime(path)
    assert runtime.signature == signature(fitted)
    return runtime.predict(columns_of(batch, runtime.signature))["y"]


def test_missing_numbers_take_the_fill_or_the_mean() -> None:
    fitted = FEATURES.fit([a_batch(mean=[1.0, 3.0, None], wide=[5.0, None, float("nan")], narrow=[None, 2.0, 1e300])])
    matrix = fitted.transform(a_batch(mean=[None, 7.0], wide=[None, 1.0], narrow=[1e300, float("-inf")]))
    np.testing.assert_array_equal(matrix[:, 0], [0, 1])
    np.testing.assert_array_equal(matrix[:, 1], [2, 7])
    np.testing.assert_array_equal(matrix[:, 2], [-1, -1])


def test_the_most_frequent_values_of_a_category_are_told_apart() -> None:
    fitted = FEATURES.fit([a_batch(text=["b", "b", "a", "", None]), a_batch(text=["a", "b", "c", "d"])])
    matrix = fitted.transform(a_batch(text=["b", "a", "c", "d", "new", None, ""]))
    np.testing.assert_array_equal(matrix[:, 4], [2, 3, 4, 1, 1, 0, 0])


def test_a_dictionary_column_is_the_same_as_plain_text() -> None:
    texts: list[str | None] = ["b", None, "a", "", "new"]
    fitted = FEATURES.fit([a_batch(text=["a", "b", "b"])])
    plain = a_batch(text=texts)
    place = plain.schema.get_field_index("text")
    encoded = plain.set_column(place, "text", plain.column("text").dictionary_encode())
    np.testing.assert_array_equal(fitted.transform(encoded), fitted.transform(plain))
    assert FEATURES.fit([encoded]) == FEATURES.fit([plain])


def test_rows_without_a_target_teach_nothing() -> None:
    fitted = FEATURES.fit([a_batch(y=[1.0, None, float("nan"), 3.0], mean=[1.0, 100.0, 100.0, 3.0])])
    assert (fitted.rows, fitted.target_mean) == (2, 2.0)
    assert fitted.columns[1].fill == 2.0  # type: ignore[union-attr]
    matrix, labels = fitted.labelled(a_batch(y=[None, 5.0]))
    assert matrix.shape == (1, 5)
    assert labels.tolist() == [5.0]


def test_fitting_tells_how_many_rows_have_passed() -> None:
    heard: list[int] = []
    FEATURES.fit([a_batch(y=[1.0, 2.0]), a_batch(y=[None])], on_rows=heard.append)
    assert heard == [2, 3]


@pytest.mark.parametrize(
    ("batch", "says"),
    [
        (a_batch(y=[1.0]).drop_columns(["whole"]), "no column 'whole'"),
        (a_batch(y=[None]), "No row has a value in the target 'y'"),
        (a_batch(y=[1.0]).set_column(1, "whole", pa.array(["x"])), "Column 'whole' is string, not a number"),
        (a_batch(y=[1.0]).set_column(2, "text", pa.array([1])), "Column 'text' is int64, not text"),
    ],
)
def test_a_column_that_does_not_fit_is_named(batch: pa.RecordBatch, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        FEATURES.fit([batch])


def test_a_fill_is_a_number_that_float32_holds() -> None:
    with pytest.raises(InvalidInput, match="The fill of 'x' is nan"):
        Number("x", fill=float("nan"))


def test_a_target_is_no_feature() -> None:
    with pytest.raises(InvalidInput, match="Column 'y' is declared twice"):
        Features("y", [Number("y")])


numbers = st.none() | st.floats(width=64)
words = st.none() | st.sampled_from(["a", "b", "c", "d", "", "é", "a "]) | st.text(max_size=4)
rows = st.lists(
    st.tuples(numbers, numbers, st.none() | st.floats(width=32), st.integers(-(2**53), 2**53), words),
    min_size=1,
    max_size=12,
)


def batch_of(values: list[tuple[Any, ...]]) -> pa.RecordBatch:
    wide, mean, narrow, whole, text = (list(column) for column in zip(*values, strict=True))
    return a_batch(wide=wide, mean=mean, narrow=narrow, whole=whole, text=text)


@settings(deadline=None, max_examples=60)
@given(learned=rows, seen=rows)
def test_the_graph_transforms_as_the_offline_code_does(
    learned: list[tuple[Any, ...]], seen: list[tuple[Any, ...]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    fitted = FEATURES.fit([batch_of(learned)])
    batch = batch_of(seen)
    online = predicted_by_graph(fitted, batch, tmp_path_factory.mktemp("graph"))
    with np.errstate(over="ignore", invalid="ignore"):
        offline = fitted.transform(batch) @ np.array([1, 2, 4, 8, 16], np.float32)
    both = np.isfinite(online) & np.isfinite(offline)
    scale = np.abs(fitted.transform(batch)).max(axis=1)
    assert np.all(np.abs(online[both] - offline[both]) <= 1e-5 * (1 + 31 * scale[both].astype(np.float64)))
    assert both.all() or scale.max() > 1e36
