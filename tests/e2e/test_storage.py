"""A project may store so much: it is told before it is full, refused by name, and what reads goes on."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from scenes.cluster import until

from headwater.cli.demo import Place
from headwater.errors import Conflict
from headwater.sdk import Client
from headwater.sdk.client.runs import RunFailed
from headwater.wire.api.holdings import Stored

FLOWS = Path(__file__).parent / "storage_flows"
WITHIN_S = 120.0
LIMIT = 1_000_000


@pytest.fixture
def limited(hw: Client) -> Iterator[Client]:
    before: Any = hw.quota().tree
    tree = copy.deepcopy(before)
    next(iter(tree["cohort"].values()))["projects"]["hoard"] = {"storage": LIMIT}
    hw.order("quota.apply", {"tree": tree})
    hw.deploy(FLOWS)
    yield hw
    hw.order("quota.apply", {"tree": before})


def noise(rows: int) -> pa.Table:
    return pa.table({"n": pa.Array.from_buffers(pa.int64(), rows, [None, pa.py_buffer(os.urandom(8 * rows))])})


def stored(hw: Client) -> Stored:
    return next(each for each in hw.quota().stored if each.project == "hoard")


def test_a_project_is_warned_then_refused_by_name_and_nothing_is_left_of_it(limited: Client, platform: Place) -> None:
    hw = limited
    assert hw.run("hoard/keep", {"size": 700_000}).result(WITHIN_S) == 700_000
    assert hw.run("hoard/write", {"rows": 20_000}).result(WITHIN_S) == 20_000
    until(lambda: stored(hw).level == "warned")
    kept = stored(hw)
    assert 700_000 < kept.artifacts_bytes < 701_000
    assert kept.tables_bytes > 160_000

    with pytest.raises(RunFailed) as refused:
        hw.run("hoard/keep", {"size": 400_000}).result(WITHIN_S)
    assert refused.value.failure is not None
    assert refused.value.failure.kind == "refused"
    assert "Project hoard may store 976.5 KiB (1,000,000 bytes)" in str(refused.value)
    with pytest.raises(RunFailed, match=r"no room for rows of table lake.hoard"):
        hw.run("hoard/write", {"rows": 50_000}).result(WITHIN_S)
    with pytest.raises(Conflict, match="Project hoard may store"):
        hw.tables["lake.hoard"].append(noise(40_000), project="hoard")
    assert stored(hw) == kept
    lake = Path(platform.home) / "lake"
    written = sum(path.stat().st_size for path in lake.rglob("*.parquet") if "hoard" in str(path))
    assert written == kept.tables_bytes
    assert hw.run("hoard/keep", {"size": 60_000}).result(WITHIN_S) == 60_000  # it lies in its row
    [told] = hw.runs(project="hoard", flow="clear_up")
    assert hw.runs[told.id].result(WITHIN_S) == "warned"
