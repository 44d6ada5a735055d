from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.errors import InvalidInput
from headwater.wire import v2
from headwater.wire.v2 import Signature, Tensor

SIGNATURE = Signature(
    inputs=(Tensor("x", "FP64"), Tensor("n", "INT32"), Tensor("s", "BYTES"), Tensor("b", "BOOL")),
    outputs=(Tensor("y", "FP32"), Tensor("z", "FP32")),
)
MATRIX = Signature(inputs=(Tensor("m", "FP32", (-1, 3)),), outputs=(Tensor("y", "FP32"),))


def tensors() -> dict[str, dict[str, Any]]:
    """One good tensor for each input of SIGNATURE, two rows each."""
    return {
        "x": {"name": "x", "datatype": "FP64", "shape": [2], "data": [1, None]},
        "n": {"name": "n", "datatype": "INT32", "shape": [2, 1], "data": [[7], [8]]},
        "s": {"name": "s", "datatype": "BYTES", "shape": [2], "data": ["é", None]},
        "b": {"name": "b", "datatype": "BOOL", "shape": [2], "data": [True, False]},
    }


def decode(
    *, signature: Signature = SIGNATURE, request: dict[str, Any] | None = None, **changed: Any
) -> v2.InferRequest:
    """A good request with tensors changed by input, or left out with None."""
    given = {**tensors(), **changed} if signature is SIGNATURE else changed
    inputs = [tensor for tensor in given.values() if tensor is not None]
    return v2.decode_request(orjson.dumps({"inputs": inputs, **(request or {})}), signature)


def changed(name: str, **fields: Any) -> dict[str, Any]:
    return {name: {**tensors()[name], **fields}}


def test_a_request_becomes_arrays_of_the_signature() -> None:
    columns = decode().inputs
    assert list(columns) == ["x", "n", "s", "b"]
    np.testing.assert_array_equal(columns["x"], [1.0, np.nan])
    np.testing.assert_array_equal(columns["n"], np.array([7, 8], np.int32))
    assert columns["n"].dtype == np.int32
    assert columns["s"].tolist() == ["é", ""]
    assert columns["b"].tolist() == [True, False]


def test_the_order_of_the_inputs_does_not_matter() -> None:
    backwards = orjson.dumps({"inputs": list(reversed(tensors().values()))})
    assert list(v2.decode_request(backwards, SIGNATURE).inputs) == ["x", "n", "s", "b"]


def test_an_id_and_the_outputs_wanted_come_along() -> None:
    request = decode(request={"id": "7", "outputs": [{"name": "z", "parameters": {"binary_data": True}}]})
    assert (request.id, request.outputs) == ("7", ("z",))


@pytest.mark.parametrize("data", [[[1, 2, 3], [4, 5, 6]], [1, 2, 3, 4, 5, 6]])
def test_a_matrix_may_come_nested_or_flat(data: list[Any]) -> None:
    request = decode(signature=MATRIX, m={"name": "m", "datatype": "FP32", "shape": [2, 3], "data": data})
    np.testing.assert_array_equal(request.inputs["m"], np.array([[1, 2, 3], [4, 5, 6]], np.float32))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"x": None}, "Missing input 'x'"),
        ({"xs": {"name": "xs", "datatype": "FP64", "shape": [2], "data": [1, 2]}}, "Unknown input 'xs'. Did you mean"),
        ({"twice": tensors()["x"]}, "Input 'x' is given twice"),
        (changed("x", datatype="FP32"), "Input 'x' has datatype 'FP32'; the model takes FP64"),
        (changed("x", data=[1, "2"]), "Input 'x' does not hold FP64: Expected 'float | null', got 'str' at '[1]'"),
        (changed("x", data=[1, True]), "Input 'x' does not hold FP64"),
        (changed("n", data=[1, None]), "Input 'n' does not hold INT32"),
        (changed("n", data=[1, 1.5]), "Input 'n' does not hold INT32"),
        (changed("n", data=[1, 2**40]), "Input 'n' holds a number out of the range of INT32"),
        (changed("s", data=["a", 1]), "Input 's' does not hold BYTES"),
        (changed("b", data=[True, 1]), "Input 'b' does not hold BOOL"),
        (changed("x", shape=[3], data=[1, 2, 3]), "Input 'n' has 2 rows, but 'x' has 3"),
        (changed("x", shape=[3]), "Input 'x' has shape [3], which is 3 values, but holds 2"),
        (changed("x", shape=[2, 2], data=[1, 2, 3, 4]), "Input 'x' has shape [2, 2]; the model takes [-1]"),
        (changed("x", shape=[-2]), "Input 'x' has a negative dimension"),
        (changed("n", shape=[3], data=[[1], [2, 3]]), "Input 'n' holds rows of unequal length"),
        (changed("n", shape=[2], data=[[1, 2]]), "Input 'n' has shape [2], but its data are [1, 2]"),
        ({"x": {"name": "x", "datatype": "FP64", "shape": [2]}}, "Input 'x' has no data"),
        ({"x": {"name": "x", "shape": [2], "data": [1, 2]}}, "no v2 inference request"),
        ({"request": {"outputs": [{"name": "yy"}]}}, "Unknown output 'yy'. Did you mean 'y'?"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        decode(**change)
    assert says in str(refused.value)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"inputs": 1}', b"\xff\xfe", b'{"inputs": [{"name": "\xff"}]}'])
def test_a_body_that_is_no_request_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        v2.decode_request(body, SIGNATURE)


@given(st.binary(max_size=200) | st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=5), st.lists))
def test_no_data_of_any_kind_raises_anything_else(data: object) -> None:
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    body = b'{"inputs": [{"name": "m", "datatype": "FP32", "shape": [1, 3], "data": ' + text + b"}]}"
    with suppress(InvalidInput):
        v2.decode_request(body, MATRIX)


floats = st.lists(st.floats(allow_infinity=False), min_size=1, max_size=20)


@given(floats, st.lists(st.text(max_size=8), min_size=20, max_size=20))
def test_what_is_encoded_decodes_to_the_same(numbers: list[float], texts: list[str]) -> None:
    signature = Signature((Tensor("x", "FP64"), Tensor("s", "BYTES")), (Tensor("y", "FP64"), Tensor("t", "BYTES")))
    x, s = np.array(numbers), np.array(texts[: len(numbers)], object)
    sent = v2.decode_request(v2.encode_request({"x": x, "s": s}, request_id="1"), signature)
    np.testing.assert_array_equal(sent.inputs["x"], x)
    assert sent.inputs["s"].tolist() == s.tolist()
    back = v2.decode_response(v2.encode_response("m", "1", {"y": x, "t": s}))
    np.testing.assert_array_equal(back["y"], x)
    assert back["t"].tolist() == s.tolist()


def test_the_documents_are_those_of_the_protocol() -> None:
    assert orjson.loads(v2.encode_health(live=True, ready=False)) == {"live": True, "ready": False}
    assert orjson.loads(v2.encode_server_metadata("hw", "1")) == {"name": "hw", "version": "1", "extensions": []}
    assert orjson.loads(v2.encode_model_metadata("m", ["1"], "onnx_onnxv1", MATRIX)) == {
        "name": "m",
        "versions": ["1"],
        "platform": "onnx_onnxv1",
        "inputs": [{"name": "m", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}],
    }
    response = v2.encode_response("m", "1", {"y": np.array([1, np.nan], np.float32)}, request_id="7")
    assert orjson.loads(response) == {
        "model_name": "m",
        "model_version": "1",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "data": [1.0, None]}],
        "id": "7",
    }


def test_an_array_that_v2_cannot_carry_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'c' is an array of complex128"):
        v2.encode_request({"c": np.array([1j])})
