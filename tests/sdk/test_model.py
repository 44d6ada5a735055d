from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper

from headwater.errors import InvalidInput, NotFound
from headwater.models.store import FolderArtifacts, current_artifacts
from headwater.sdk import Serving
from headwater.sdk.model import Model
from headwater.wire.v2 import Signature, Tensor


def adder() -> onnx.ModelProto:
    inputs = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["rows"]) for name in ("a", "b")]
    output = helper.make_tensor_value_info("sum", TensorProto.DOUBLE, ["rows"])
    graph = helper.make_graph([helper.make_node("Add", ["a", "b"], ["sum"])], "g", inputs, [output])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)


def test_a_model_predicts_from_a_table_a_dict_and_an_array() -> None:
    model = Model.save(adder())
    columns = {"a": [1.0, 2.0], "b": [10.0, 20.0]}
    for data in (pa.table(columns), columns, np.array([[1.0, 10.0], [2.0, 20.0]])):
        np.testing.assert_array_equal(model.predict(data)["sum"], [11.0, 22.0])


def test_a_model_travels_as_a_small_reference() -> None:
    model = Model.save(adder(), metrics={"mae": 1.5})
    parcel = pickle.dumps(model)
    assert len(parcel) < 1000
    assert pickle.loads(parcel) == model
    assert model.metrics == {"mae": 1.5}
    assert model.size_bytes > 0


@pytest.mark.parametrize("form", ["model", "bytes", "file", "folder"])
def test_the_same_model_in_any_form_has_the_same_digest(form: str, tmp_path: Path) -> None:
    content = adder().SerializeToString(deterministic=True)
    (tmp_path / "model.onnx").write_bytes(content)
    source = {"model": adder(), "bytes": content, "file": tmp_path / "model.onnx", "folder": tmp_path}[form]
    assert Model.save(source).digest == Model.save(adder()).digest


def test_the_signature_is_the_graphs() -> None:
    signature = Signature((Tensor("a", "FP64"), Tensor("b", "FP64")), (Tensor("sum", "FP64"),))
    assert Model.save(adder(), signature=signature).signature == signature
    with pytest.raises(InvalidInput, match="is not the graph's"):
        Model.save(adder(), signature=Signature((), ()))


def test_a_model_lives_in_the_artifacts_of_its_context(tmp_path: Path) -> None:
    token = current_artifacts.set(FolderArtifacts(tmp_path / "artifacts", tmp_path / "models"))
    try:
        model = Model.save(adder())
        assert model.folder.parent == tmp_path / "models"
    finally:
        current_artifacts.reset(token)
    elsewhere = current_artifacts.set(FolderArtifacts(tmp_path / "empty", tmp_path / "none"))
    try:
        with pytest.raises(NotFound):
            model.predict({"a": [1.0], "b": [2.0]})
    finally:
        current_artifacts.reset(elsewhere)


def test_a_file_that_is_no_model_is_refused() -> None:
    with pytest.raises(InvalidInput, match="is no ONNX model"):
        Model.save(b"nothing")


def test_serving_says_what_each_replica_leases() -> None:
    assert Serving(max_replicas=2).asked() == {"replicas_min": 1, "replicas_max": 2}
    leased = Serving(gpus="0.25", gpu_model="H100", tier=1).asked()
    assert {name: leased[name] for name in ("gpus_milli", "gpu_model", "tier")} == {
        "gpus_milli": 250,
        "gpu_model": "H100",
        "tier": 1,
    }


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"min_replicas": 3, "max_replicas": 2}, "no range of replicas"),
        ({"gpus": 1.5}, "whole devices, or a part of one"),
        ({"gpus": -1}, "gpus"),
        ({"gpus": 1, "tier": 5}, "Write 1"),
        ({"tier": 1}, "give gpus too"),
        ({"gpu_model": "H100"}, "give gpus too"),
    ],
)
def test_serving_that_cannot_be_says_what_is_wrong(asked: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        Serving(**asked)
