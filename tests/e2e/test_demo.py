"""The whole of it: an event, a flow, a table as a stream, a leased device, a model, a prediction, and its traces."""

from __future__ import annotations

import io
import re

from rich.console import Console

from headwater.cli.demo import Place, Stage, job
from headwater.sdk import Client

MONTH_11_ROWS = 27_268


def test_the_main_job_goes_the_whole_way(hw: Client, platform: Place) -> None:
    said = io.StringIO()
    stage = Stage(Console(file=said, width=200))
    job(stage, platform)
    rows = {row.step: row for row in stage.rows}
    metrics = re.search(r"month 10: ([\d.]+) minutes; the mean alone: ([\d.]+)", said.getvalue())
    assert metrics is not None
    assert float(metrics[1]) < float(metrics[2])
    assert "offline the same within" in said.getvalue()
    assert "\x1b" not in said.getvalue()
    assert rows["score_new_flights, from the commit on"].rows == MONTH_11_ROWS
    assert rows["train_delay, from the event on"].device
    assert rows["project eta waits for the device"].device == rows["train_delay, from the event on"].device
    assert "project eta waited" in said.getvalue()
    tables = {table.name: table.rows_total for table in hw.tables()}
    assert tables["lake.delay_predictions"] == MONTH_11_ROWS
    (delay,) = [model for model in hw.models() if model.name == "delay"]
    assert (delay.version, delay.project) == (1, "flights")
    assert hw.runs[delay.run_id].state == "SUCCEEDED"
