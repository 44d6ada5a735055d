"""Another team, another project: it asks for the device that `flights` may be using, and waits for its turn."""

from __future__ import annotations

import numpy as np

from headwater.sdk import Table, flow, on, step


@flow(project="eta", on=on.event("weather.asked"))
def rough_days() -> dict[str, float]:
    """How windy the windiest hours are."""
    return {"wind_speed_p99": windiest(Table("lake.weather").select("wind_speed")).result()}


@step(gpus=1, memory="512MiB")
def windiest(weather: Table) -> float:
    """The 99th percentile of the wind speed, in miles an hour, from a stream of batches."""
    speeds = [batch.column(0).drop_null().to_numpy() for batch in weather.stream()]
    return float(np.percentile(np.concatenate(speeds), 99))
