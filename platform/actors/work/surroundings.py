"""What user code finds around it in a run: its pinned tables and models, and the platform's artifacts."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...artifacts.files import Files
from ...artifacts.folders import Folders
from ...data.lake import current_lake, current_reader
from ...data.query import Reader
from ...errors import NotFound
from ...models.store import current_artifacts
from ...sdk.context import Current
from ...sdk.running.conduct import within
from ...sdk.running.replay import Execution
from ...wire.calls import Payload, PinnedModel, PinnedTable
from ...wire.terms import Failure
from .conductor_door import ConductorDoor, until_answered
from .run_lake import RunLake

if TYPE_CHECKING:
    from ...data.snapshot import Snapshot

PIN_WITHIN_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Owner:
    """For whom user code runs."""

    run_id: str
    project: str
    principal: str


class Pins:
    """What user code asks of the Conductor: what the run sees, once for each name, and that a checkpoint is kept.

    Called from user threads, which wait.
    """

    def __init__(self, run_id: str, door: ConductorDoor, loop: asyncio.AbstractEventLoop, worker: str = "") -> None:
        self._worker = worker
        self._run_id, self._door, self._loop = run_id, door, loop
        self._known: dict[tuple[str, str], PinnedTable | PinnedModel] = {}
        self._snapshots: dict[str, Snapshot] = {}
        self._lock = threading.Lock()

    def model(self, name: str) -> PinnedModel:
        pinned = self._pinned("model", name)
        assert isinstance(pinned, PinnedModel)
        return pinned

    def table(self, name: str) -> Snapshot:
        with self._lock:
            if name not in self._snapshots:
                pinned = self._pinned("table", name)
                assert isinstance(pinned, PinnedTable)
                self._snapshots[name] = _snapshot(pinned)
            return self._snapshots[name]

    def keep(self, fence: int, state: Payload) -> str:
        """Empty once the checkpoint is durable; otherwise why it is not kept."""
        asking = until_answered(lambda: self._door.checkpoint(fence, self._worker, state), within_s=PIN_WITHIN_S)
        return asyncio.run_coroutine_threadsafe(asking, self._loop).result()

    def _pinned(self, kind: str, name: str) -> PinnedTable | PinnedModel:
        known = self._known.get((kind, name))
        if known is None:
            known = self._asked(kind, name)
            self._known[kind, name] = known
        return known

    def _asked(self, kind: str, name: str) -> PinnedTable | PinnedModel:
        asking = until_answered(lambda: self._door.pin(self._run_id, kind, name), within_s=PIN_WITHIN_S)
        answer = asyncio.run_coroutine_threadsafe(asking, self._loop).result()
        if isinstance(answer, Failure):
            raise NotFound(answer.message)
        return answer


def _snapshot(pinned: PinnedTable) -> Snapshot:
    from ...data.catalog import open_snapshot, snapshot_of
    from ...data.snapshot import Snapshot

    bare = Snapshot(pinned.name, pinned.metadata_location, pinned.snapshot_id, (), None)
    return snapshot_of(pinned.name, open_snapshot(bare), pinned.snapshot_id)


@contextlib.contextmanager
def surrounded(
    home: Path, owner: Owner, pins: Pins, place: Current, running: Execution | None = None
) -> Iterator[None]:
    """The context of user code of this run, in a flow (with its execution) or in a step."""
    lake = RunLake(pins.table, owner.project, owner.principal, place.step_id)
    artifacts = Folders(Files(home / "artifacts"), home / "folders")
    tokens = (
        current_lake.set(lake),
        current_artifacts.set(artifacts),
        current_reader.set(Reader(principal=owner.principal)),
    )
    try:
        with within(running, place, pins.model):
            yield
    finally:
        current_lake.reset(tokens[0])
        current_artifacts.reset(tokens[1])
        current_reader.reset(tokens[2])
