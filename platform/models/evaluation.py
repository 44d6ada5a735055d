"""How good a model is, measured on a stream that it did not learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
import numpy as np
import pyarrow as pa

from ..errors import InvalidInput
from .features import FittedFeatures, Matrix, with_target


class Evaluation(msgspec.Struct, frozen=True):
    """Mean absolute errors over `rows`, of the model and of always saying the training mean."""

    rows: int
    mae: float
    baseline_mae: float

    @property
    def beats_baseline(self) -> bool:
        return self.mae < self.baseline_mae

    def metrics(self) -> dict[str, float]:
        return {"mae": self.mae, "baseline_mae": self.baseline_mae, "rows": float(self.rows)}


def evaluate(
    batches: Iterable[pa.RecordBatch], features: FittedFeatures, predict: Callable[[pa.RecordBatch], Matrix]
) -> Evaluation:
    """The errors over the rows whose target is known. Raises InvalidInput where there is none."""
    rows, error, baseline = 0, 0.0, 0.0
    for batch in batches:
        known = with_target(batch, features.target)
        if not known.num_rows:
            continue
        _, labels = features.labelled(known)
        rows += len(labels)
        error += float(np.abs(predict(known).astype(np.float64) - labels).sum())
        baseline += float(np.abs(features.target_mean - labels).sum())
    if not rows:
        raise InvalidInput(f"No row to measure on has a value in '{features.target}'", remedy="Check the filter.")
    return Evaluation(rows, error / rows, baseline / rows)
