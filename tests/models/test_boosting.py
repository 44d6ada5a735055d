from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from headwater.errors import InvalidInput
from headwater.models.boosting import Boosting, Progress, Trees, grow
from headwater.models.evaluation import evaluate
from headwater.models.features import Category, Features, Number
from headwater.sdk.model import Model

FEATURES = Features("y", [Number("x"), Category("kind")])
SMALL = Boosting(rounds=8, depth=3, threads=1)


def some_batches(*, seed: int = 0, count: int = 3, rows: int = 400) -> Iterator[pa.RecordBatch]:
    """y = 3x, plus 10 where the kind is 'late'; every tenth x and y is missing."""
    for batch in range(count):
        random = np.random.default_rng((seed, batch))
        x = random.normal(size=rows)
        late = random.random(rows) < 0.5
        y = 3 * x + 10 * late
        gap = np.arange(rows) % 10 == 0
        yield pa.RecordBatch.from_arrays(
            [
                pa.array(x, mask=gap),
                pa.array(np.where(late, "late", "early")),
                pa.array(y, mask=np.roll(gap, 1)),
            ],
            ["x", "kind", "y"],
        )


@pytest.fixture(scope="module")
def trees() -> Trees:
    return grow(some_batches, FEATURES, boosting=SMALL)


def test_trees_grown_from_a_stream_beat_the_mean_on_other_rows(trees: Trees) -> None:
    result = evaluate(some_batches(seed=1), trees.features, trees.predict)
    assert result.rows == 3 * 360
    assert result.beats_baseline
    assert result.mae < result.baseline_mae / 3


def test_growing_again_gives_the_same_trees(trees: Trees) -> None:
    again = grow(some_batches, FEATURES, boosting=SMALL)
    batch = next(some_batches(seed=2))
    np.testing.assert_array_equal(again.predict(batch), trees.predict(batch))


def test_progress_tells_the_rows_of_each_pass_and_the_loss_of_each_round() -> None:
    heard: list[Progress] = []
    grow(some_batches, FEATURES, boosting=SMALL, on_progress=heard.append)
    assert [one.done for one in heard if one.phase == "features"] == [400, 800, 1200]
    assert [one.done for one in heard if one.phase == "bins"][:3] == [400, 800, 1200]
    losses = [one.loss for one in heard if one.phase == "trees" and one.loss is not None]
    assert len(losses) == SMALL.rounds
    assert heard[-1].done == heard[-1].total == SMALL.rounds
    assert heard[-1].note == f"loss {losses[-1]:.2f}"
    assert losses[-1] < losses[0]


def test_one_onnx_graph_predicts_as_the_trees_do(trees: Trees) -> None:
    model = Model.save(trees.to_onnx(), features=trees.features)
    batch = next(some_batches(seed=3))
    np.testing.assert_allclose(model.predict(batch)["y"], trees.predict(batch), rtol=1e-5, atol=1e-5)


def test_a_stream_that_changes_between_passes_is_refused() -> None:
    passes = iter(range(1, 100))
    with pytest.raises(InvalidInput, match="One pass gave 720 rows with a target, the first 360"):
        grow(lambda: some_batches(count=next(passes)), FEATURES, boosting=SMALL)


def test_a_bad_column_is_named_from_inside_a_pass() -> None:
    with pytest.raises(InvalidInput, match="no column 'kind'"):
        grow(lambda: (batch.drop_columns(["kind"]) for batch in some_batches()), FEATURES, boosting=SMALL)


def test_nothing_to_measure_on_is_said(trees: Trees) -> None:
    with pytest.raises(InvalidInput, match="No row to measure on"):
        evaluate([], trees.features, trees.predict)
