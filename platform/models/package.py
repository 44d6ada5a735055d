"""A model version is a folder: the model's files, and `model.json` that says how to run them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..errors import InvalidInput, NotFound
from ..wire.v2 import Signature

DOCUMENT = "model.json"
ONNX_FILE = "model.onnx"
FORMAT = 1


class ModelDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `model.json` holds. `runtime` names an entry of `runtimes.RUNTIMES`.

    `features` is a `FittedFeatures` in builtins: whoever serves a model loads no code of transforms.
    """

    format: int = FORMAT
    runtime: str
    signature: Signature
    metrics: dict[str, float] = {}
    features: dict[str, object] | None = None


def write_document(folder: Path, document: ModelDocument) -> None:
    """Writes `model.json`; equal documents give equal bytes."""
    text = msgspec.json.format(msgspec.json.encode(document, order="sorted"), indent=2)
    (folder / DOCUMENT).write_bytes(text + b"\n")


def read_document(folder: Path) -> ModelDocument:
    """The document of a model's folder. Raises NotFound or InvalidInput where it is no such folder."""
    path = folder / DOCUMENT
    try:
        document = msgspec.json.decode(path.read_bytes(), type=ModelDocument)
    except FileNotFoundError:
        raise NotFound(f"{folder} holds no {DOCUMENT}", remedy="Make the folder with Model.save(...).") from None
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{path} is no model document: {error}") from None
    if document.format > FORMAT:
        raise InvalidInput(f"{path} has format {document.format}; this version reads {FORMAT}", remedy="Upgrade it.")
    return document


def size_bytes(folder: Path) -> int:
    """The bytes of all files in the folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
