"""A model as a value: a small reference to a folder of artifacts, made in a step, passed on, registered, used."""

from __future__ import annotations

import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ..errors import InvalidInput
from ..models.features import FittedFeatures
from ..models.package import DOCUMENT, ONNX_FILE, ModelDocument, size_bytes, write_document
from ..models.runtimes import OnnxRuntime, Runtime, load
from ..models.signature import Data, columns_of
from ..models.store import artifacts
from ..wire.v2 import Array, Signature

if TYPE_CHECKING:
    import onnx

LOADED_MAX = 8
THREADS = 1


class Model(msgspec.Struct, frozen=True):
    """One immutable model. Travels as its digest; its files stay among the artifacts."""

    digest: str
    runtime: str
    signature: Signature
    metrics: dict[str, float]
    size_bytes: int

    @staticmethod
    def save(
        source: onnx.ModelProto | bytes | str | Path,
        *,
        signature: Signature | None = None,
        metrics: dict[str, float] | None = None,
        features: FittedFeatures | None = None,
    ) -> Model:
        """The model kept among the artifacts of this context.

        `source` is an ONNX model, its bytes, its file, or a folder with `model.onnx`. The signature is read from
        the graph; one that is given must be equal to it. Saving equal content gives an equal digest.
        """
        with tempfile.TemporaryDirectory(prefix="headwater-model-") as draft:
            folder = Path(draft)
            _write(source, folder)
            runtime, document = _described(folder, metrics or {}, features)
            if signature is not None and signature != runtime.signature:
                what = f"The signature given, {signature}, is not the graph's: {runtime.signature}"
                raise InvalidInput(what, remedy="Leave it out: it is read from the graph.")
            digest = artifacts().put_folder(folder)
            return Model(digest, document.runtime, document.signature, document.metrics, size_bytes(folder))

    @property
    def folder(self) -> Path:
        """Where the model's files can be read."""
        return artifacts().folder(self.digest)

    def predict(self, data: Data) -> dict[str, Array]:
        """The outputs by name, one row for each of `data`, computed here.

        `data` is a table or record batch (further columns are left alone), a dict of columns, or an array in the
        order of the signature. Raises InvalidInput naming the column that is missing or does not fit.
        """
        return _loaded(self.folder).predict(columns_of(data, self.signature))


def _write(source: onnx.ModelProto | bytes | str | Path, folder: Path) -> None:
    if isinstance(source, str | Path) and Path(source).is_dir():
        shutil.copytree(source, folder, dirs_exist_ok=True)
        (folder / DOCUMENT).unlink(missing_ok=True)
        return
    if isinstance(source, str | Path):
        content = Path(source).read_bytes()
    else:
        content = source if isinstance(source, bytes) else source.SerializeToString(deterministic=True)
    (folder / ONNX_FILE).write_bytes(content)


def _described(
    folder: Path, metrics: dict[str, float], features: FittedFeatures | None
) -> tuple[Runtime, ModelDocument]:
    runtime = OnnxRuntime(folder / ONNX_FILE)
    plain = msgspec.to_builtins(features) if features else None
    document = ModelDocument(runtime="onnx", signature=runtime.signature, metrics=metrics, features=plain)
    write_document(folder, document)
    return runtime, document


@lru_cache(maxsize=LOADED_MAX)
def _loaded(folder: Path) -> Runtime:
    runtime, _ = load(folder, threads=THREADS)
    return runtime
