"""A small store to read from: rows and log entries, written as the owners write them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from headwater.core import inventory
from headwater.core.records.attempts import Attempt, AttemptState
from headwater.core.records.runs import Run
from headwater.core.records.steps import Step, StepState
from headwater.store import engine
from headwater.store.rows import codecs
from headwater.store.schema import LOG, LOG_HEAD
from headwater.store.statements import Statements
from headwater.wire.calls import Payload
from headwater.wire.entries.runs import RunAccepted, RunStarted, RunSucceeded
from headwater.wire.ids import RANDOM_BYTES, uuid7
from headwater.wire.terms import Demand
from headwater.wire.types import AnyBody, Entry, encode_body

EPOCH = "e1"
T0 = 1_760_000_000_000_000


def run_id(number: int) -> str:
    """Of the run that `a_run(number)` makes: the later the number, the newer; it ends in the number."""
    return uuid7(T0 + number, int(str(number), 16).to_bytes(8).ljust(RANDOM_BYTES, b"\0"))


class Story:
    """A store file, and the few ways in which a test adds to it."""

    def __init__(self, folder: Path, *, url: str = "") -> None:
        self.url = url or engine.sqlite_url(folder / "store.db")
        engine.create(self.url, store_epoch=EPOCH)
        self._engine = engine.open_engine(self.url)
        self._seqs: dict[str, int] = {}
        self.position = 0

    def reader(self) -> sa.Engine:
        return engine.open_engine(self.url, read_only=True)

    def put(self, table: str, row: msgspec.Struct) -> None:
        self.put_all(table, [row])

    def put_all(self, table: str, rows: Iterable[msgspec.Struct]) -> None:
        upsert, codec = Statements(self._engine.dialect).upsert(table).each, codecs()[table]
        with self._engine.begin() as connection:
            connection.exec_driver_sql(upsert, [codec.values(row) for row in rows])

    def say(self, body: AnyBody, *, run: str | None = None, project: str = "eta", **more: Any) -> Entry:
        """Adds one entry to the log, as one commit."""
        self.position += 1
        seq = None
        if run is not None:
            seq = self._seqs[run] = self._seqs.get(run, 0) + 1
        entry = Entry(
            position=self.position, body=body, subject=run or project, project=project, principal="token:local",
            time_us=T0 + self.position, run_id=run, seq=seq, causation=more.get("causation"), labels=more.get("labels"),
        )  # fmt: skip
        names = [column.name for column in LOG.columns if column.name not in ("body", "type")]
        row = {name: getattr(entry, name) for name in names}
        row["labels"] = None if entry.labels is None else msgspec.json.encode(entry.labels).decode()
        with self._engine.begin() as connection:
            connection.execute(LOG.insert(), {**row, "type": entry.type, "body": encode_body(body).decode()})
            connection.execute(LOG_HEAD.update().values(position=self.position))
        return entry

    def close(self) -> None:
        self._engine.dispose()


def a_run(number: int = 1, **fields: Any) -> Run:
    known: dict[str, Any] = {
        "id": run_id(number), "project": "eta", "flow": "train_delay", "code_version": "c1", "trigger": "event:x",
        "idempotency_key": f"key-{number}", "principal": "token:local", "root_id": run_id(number),
        "created_us": T0 + number,
    }  # fmt: skip
    return Run(**{**known, **fields})


def a_step(run: str, ordinal: int, **fields: Any) -> Step:
    known: dict[str, Any] = {
        "id": f"{run}/{ordinal}", "run_id": run, "ordinal": ordinal, "project": "eta", "name": "fit",
        "function": "flows:fit", "code_version": "c1", "state": StepState.WAITING,
        "demand": Demand(gpus_milli=1000), "arguments": Payload(inline=b""), "created_us": T0, "waiting_us": T0,
    }  # fmt: skip
    return Step(**{**known, **fields})


def an_attempt(step: Step, fence: int, **fields: Any) -> Attempt:
    known: dict[str, Any] = {
        "fence": fence, "step_id": step.id, "run_id": step.run_id, "number": 1,
        "state": AttemptState.RUNNING, "node": "local", "devices": ("local/0",), "demand": step.demand,
        "leased_us": T0,
    }  # fmt: skip
    return Attempt(**{**known, **fields})


def a_flow(name: str = "train_delay", listens: str = "flights.landed") -> inventory.FlowRow:
    manifest = {
        "name": name, "project": "eta", "function": f"flows:{name}", "parameters": {"type": "object"}, "doc": "Trains.",
        "triggers": [{"name": f"event:{listens}", "kind": "event", "subject": listens}],
    }  # fmt: skip
    return inventory.FlowRow(
        project="eta", name=name, code_version="c1", manifest=manifest, principal="token:local", deployed_us=T0
    )


def accepted(flow: str = "train_delay") -> RunAccepted:
    return RunAccepted(flow=flow, code_version="c1", trigger="event:x", parameters={})


def started() -> RunStarted:
    return RunStarted(flow="train_delay", host="h1")


def succeeded(result: Any = None) -> RunSucceeded:
    return RunSucceeded(flow="train_delay", duration_us=5, result=result)
