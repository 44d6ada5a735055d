"""`headwater demo`: the main job on real flights, from an event to a prediction, told as it happens.

Everything here is what any user could do: the client, a plain Kafka producer, HTTP. Nothing reaches inside.
"""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
import json
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.table import Table as RichTable

from ..errors import HeadwaterError, Unavailable
from ..local.supervisor import Supervisor
from ..local.up import settings_of
from ..sdk import Client
from ..wire.calls import Progress
from ..wire.entries.models import DeploymentFailed, DeploymentReady, ModelRegistered
from ..wire.entries.runs import RunAccepted, RunFailed, RunSucceeded
from ..wire.entries.steps import StepHeld, StepLeased, StepSucceeded
from ..wire.entries.tables import TableCommitted
from ..wire.types import TERMINAL, Entry
from .run_tree import RunTree, line_of

EXAMPLES: Final = Path(__file__).parent.parent / "examples"
TRAIN_MONTHS: Final = ((1, 2, 3), (4, 5, 6), (7, 8, 9))
HELD_OUT_MONTH: Final = 10
NEW_MONTH: Final = 11
COMPARED_ROWS: Final = 8
WAIT_S: Final = 300.0
PROGRESS_EVERY_S: Final = 1.0

Told = Entry | Progress


@dataclass(slots=True)
class Row:
    """A line of the closing table."""

    step: str
    seconds: float
    rows: int | None = None
    device: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the platform is that the job runs on."""

    home: Path
    token: str
    url: str
    inference_url: str
    bootstrap: str


class Watcher:
    """Hears everything the platform says, from a thread of its own; others wait for what they need to hear."""

    def __init__(self, client: Client, tell: Callable[[Told], None]) -> None:
        self._told = client.follow()
        self._tell = tell
        self._heard: list[Entry] = []
        self._more = threading.Condition()
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="watcher", daemon=True).start()

    def _run(self) -> None:
        try:
            for told in self._told:
                self._tell(told)
                if isinstance(told, Entry):
                    with self._more:
                        self._heard.append(told)
                        self._more.notify_all()
        except BaseException as error:
            with self._more:
                self._error = error
                self._more.notify_all()

    def wait(self, wanted: Callable[[Entry], bool], what: str) -> Entry:
        """The first entry that is wanted, heard already or to come; raises Unavailable after WAIT_S."""
        deadline, looked = time.monotonic() + WAIT_S, 0
        with self._more:
            while True:
                for entry in itertools.islice(self._heard, looked, None):
                    if wanted(entry):
                        return entry
                looked = len(self._heard)
                if self._error is not None:
                    raise self._error
                if not self._more.wait(max(0.0, deadline - time.monotonic())) and time.monotonic() > deadline:
                    raise Unavailable(f"No {what} within {WAIT_S:g} s", remedy="See `headwater doctor`.")

    def all(self, wanted: Callable[[Entry], bool]) -> list[Entry]:
        with self._more:
            return [entry for entry in self._heard if wanted(entry)]


@dataclass(slots=True)
class Stage:
    """Where the demo speaks: a live tree of runs on a terminal, plain lines elsewhere."""

    console: Console
    tree: RunTree = field(default_factory=RunTree)
    rows: list[Row] = field(default_factory=list)
    _live: Live | None = None
    _last_progress: float = 0.0
    _number: int = 0

    @property
    def terminal(self) -> bool:
        return self.console.is_terminal

    def head(self, words: str) -> None:
        self._number += 1
        self.say("")
        self.say(f"[bold]{self._number}. {words}[/bold]")

    def say(self, words: str) -> None:
        self.console.print(words, highlight=False, soft_wrap=True)

    def part(self, name: str, seconds: float) -> None:
        self.say(f"   {name:<14} {seconds:5.1f} s" if seconds else f"   {name}")

    def hear(self, told: Told) -> None:
        """A word of the platform: into the tree, or as a line."""
        self.tree.hear(told)
        if self.terminal:
            return
        if isinstance(told, Progress):
            if time.monotonic() - self._last_progress < PROGRESS_EVERY_S:
                return
            self._last_progress = time.monotonic()
        if isinstance(told, Progress) or told.run_id is not None:
            line = line_of(told)
            if line:
                self.say("   " + line.replace("[", r"\["))

    @contextmanager
    def showing_runs(self) -> Iterator[None]:
        """On a terminal the tree stays on the screen, alive, for as long as this lasts."""
        if not self.terminal:
            yield
            return
        self.tree.runs.clear()
        with Live(self.tree, console=self.console, refresh_per_second=8):
            yield

    @contextmanager
    def timed(self, step: str, rows: int | None = None) -> Iterator[Row]:
        row = Row(step, 0.0, rows)
        began = time.monotonic()
        yield row
        row.seconds = time.monotonic() - began
        self.rows.append(row)


def main(
    *, home: Path | None = None, keep: bool = False, port: int | None = None, serve_port: int | None = None
) -> int:
    """The exit code: 0 where every part of the job did what it should."""
    stage = Stage(Console(file=sys.stdout))
    settings = settings_of(home=home, gpus=1, port=port, serve_port=serve_port, config=None)
    supervisor = Supervisor(settings, stage.part)
    began = time.monotonic()
    try:
        stage.head("Start the platform")
        with stage.timed("start the platform"):
            supervisor.start()
        looking = threading.Thread(target=supervisor.run, name="supervisor", daemon=True)
        looking.start()
        place = Place(
            home=supervisor.home.folder,
            token=supervisor.home.token(),
            url=supervisor.url,
            inference_url=supervisor.inference_url,
            bootstrap=supervisor.bootstrap,
        )
        job(stage, place)
        _close(stage, place, time.monotonic() - began)
        if keep:
            stage.say("\nThe platform keeps running; Ctrl-C stops it.")
            looking.join()
    except KeyboardInterrupt:
        stage.say("\ninterrupted")
        return 130
    finally:
        supervisor.stopping.set()
        stage.say("\nstopping")
        supervisor.stop()
    return 0


def job(stage: Stage, place: Place) -> None:
    """The main job on the platform at `place`, whoever started it. Raises HeadwaterError where a part of it fails."""
    with Client(place.url, place.token) as hw:
        watcher = Watcher(hw, stage.hear)
        data = _example_data()
        _load(stage, hw, data)
        _deploy(stage, hw)
        _train(stage, hw, watcher, place.bootstrap)
        _predict(stage, hw, watcher, data, place)
        _score(stage, hw, watcher, data)


def _load(stage: Stage, hw: Client, data: ModuleType) -> None:
    stage.head("Load nine months of flights, and the weather, into Iceberg; every commit is an event")
    for months in TRAIN_MONTHS:
        _append(stage, hw, "lake.flights", data.flights(months), f"months-{months[0]}-{months[-1]}")
    _append(stage, hw, "lake.flights_held_out", data.flights((HELD_OUT_MONTH,)), f"month-{HELD_OUT_MONTH}")
    _append(stage, hw, "lake.weather", data.weather(), "year")


def _append(stage: Stage, hw: Client, table: str, batches: Any, key: str) -> int:
    with stage.timed(f"append to {table}") as row:
        appended = hw.tables[table].append(batches, key=f"demo/{key}", project="flights")
        row.rows = appended.rows_added
    stage.say(
        f"   {table}: {appended.rows_added:,} rows, {appended.rows_total:,} in all, "
        f"snapshot {appended.snapshot_id}, {row.seconds:.1f} s"
    )
    return appended.snapshot_id


def _deploy(stage: Stage, hw: Client) -> None:
    stage.head("Deploy the example flows of two teams")
    for name in ("flights", "neighbour"):
        with stage.timed(f"deploy examples/{name}"):
            deployed = hw.deploy(EXAMPLES / name)
        stage.say(f"   examples/{name}: {', '.join(deployed.flows)}  (code version {deployed.code_version[:12]})")


def _train(stage: Stage, hw: Client, watcher: Watcher, bootstrap: str) -> None:
    stage.head("Publish `flights.landed` with a plain Kafka producer, and watch what it starts")
    event_id = asyncio.run(_produce(bootstrap, "flights.landed"))
    stage.say(f"   event {event_id} on headwater.events")
    with stage.showing_runs(), stage.timed("train_delay, from the event on") as row:
        leased = watcher.wait(lambda e: isinstance(e.body, StepLeased) and e.body.name == "fit", "lease for `fit`")
        asyncio.run(_produce(bootstrap, "weather.asked"))  # the other team wants the same device now
        _ended(watcher, leased.run_id)
        neighbour = watcher.wait(lambda e: isinstance(e.body, RunAccepted) and e.body.flow == "rough_days", "run")
        _ended(watcher, neighbour.run_id)
    fit = watcher.wait(lambda e: isinstance(e.body, StepSucceeded) and e.body.name == "fit", "end of `fit`")
    assert isinstance(fit.body, StepSucceeded)
    row.rows, row.device = fit.body.rows, ", ".join(fit.body.devices)
    _tell_the_wait(stage, watcher)
    metrics = hw.runs[leased.run_id or ""].result()
    stage.say(
        f"   mean absolute error on month {HELD_OUT_MONTH}: {metrics['mae']:.1f} minutes; "
        f"the mean alone: {metrics['baseline_mae']:.1f}"
    )


def _tell_the_wait(stage: Stage, watcher: Watcher) -> None:
    """The neighbour waited for the device, said why, and got it."""
    held = watcher.wait(lambda e: isinstance(e.body, StepHeld) and e.body.name == "windiest", "reason to wait")
    leased = watcher.wait(lambda e: isinstance(e.body, StepLeased) and e.body.name == "windiest", "lease")
    assert isinstance(held.body, StepHeld)
    assert isinstance(leased.body, StepLeased)
    waited_s = (leased.time_us - held.time_us) / 1e6
    device = ", ".join(leased.body.devices)
    stage.say(f"   project eta waited {waited_s:.1f} s for {device}: {held.body.reason}".replace("[", r"\["))
    stage.rows.append(Row("project eta waits for the device", waited_s, device=device))


def _ended(watcher: Watcher, run_id: str | None) -> None:
    """Returns when the run has succeeded; raises with its failure otherwise."""
    last = watcher.wait(lambda e: e.run_id == run_id and e.type in TERMINAL, "end of the run")
    if isinstance(last.body, RunFailed):
        raise HeadwaterError(f"Run {run_id} failed: {last.body.failure.message}\n{last.body.failure.frames}")
    if not isinstance(last.body, RunSucceeded):
        raise HeadwaterError(f"Run {run_id} ended as {last.type}")


def _predict(stage: Stage, hw: Client, watcher: Watcher, data: ModuleType, place: Place) -> None:
    import numpy as np
    import pyarrow as pa

    from ..artifacts.files import Files
    from ..artifacts.folders import Folders
    from ..models.runtimes import load
    from ..models.signature import columns_of

    stage.head("Predict over HTTP, and compare with the same rows predicted offline")
    registered = watcher.wait(lambda e: isinstance(e.body, ModelRegistered) and e.body.name == "delay", "model")
    assert isinstance(registered.body, ModelRegistered)
    version = registered.body.version
    with stage.timed(f"model delay version {version} comes up"):
        watcher.wait(lambda e: _is_ready(e, version), "deployment of `delay`")
    rows = pa.Table.from_batches(data.flights((HELD_OUT_MONTH,))).slice(0, COMPARED_ROWS)
    with stage.timed("predict over HTTP", COMPARED_ROWS):
        online = np.asarray(hw.models["delay"].predict(rows)["arr_delay"]).ravel()
    model, _ = load(Folders(Files(place.home / "artifacts"), place.home / "folders").folder(registered.body.digest))
    offline = np.asarray(model.predict(columns_of(rows, model.signature))["arr_delay"]).ravel()
    difference = float(np.max(np.abs(online - offline)))
    if not np.allclose(online, offline, rtol=1e-4, atol=1e-3):
        raise HeadwaterError(f"The served model differs from the offline one by up to {difference:g} minutes")
    shown = ", ".join(f"{value:.1f}" for value in online[:5])
    stage.say(f"   POST {place.inference_url}/v2/models/delay/infer → {shown} … minutes late")
    stage.say(f"   offline the same within {difference:.1g} minutes")


def _is_ready(entry: Entry, version: int) -> bool:
    body = entry.body
    if isinstance(body, DeploymentFailed) and body.name == "delay" and body.version == version:
        raise HeadwaterError(f"Model delay version {version} did not come up: {body.reason}")
    return isinstance(body, DeploymentReady) and body.name == "delay" and body.version == version


def _score(stage: Stage, hw: Client, watcher: Watcher, data: ModuleType) -> None:
    stage.head(f"Append month {NEW_MONTH}: its commit starts `score_new_flights`, which reads only the new rows")
    with stage.showing_runs(), stage.timed("score_new_flights, from the commit on") as row:
        snapshot = _append(stage, hw, "lake.flights", data.flights((NEW_MONTH,)), f"month-{NEW_MONTH}-{uuid.uuid4()}")
        run = watcher.wait(
            lambda e: (
                isinstance(e.body, RunAccepted)
                and e.body.flow == "score_new_flights"
                and e.body.parameters.get("snapshot_id") == snapshot
            ),
            "run of `score_new_flights`",
        )
        _ended(watcher, run.run_id)
    written = watcher.wait(
        lambda e: isinstance(e.body, TableCommitted) and e.body.table == "lake.delay_predictions", "predictions"
    )
    assert isinstance(written.body, TableCommitted)
    row.rows = written.body.rows_added
    stage.say(f"   lake.delay_predictions: {written.body.rows_added:,} predictions written")


async def _produce(bootstrap: str, event_type: str) -> str:
    """An event as any outside program would send it: aiokafka and JSON, nothing of ours."""
    from aiokafka import AIOKafkaProducer

    event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "/demo", "type": event_type}
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        await producer.send_and_wait(
            "headwater.events",
            json.dumps(event).encode(),
            headers=[("content-type", b"application/cloudevents+json")],
        )
    finally:
        await producer.stop()
    return event["id"]


def _example_data() -> ModuleType:
    """The module that reads the example's data, loaded from its file: examples are not on the path."""
    spec = importlib.util.spec_from_file_location("headwater_demo_flights", EXAMPLES / "flights" / "data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _close(stage: Stage, place: Place, seconds: float) -> None:
    stage.head(f"Done in {seconds:.1f} s")
    table = RichTable("step", "seconds", "rows", "device", box=None, header_style="bold", pad_edge=False)
    for row in stage.rows:
        rows = "" if row.rows is None else f"{row.rows:,}"
        table.add_row(row.step, f"{row.seconds:.1f}", rows, row.device)
    stage.console.print(table)
    stage.say(f"\n   API        {place.url}/docs")
    stage.say(f"   inference  {place.inference_url}/v2/models/delay")
    stage.say(f"   Kafka      {place.bootstrap}")
    stage.say(f"   state      {place.home}")
    stage.say("\n   Next: `headwater up`, then in another terminal")
    for command in ("headwater runs", "headwater models", "headwater publish flights.landed", "headwater watch"):
        stage.say(f"     {command}")
