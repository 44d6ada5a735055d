"""Gradient-boosted trees that learn from a stream.

The table is never held. One pass fits the transforms; then XGBoost asks for the batches itself, three passes
more (quantile sketch, then bins), and keeps the values as binned pages, one byte or two each, in files under a
temporary folder. Boosting reads those pages back level by level, through the page cache. What stays in memory for
each row is its label, gradient, prediction and place in the tree, about 30 bytes however many columns there are.
Where there is a CUDA device and an XGBoost that was built for it, the trees grow there, from pages of raw values.
"""

from __future__ import annotations

import gc
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np
import pyarrow as pa

from ..errors import InvalidInput, Unavailable
from .features import Features, FittedFeatures, Matrix

if TYPE_CHECKING:
    import onnx
    import xgboost

Batches = Callable[[], Iterable[pa.RecordBatch]]
PAGE_ROWS = 65_536
BINS = 256


class Boosting(msgspec.Struct, frozen=True):
    """How the trees are grown."""

    rounds: int = 60
    depth: int = 6
    learning_rate: float = 0.3
    loss: Literal["squared", "absolute"] = "squared"
    threads: int = 0
    seed: int = 0


DEFAULT = Boosting()


class Progress(msgspec.Struct, frozen=True):
    """How far the training is: rows of one pass while data stream, rounds and their loss while trees grow."""

    phase: Literal["features", "bins", "trees"]
    done: int
    total: int | None = None
    loss: float | None = None

    @property
    def unit(self) -> str:
        return "rounds" if self.phase == "trees" else "rows"

    @property
    def note(self) -> str:
        return self.phase if self.loss is None else f"loss {self.loss:.2f}"


class Trees(msgspec.Struct, frozen=True):
    """Fitted transforms and the trees behind them."""

    features: FittedFeatures
    booster: Any

    def predict(self, batch: pa.RecordBatch) -> Matrix:
        """The predictions of a batch, one per row."""
        predictions: Matrix = self.booster.inplace_predict(self.features.transform(batch))
        return predictions

    def to_onnx(self) -> onnx.ModelProto:
        """Transforms and trees as one graph from raw columns to the target."""
        from onnxmltools import convert_xgboost
        from onnxmltools.convert.common.data_types import FloatTensorType

        from .feature_graph import OPSETS, fuse

        matrix = [("features", FloatTensorType([None, len(self.features.columns)]))]
        return fuse(self.features, convert_xgboost(self.booster, initial_types=matrix, target_opset=OPSETS[""]))


def grow(
    batches: Batches,
    features: Features,
    *,
    boosting: Boosting = DEFAULT,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Trees:
    """Trees grown on the rows of `batches` whose target is known; `batches` is called once per pass.

    Raises InvalidInput naming a column that does not fit, or when a pass differs from the one before it.
    """
    xgboost = _xgboost()
    fitted = features.fit(batches(), on_rows=lambda rows: on_progress(Progress("features", rows)))
    with tempfile.TemporaryDirectory(prefix="headwater-trees-") as folder:
        pages = _pages(batches, fitted, on_progress)
        source = _source(pages, Path(folder) / "pages", expected_rows=fitted.rows)
        where = device()
        matrix = _matrix(source, where, boosting)
        booster = xgboost.train(
            _parameters(boosting, where),
            matrix,
            boosting.rounds,
            evals=[(matrix, "train")],
            verbose_eval=False,
            callbacks=[_reporter(on_progress, boosting.rounds)],
        )
        del matrix, source  # their files go before the folder does
        gc.collect()
    booster.set_param({"device": "cpu"})  # predictions take NumPy, wherever the trees grew
    return Trees(fitted, booster)


def device() -> Literal["cuda", "cpu"]:
    """Where the trees grow: "cuda" where XGBoost was built for it and a device answers."""
    xgboost = _xgboost()
    if not xgboost.build_info().get("USE_CUDA"):
        return "cpu"
    return "cuda" if _cuda_devices() else "cpu"


def _cuda_devices() -> int:
    """How many CUDA devices this process may use, by the driver's own count."""
    import ctypes

    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def _matrix(source: xgboost.DataIter, where: Literal["cuda", "cpu"], boosting: Boosting) -> xgboost.DMatrix:
    """The pages that the trees grow from: binned for the CPU, raw for a GPU, which cannot use bins made from NumPy."""
    import xgboost

    if where == "cuda":
        return xgboost.DMatrix(source, nthread=boosting.threads)
    return xgboost.ExtMemQuantileDMatrix(source, max_bin=BINS, nthread=boosting.threads)


def _parameters(boosting: Boosting, where: Literal["cuda", "cpu"]) -> dict[str, object]:
    objective = {"squared": "reg:squarederror", "absolute": "reg:absoluteerror"}[boosting.loss]
    return {
        "objective": objective,
        "eval_metric": "mae",
        "max_depth": boosting.depth,
        "learning_rate": boosting.learning_rate,
        "tree_method": "hist",
        "device": where,
        "max_bin": BINS,
        "seed": boosting.seed,
        "nthread": boosting.threads,
    }


def _pages(
    batches: Batches, features: FittedFeatures, on_progress: Callable[[Progress], None]
) -> Callable[[], Iterator[tuple[Matrix, Matrix]]]:
    """One pass after another of transformed rows, in pages large enough to be worth a file."""

    def one_pass() -> Iterator[tuple[Matrix, Matrix]]:
        waiting: list[tuple[Matrix, Matrix]] = []
        rows = 0
        for batch in batches():
            waiting.append(features.labelled(batch))
            rows += batch.num_rows
            if sum(len(labels) for _, labels in waiting) >= PAGE_ROWS:
                yield _joined(waiting)
                waiting.clear()
            on_progress(Progress("bins", rows))
        if waiting:
            yield _joined(waiting)

    return one_pass


def _joined(parts: list[tuple[Matrix, Matrix]]) -> tuple[Matrix, Matrix]:
    return np.concatenate([matrix for matrix, _ in parts]), np.concatenate([labels for _, labels in parts])


def _source(
    one_pass: Callable[[], Iterator[tuple[Matrix, Matrix]]], prefix: Path, *, expected_rows: int
) -> xgboost.DataIter:
    """XGBoost's iterator over the pages; it is reset before every pass."""
    import xgboost

    class Source(xgboost.DataIter):
        def __init__(self) -> None:
            super().__init__(cache_prefix=str(prefix))
            self.pages = one_pass()
            self.rows = 0

        def reset(self) -> None:
            self.pages, self.rows = one_pass(), 0

        def next(self, input_data: Callable[..., None]) -> bool:
            for matrix, labels in self.pages:
                if len(labels):
                    self.rows += len(labels)
                    input_data(data=matrix, label=labels)
                    return True
            if self.rows != expected_rows:
                what = f"One pass gave {self.rows} rows with a target, the first {expected_rows}"
                raise InvalidInput(what, remedy="Read a pinned snapshot: every pass must give the same rows.")
            return False

    return Source()


def _reporter(on_progress: Callable[[Progress], None], rounds: int) -> xgboost.callback.TrainingCallback:
    import xgboost

    class Reporter(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            on_progress(Progress("trees", epoch + 1, rounds, float(evals_log["train"]["mae"][-1])))
            return False

    return Reporter()


def _xgboost() -> Any:
    try:
        import xgboost
    except ImportError:
        raise Unavailable("xgboost is not installed", remedy="pip install 'headwater[examples]'") from None
    return xgboost
