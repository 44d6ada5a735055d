"""The example as a user meets it first: its flows called directly, on the real flights, with no platform."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest

from headwater.data.lake import LocalLake, current_lake
from headwater.sdk import Model, Table


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def data(repo_root: Path) -> ModuleType:
    return load(repo_root / "examples" / "flights" / "data.py")


@pytest.fixture(scope="module")
def flow(repo_root: Path) -> ModuleType:
    return load(repo_root / "examples" / "flights" / "flow.py")


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[LocalLake]:
    one = LocalLake(tmp_path / "lake")
    token = current_lake.set(one)
    yield one
    current_lake.reset(token)


@pytest.fixture
def landed(lake: LocalLake, data: ModuleType) -> int:
    """The snapshot of `lake.flights` with months 1 to 9."""
    Table("lake.flights_held_out").append(data.flights([10]))
    return int(Table("lake.flights").append(data.flights(range(1, 10))).snapshot_id)


def test_the_year_has_all_its_flights_and_hours_of_weather(data: ModuleType) -> None:
    assert sum(batch.num_rows for batch in data.flights()) == 336_776
    assert sum(batch.num_rows for batch in data.weather()) == 26_115
    september = pa.Table.from_batches(data.flights([9]))
    assert september.schema == data.FLIGHTS
    assert set(september["month"].to_pylist()) == {9}
    assert september["arr_delay"].null_count > 0


def test_the_model_beats_the_mean_on_a_month_it_has_not_seen(flow: ModuleType, landed: int) -> None:
    metrics = flow.train_delay()
    assert metrics["rows"] == 28_618
    assert metrics["mae"] < 12 < 23 < metrics["baseline_mae"]


def test_new_flights_are_scored_and_no_others(flow: ModuleType, data: ModuleType, landed: int) -> None:
    delay = flow.fit(Table("lake.flights").where("month = 1"), Table("lake.flights_held_out"), 5)
    november = pa.Table.from_batches(data.flights([11]))
    appended = Table("lake.flights").append(november)
    new = Table("lake.flights").at(appended.snapshot_id).since(landed)
    flow.score(delay, new)
    scored = Table("lake.delay_predictions").to_arrow()
    assert scored.num_rows == november.num_rows
    expected = delay.predict(november)["arr_delay"]
    np.testing.assert_array_equal(np.sort(scored["arr_delay_predicted"].to_numpy()), np.sort(expected))
    assert isinstance(delay, Model)
