"""Tables as values, on the embedded lake: no platform runs."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from headwater.data.lake import Batches, LocalLake, current_lake
from headwater.errors import Conflict, InvalidInput, NotFound
from headwater.sdk.table import Table


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[LocalLake]:
    lake = LocalLake(tmp_path / "lake")
    token = current_lake.set(lake)
    yield lake
    current_lake.reset(token)


@pytest.fixture
def flights(lake: LocalLake) -> Table:
    table = Table("lake.flights")
    table.append(month_rows(1), key="month-1")
    table.append(month_rows(2), key="month-2")
    return table


def month_rows(month: int) -> pa.Table:
    return pa.table(
        {"month": pa.array([month] * 100, pa.int64()), "delay": np.arange(100.0), "carrier": ["AA", "UA"] * 50}
    )


def test_a_table_is_read_filtered_and_cut_to_columns(flights: Table) -> None:
    late = flights.where("month = 2").where("delay >= 90 or delay < 5").where("carrier = 'AA'").select("delay", "month")
    assert late.to_arrow().to_pydict() == {"delay": [0, 2, 4, 90, 92, 94, 96, 98], "month": [2] * 8}
    assert late.count() == 8
    assert late.head(2).column("delay").to_pylist() == [0, 2]
    assert late.schema().names == ["delay", "month"]


def test_a_table_is_a_value(flights: Table) -> None:
    assert flights.where("month = 1") == flights.where("month = 1")
    assert hash(flights.select("month")) != hash(flights.select("delay"))
    with pytest.raises(FrozenInstanceError):
        flights.name = "other"  # type: ignore[misc]


def test_a_stream_knows_its_rows_and_resumes(flights: Table) -> None:
    opened = flights.stream(batch_rows=30)
    assert (opened.rows_total, opened.rows_exact, opened.schema().names) == (200, True, ["month", "delay", "carrier"])
    batches = iter(opened)
    next(batches)
    rest = flights.stream(batch_rows=30, position=pickle.loads(pickle.dumps(opened.position)))
    assert [batch.to_pydict() for batch in rest] == [batch.to_pydict() for batch in batches]
    assert flights.where("delay > 10").stream().rows_exact is False


def test_ranks_and_seeds_cut_and_shuffle(flights: Table) -> None:
    shares = [[b.column("month")[0].as_py() for b in flights.stream(shard=(rank, 2))] for rank in range(2)]
    assert shares == [[1], [2]]
    shuffled = pa.Table.from_batches(list(flights.stream(seed=7)))
    assert not shuffled.equals(flights.to_arrow())
    assert shuffled.sort_by([("month", "ascending"), ("delay", "ascending")]).equals(
        flights.to_arrow().combine_chunks()
    )


def test_since_and_at_name_snapshots(flights: Table) -> None:
    before = flights.pin().at_id
    assert before is not None
    flights.append(month_rows(3), key="month-3")
    assert flights.since(before).select("month").to_arrow().column("month").unique().to_pylist() == [3]
    assert (flights.at(before).count(), flights.count()) == (200, 300)
    with pytest.raises(Conflict, match="snapshot 1 is no ancestor"):
        flights.since(1).count()
    with pytest.raises(NotFound, match="has no snapshot 1"):
        flights.at(1).count()


def test_a_table_travels_as_the_snapshot_it_was(flights: Table) -> None:
    sent = pickle.dumps(flights.where("month >= 2"))
    flights.append(month_rows(3), key="month-3")
    token = current_lake.set(None)
    try:
        assert pickle.loads(sent).count() == 100
    finally:
        current_lake.reset(token)


def test_a_table_that_is_not_there_yet_travels_by_its_name(lake: LocalLake) -> None:
    sent = pickle.loads(pickle.dumps(Table("lake.predictions")))
    assert sent == Table("lake.predictions")
    sent.append(month_rows(1))
    assert Table("lake.predictions").count() == 100


def test_a_pinned_reference_is_a_table(flights: Table) -> None:
    snapshot = flights.pin().snapshot
    assert snapshot is not None
    assert (snapshot.rows, [column.name for column in snapshot.columns]) == (200, ["month", "delay", "carrier"])
    flights.append(month_rows(3))
    assert Table.pinned(snapshot).count() == 200


def test_an_append_with_a_key_happens_once(flights: Table) -> None:
    assert flights.append(month_rows(2), key="month-2").already is True
    assert flights.append(iter(month_rows(3).to_batches(max_chunksize=7))).rows == 100
    assert flights.append(Batches(month_rows(3).schema, [])).rows == 0
    assert flights.count() == 300


def test_what_does_not_fit_says_what_would(flights: Table) -> None:
    for wrong, says in (
        (lambda: flights.where("mnth = 1").count(), "no column 'mnth'. Did you mean 'month'?"),
        (lambda: flights.where("month ="), "the filter 'month =' cannot be read"),
        (lambda: flights.select("delays").count(), "Did you mean 'delay'?"),
        (lambda: flights.select(), "names no column"),
        (lambda: flights.append([]), "needs Arrow batches, not list of NoneType"),
        (lambda: flights.append([{"month": 1}]), "not list of dict"),
    ):
        with pytest.raises(InvalidInput) as caught:
            wrong()
        assert says in str(caught.value)
    with pytest.raises(NotFound, match=r"no table 'lake\.flight'\. Did you mean 'lake\.flights'\?"):
        Table("lake.flight").count()


def test_the_home_folder_holds_the_lake_where_nobody_set_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADWATER_HOME", str(tmp_path))
    Table("lake.notes").append(month_rows(1))
    assert (tmp_path / "lake" / "catalog.db").exists()
    assert (tmp_path / "lake").stat().st_mode & 0o077 == 0
    assert Table("lake.notes").count() == 100


def test_importing_a_table_imports_neither_arrow_nor_a_database() -> None:
    code = (
        "import sys, headwater.sdk.table as t; print(*{'pyarrow', 'pyiceberg', 'sqlalchemy', 'ray'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
