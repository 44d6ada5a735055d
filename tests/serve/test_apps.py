"""A model behind the real front door: Ray Serve, HAProxy, ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import pytest
from onnx import TensorProto, helper

from headwater.models.package import ONNX_FILE, ModelDocument, write_document
from headwater.wire.v2 import Signature, Tensor

if TYPE_CHECKING:
    from .conftest import Front

SIGNATURE = Signature((Tensor("miles", "FP64"), Tensor("carrier", "BYTES")), (Tensor("minutes", "FP64"),))


def a_model(folder: Path, factor: float) -> dict[str, Any]:
    """A spec for a model that says `miles` times `factor`."""
    nodes = [
        helper.make_node("Constant", [], ["factor"], value_float=factor),
        helper.make_node("Cast", ["factor"], ["wide"], to=TensorProto.DOUBLE),
        helper.make_node("Mul", ["miles", "wide"], ["minutes"]),
    ]
    inputs = [
        helper.make_tensor_value_info("miles", TensorProto.DOUBLE, ["rows"]),
        helper.make_tensor_value_info("carrier", TensorProto.STRING, ["rows"]),
    ]
    outputs = [helper.make_tensor_value_info("minutes", TensorProto.DOUBLE, ["rows"])]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    folder.mkdir()
    onnx.save(model, folder / ONNX_FILE)
    write_document(folder, ModelDocument(runtime="onnx", signature=SIGNATURE))
    return {"name": "trip", "version": str(int(factor)), "digest": f"d{factor}", "folder": str(folder)}


@pytest.fixture(scope="session")
def double(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return a_model(tmp_path_factory.mktemp("models") / "double", 2)


@pytest.fixture
def trip(front: Front, double: dict[str, Any]) -> Front:
    front.serve(double)
    return front


def body(**changed: Any) -> dict[str, Any]:
    """A good request, but for what is changed by input: a new tensor, or None to leave it out."""
    tensors: dict[str, dict[str, Any] | None] = {
        "miles": {"name": "miles", "datatype": "FP64", "shape": [2], "data": [1.5, 4]},
        "carrier": {"name": "carrier", "datatype": "BYTES", "shape": [2], "data": ["UA", "AA"]},
    }
    return {"inputs": [tensor for tensor in {**tensors, **changed}.values() if tensor is not None]}


def test_health_needs_no_token_and_the_rest_does(front: Front) -> None:
    assert front.get("/v2/health/live", token="").json()["live"] is True
    assert front.get("/v2/health/ready", token="").json()["ready"] is True
    assert front.get("/v2", token="").status_code == 401
    assert front.get("/v2", token="wrong").status_code == 401
    assert front.get("/v2").json() == {"name": "headwater", "version": "0.1.0", "extensions": []}


def test_an_unknown_model_is_not_found(trip: Front) -> None:
    answer = trip.infer("trap", body())
    assert answer.status_code == 404
    assert answer.json() == {"error": "There is no model 'trap'. Did you mean 'trip'?"}


def test_a_model_whose_replicas_are_not_up_is_unavailable(front: Front, double: dict[str, Any]) -> None:
    broken = {**double, "name": "broken", "folder": "/nonexistent", "min_replicas": 0}
    front.serve(double)
    front.reconcile(double, broken)
    while (answer := front.infer("broken", body())).status_code == 404:
        pass  # `root` has not heard of it yet
    assert answer.status_code == 503
    assert answer.json()["error"].startswith("Model 'broken' is not ready")
    front.answers("trip", body())  # HAProxy may have nobody for it for a moment while it reloads
    front.reconcile(double)


def test_a_prediction_comes_back_by_name(trip: Front) -> None:
    answer = trip.infer("trip", {**body(), "id": "7"})
    assert answer.status_code == 200
    assert answer.json() == {
        "model_name": "trip",
        "model_version": "2",
        "outputs": [{"name": "minutes", "datatype": "FP64", "shape": [2], "data": [3.0, 8.0]}],
        "id": "7",
    }


def test_a_large_request_is_answered_too(trip: Front) -> None:
    rows = 20_000
    miles = {"name": "miles", "datatype": "FP64", "shape": [rows], "data": list(range(rows))}
    carrier = {"name": "carrier", "datatype": "BYTES", "shape": [rows], "data": ["UA"] * rows}
    answer = trip.infer("trip", body(miles=miles, carrier=carrier))
    assert answer.json()["outputs"][0]["data"][-1] == 2.0 * (rows - 1)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (body(carrier=None), "Missing input 'carrier'"),
        (body(mile={"name": "mile", "datatype": "FP64", "shape": [2], "data": [1, 2]}), "Did you mean 'miles'?"),
        (body(miles={"name": "miles", "datatype": "BYTES", "shape": [2], "data": ["1", "2"]}), "'miles' has datatype"),
        (body(miles={"name": "miles", "datatype": "FP64", "shape": [2], "data": ["1", 2]}), "'miles' does not hold"),
        (body(miles={"name": "miles", "datatype": "FP64", "shape": [2, 2], "data": [1, 2, 3, 4]}), "'miles' has shape"),
        (body(miles={"name": "miles", "datatype": "FP64", "shape": [3], "data": [1, 2, 3]}), "'carrier' has 2 rows"),
        ({"instances": [1]}, "no v2 inference request"),
    ],
)
def test_a_bad_prediction_names_what_is_wrong(trip: Front, bad: dict[str, Any], says: str) -> None:
    answer = trip.infer("trip", bad)
    assert answer.status_code == 400
    assert says in answer.json()["error"]


def test_a_prediction_without_the_right_token_is_refused(trip: Front) -> None:
    assert trip.infer("trip", body(), token="").status_code == 401
    assert trip.infer("trip", body(), token="wrong").status_code == 401


def test_the_model_tells_its_signature_and_its_versions(trip: Front) -> None:
    answer = trip.get("/v2/models/trip").json()
    assert answer["versions"] == ["2"]
    assert answer["inputs"][1] == {"name": "carrier", "datatype": "BYTES", "shape": [-1]}
    assert trip.get("/v2/models/trip/versions/2").json() == answer
    assert trip.get("/v2/models/trip/versions/2/ready", token="").status_code == 200
    assert trip.get("/v2/models/trip/versions/9").status_code == 404
    assert trip.get("/v2/models/trip/infer").status_code == 405


def test_reconciling_again_starts_no_new_replica(trip: Front, double: dict[str, Any]) -> None:
    before = trip.call("status")["result"]
    assert before["trip"]["readiness"] == "ready"
    assert trip.reconcile(double) == {"result": before}
    assert trip.infer("trip", body()).status_code == 200
    assert trip.call("status")["result"] == before


def test_a_new_version_takes_over_while_the_old_one_answers(trip: Front, tmp_path: Path) -> None:
    treble = a_model(tmp_path / "treble", 3)
    trip.reconcile(treble)
    versions = [answer["model_version"] for answer in answers_until(trip, "3")]
    assert set(versions) == {"2", "3"}


def test_a_model_no_longer_desired_is_gone(front: Front, double: dict[str, Any]) -> None:
    if front.get("/v2/models/trip").status_code != 200:  # any version will do, and a switch takes a drain's 30 s
        front.serve(double)
    front.reconcile()
    seen = [200]
    while seen[-1] in (200, 503):
        seen.append(front.get("/v2/models/trip").status_code)
    assert seen == sorted(seen, key=[200, 503, 404].index)  # 503: `root` has not heard of it yet; never back


def test_impossible_bounds_are_refused(front: Front, double: dict[str, Any]) -> None:
    answer = front.reconcile({**double, "min_replicas": 3, "max_replicas": 1})
    assert answer["refused"].startswith("Model 'trip' cannot have 3 to 1 replicas")


@pytest.mark.parametrize("name", ["", "a/b", "a b", ".."])
def test_a_name_that_cannot_stand_in_an_address_is_refused(front: Front, double: dict[str, Any], name: str) -> None:
    answer = front.reconcile({**double, "name": name})
    assert answer["refused"].startswith(f"'{name}' cannot be a model's name")


def answers_until(front: Front, version: str) -> list[dict[str, Any]]:
    """Every answer, all of them good, until one comes from `version`."""
    answers: list[dict[str, Any]] = []
    while not answers or answers[-1]["model_version"] != version:
        front.call("status")  # leaves the machine to the replica that is starting
        answer = front.infer("trip", body())
        assert answer.status_code == 200, answer.text
        answers.append(answer.json())
    return answers
