from __future__ import annotations

from pathlib import Path

import pytest

from headwater.errors import InvalidInput, NotFound
from headwater.models.package import ModelDocument, write_document
from headwater.models.runtimes import load, tensor_of
from headwater.wire.v2 import Signature, Tensor


def test_a_symbolic_dimension_is_free_and_a_sequence_is_refused() -> None:
    assert tensor_of("x", "tensor(float)", ["rows", 3]) == Tensor("x", "FP32", (-1, 3))
    with pytest.raises(InvalidInput, match="'x' is seq"):
        tensor_of("x", "seq(map(int64,tensor(float)))", [])


def test_an_unknown_runtime_is_refused_by_name(tmp_path: Path) -> None:
    write_document(tmp_path, ModelDocument(runtime="onyx", signature=Signature((), ())))
    with pytest.raises(InvalidInput, match=r"'onyx', which is not here. Did you mean 'onnx'\?"):
        load(tmp_path)


def test_a_file_that_is_no_onnx_model_is_refused(tmp_path: Path) -> None:
    write_document(tmp_path, ModelDocument(runtime="onnx", signature=Signature((), ())))
    with pytest.raises(NotFound, match="There is no model"):
        load(tmp_path)
    (tmp_path / "model.onnx").write_bytes(b"no model")
    with pytest.raises(InvalidInput, match="is no ONNX model"):
        load(tmp_path)
