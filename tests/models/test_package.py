from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from headwater.errors import InvalidInput, NotFound
from headwater.models.features import FittedCategory, FittedFeatures, FittedNumber
from headwater.models.package import DOCUMENT, ModelDocument, read_document, write_document
from headwater.wire.v2 import Signature, Tensor

SIGNATURE = Signature((Tensor("x", "FP64"),), (Tensor("y", "FP32"),))
FEATURES = FittedFeatures("y", 1.5, 10, (FittedNumber("x", 0.0, "FP64"), FittedCategory("c", ("a", "b"))))


def test_a_document_comes_back_as_it_was(tmp_path: Path) -> None:
    features = msgspec.json.decode(msgspec.json.encode(FEATURES))
    document = ModelDocument(runtime="onnx", signature=SIGNATURE, metrics={"mae": 1.0}, features=features)
    write_document(tmp_path, document)
    assert read_document(tmp_path) == document
    assert msgspec.convert(read_document(tmp_path).features, FittedFeatures) == FEATURES


def test_a_folder_without_a_document_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=DOCUMENT):
        read_document(tmp_path)


@pytest.mark.parametrize("text", ["{", '{"runtime": 1}', "[]"])
def test_a_broken_document_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / DOCUMENT).write_text(text)
    with pytest.raises(InvalidInput, match="is no model document"):
        read_document(tmp_path)


def test_a_document_of_a_later_format_is_refused(tmp_path: Path) -> None:
    write_document(tmp_path, ModelDocument(format=9, runtime="onnx", signature=SIGNATURE))
    with pytest.raises(InvalidInput, match="has format 9"):
        read_document(tmp_path)
