"""A step that streams a table says by itself how far it is."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headwater.actors.work.progress_feed import ProgressFeed
from headwater.actors.work.stream_progress import followed
from headwater.data.lake import LocalLake, current_lake
from headwater.sdk.table import Table
from headwater.wire.calls import AttemptOrder, Payload, Progress

STEP: dict[str, Any] = {
    "fence": 1, "run_id": "r", "step_id": "r/0", "ordinal": 0, "name": "fit", "attempt": 1, "project": "eta",
    "principal": "p", "function": "f:fit", "code_version": "c", "bundle": "b", "arguments": Payload(),
}  # fmt: skip


@pytest.mark.asyncio(loop_scope="session")
async def test_rows_of_every_stream_are_told_with_the_whole_and_counted_together(tmp_path: Path) -> None:
    told: list[Progress] = []
    feed = ProgressFeed(asyncio.get_running_loop(), AttemptOrder(**STEP), "w", told.append)

    def read_twice() -> None:
        current_lake.set(LocalLake(tmp_path / "lake"))
        table = Table("lake.trips")
        table.append(pa.table({"fare": np.arange(1_000.0)}), key="1")
        with followed(feed.tell_rows):
            for _ in range(2):
                for _ in table.stream(batch_rows=100):
                    pass

    await asyncio.to_thread(read_twice)
    feed.flush()
    assert (told[-1].done, told[-1].total, told[-1].unit, feed.rows) == (1_000, 1_000, "rows", 2_000)
    assert told[-1].rate


def test_what_is_left_follows_from_the_rate() -> None:
    word = Progress(fence=1, run_id="r", step_id="r/0", name="fit", attempt=1, worker="w", done=25, total=100, rate=5)
    assert (word.percent, word.left_s) == (25.0, 15.0)
    endless = Progress(fence=1, run_id="r", step_id="r/0", name="fit", attempt=1, worker="w", done=25)
    assert (endless.percent, endless.left_s) == (None, None)
