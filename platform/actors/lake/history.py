"""Old runs as rows of two Iceberg tables that anyone can query: what a run was, and all that was said of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
import pyarrow as pa

from ...core.records.runs import Run

RUNS_HISTORY: Final = "headwater.runs_history"
EVENTS_HISTORY: Final = "headwater.events_history"

_TIME: Final = pa.timestamp("us", tz="UTC")
_TEXTS: Final = ("id", "project", "flow", "code_version", "state", "trigger", "event_source", "event_id",
                 "idempotency_key", "principal", "parent_id", "root_id", "cancel_reason")  # fmt: skip
_JSON: Final = ("parameters", "result", "failure", "labels")
_TIMES: Final = ("created_us", "started_us", "ended_us")
_SAID: Final = ("run_id", "type", "subject", "project", "principal", "causation", "body")


def runs_table(runs: Iterable[Run]) -> pa.Table:
    """JSON is text, as in the store; times have lost their `_us`."""
    rows = list(runs)
    columns = {name: pa.array([_text(getattr(run, name)) for run in rows], pa.string()) for name in _TEXTS}
    columns |= {name: pa.array([_json(getattr(run, name)) for run in rows], pa.string()) for name in _JSON}
    columns |= {"depth": pa.array([run.depth for run in rows], pa.int64())}
    return pa.table(columns | _moments(rows, _TIMES))


def events_table(words: Iterable[Any]) -> pa.Table:
    """Rows of the log, their bodies as they were published."""
    rows = list(words)
    columns = {name: pa.array([getattr(row, name) for row in rows], pa.int64()) for name in ("position", "seq")}
    columns |= {name: pa.array([getattr(row, name) for row in rows], pa.string()) for name in _SAID}
    return pa.table(columns | _moments(rows, ("time_us",)))


def _moments(rows: list[Any], names: Iterable[str]) -> dict[str, pa.Array]:
    return {name.removesuffix("_us"): pa.array([getattr(row, name) for row in rows], _TIME) for name in names}


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _json(value: object) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
