"""Fuses fitted transforms and a predictor into one ONNX graph that takes the raw columns.

carrier  (BYTES [rows]) ─ LabelEncoder ────────────┐
dep_delay (FP64 [rows]) ─ Cast ─ Where(finite) ────┴─ Concat [rows, columns] ─ predictor ─ Reshape ─► target [rows]
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from ..errors import InvalidInput
from ..wire.v2 import Signature, Tensor
from .features import FIRST_CODE, MISSING, UNSEEN, FittedCategory, FittedFeatures, FittedNumber

OPSETS = {"": 15, "ai.onnx.ml": 3}
IR_VERSION = 8

_ELEMENT = {"FP64": TensorProto.DOUBLE, "FP32": TensorProto.FLOAT, "INT64": TensorProto.INT64}
_ROW, _COLUMN = "headwater/row", "headwater/column"


def fuse(features: FittedFeatures, predictor: onnx.ModelProto) -> onnx.ModelProto:
    """One model: raw named columns in, one float32 prediction per row out, named like the target.

    `predictor` takes one float32 matrix (rows, columns), gives one number per row, and uses OPSETS at most.
    """
    predictor = compose.add_prefix(predictor, prefix="predictor/")
    graph = predictor.graph
    taken, given = graph.input[0].name, graph.output[0].name
    nodes = [node for column in features.columns for node in _nodes(column)]
    nodes.append(helper.make_node("Concat", [_feature(column.name) for column in features.columns], [taken], axis=1))
    nodes.extend(graph.node)
    nodes.append(helper.make_node("Reshape", [given, _ROW], [features.target]))
    fused = helper.make_graph(
        nodes,
        "headwater",
        [_input(column) for column in features.columns],
        [helper.make_tensor_value_info(features.target, TensorProto.FLOAT, ["rows"])],
        [*graph.initializer, *_shapes()],
    )
    model = helper.make_model(fused, opset_imports=_opsets(predictor), ir_version=IR_VERSION, producer_name="headwater")
    onnx.checker.check_model(model)
    return model


def signature(features: FittedFeatures) -> Signature:
    """The signature of the fused graph."""
    inputs = tuple(Tensor(column.name, _datatype(column)) for column in features.columns)
    return Signature(inputs, (Tensor(features.target, "FP32"),))


def _nodes(column: FittedNumber | FittedCategory) -> Iterator[onnx.NodeProto]:
    name, flat = column.name, f"{_feature(column.name)}/flat"
    if isinstance(column, FittedCategory):
        yield helper.make_node(
            "LabelEncoder",
            [name],
            [flat],
            domain="ai.onnx.ml",
            keys_strings=["", *column.vocabulary],
            values_floats=[float(MISSING), *(float(FIRST_CODE + place) for place in range(len(column.vocabulary)))],
            default_float=float(UNSEEN),
        )
    else:
        yield from _fill(column, flat)
    yield helper.make_node("Reshape", [flat, _COLUMN], [_feature(name)])


def _fill(column: FittedNumber, filled: str) -> Iterator[onnx.NodeProto]:
    value, nan, infinite, missing, fill = (f"{filled}/{part}" for part in ("value", "nan", "inf", "missing", "fill"))
    constant = numpy_helper.from_array(np.array(column.fill, np.float32))
    yield helper.make_node("Cast", [column.name], [value], to=TensorProto.FLOAT)
    yield helper.make_node("IsNaN", [value], [nan])
    yield helper.make_node("IsInf", [value], [infinite])
    yield helper.make_node("Or", [nan, infinite], [missing])
    yield helper.make_node("Constant", [], [fill], value=constant)
    yield helper.make_node("Where", [missing, fill, value], [filled])


def _input(column: FittedNumber | FittedCategory) -> onnx.ValueInfoProto:
    element = TensorProto.STRING if isinstance(column, FittedCategory) else _ELEMENT[column.datatype]
    return helper.make_tensor_value_info(column.name, element, ["rows"])


def _datatype(column: FittedNumber | FittedCategory) -> str:
    return "BYTES" if isinstance(column, FittedCategory) else column.datatype


def _feature(name: str) -> str:
    return f"feature/{name}"


def _shapes() -> list[TensorProto]:
    row, column = np.array([-1], np.int64), np.array([-1, 1], np.int64)
    return [numpy_helper.from_array(row, _ROW), numpy_helper.from_array(column, _COLUMN)]


def _opsets(predictor: onnx.ModelProto) -> list[onnx.OperatorSetIdProto]:
    for opset in predictor.opset_import:
        if opset.version > OPSETS.get(opset.domain, 0):
            what = f"The predictor uses version {opset.version} of the operators '{opset.domain or 'ai.onnx'}'"
            raise InvalidInput(what, remedy=f"Export it with at most version {OPSETS.get(opset.domain, 0)}.")
    return [helper.make_opsetid(domain, version) for domain, version in OPSETS.items()]
