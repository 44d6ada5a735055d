"""How late will a flight land? Learns it when flights have landed, and says it for every new one.

flights.landed ──► train_delay ──► fit (1 GPU) ──► model `delay` ──► POST /v2/models/delay/infer
lake.flights   ──► score_new_flights ──► lake.delay_predictions
"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from headwater.models.boosting import Boosting, Progress, grow
from headwater.models.evaluation import evaluate
from headwater.models.features import Category, Features, Number
from headwater.sdk import Model, Table, current, flow, model, on, register, step

DELAY = Features(
    target="arr_delay",
    columns=[
        Number("dep_delay"),
        Number("sched_dep_time"),
        Number("sched_arr_time"),
        Number("distance"),
        Category("carrier"),
        Category("origin"),
        Category("dest"),
    ],
)
FLIGHT = ["year", "month", "day", "carrier", "flight", "origin", "dest", "sched_dep_time"]


@flow(project="flights", on=on.event("flights.landed"))
def train_delay(rounds: int = 60) -> dict[str, float]:
    """Registers a model that beats the mean; fails where it does not."""
    columns = [column.name for column in DELAY.columns]
    landed = Table("lake.flights").select(*columns, "arr_delay")
    held_out = Table("lake.flights_held_out").select(*columns, "arr_delay")
    delay = fit(landed, held_out, rounds)
    metrics: dict[str, float] = delay.result().metrics
    if metrics["mae"] >= metrics["baseline_mae"]:
        raise ValueError(f"no better than the mean: {metrics}")
    register("delay", delay)
    return metrics


@step(gpus=1, memory="2GiB", retries=2, timeout="10m")
def fit(landed: Table, held_out: Table, rounds: int) -> Model:
    """A model grown from a stream of flights, measured on flights that it has not seen."""
    trees = grow(landed.stream, DELAY, boosting=Boosting(rounds=rounds), on_progress=tell)
    result = evaluate(held_out.stream(), trees.features, trees.predict)
    return Model.save(trees.to_onnx(), metrics=result.metrics(), features=trees.features)


def tell(progress: Progress) -> None:
    current().progress(progress.done, progress.total, unit=progress.unit, note=progress.note)


@flow(project="flights", on=on.commit("lake.flights"))
def score_new_flights(snapshot_id: int, previous_snapshot_id: int | None = None) -> None:
    """Predicts the delay of the flights that this commit appended, and of no others."""
    flights = Table("lake.flights").at(snapshot_id)
    new = flights.since(previous_snapshot_id) if previous_snapshot_id else flights
    score(model("delay"), new)


@step(memory="1GiB", retries=2)
def score(delay: Model, flights: Table) -> None:
    """Appends one prediction for each flight to `lake.delay_predictions`."""

    def predictions() -> Iterator[pa.RecordBatch]:
        for batch in flights.stream():
            predicted = pa.array(delay.predict(batch)["arr_delay"])
            yield batch.select(FLIGHT).append_column("arr_delay_predicted", predicted)

    Table("lake.delay_predictions").append(predictions())
