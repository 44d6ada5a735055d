"""The lake as a run sees it: names lead to pinned snapshots, appends go through the TableWriter.

Data files are written here, in the process of the user's code; only the commit is the TableWriter's. The commit key
of an append without one is `step/n`, the same in every attempt, so that a repeated attempt appends once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from ...data.lake import Batches
from ...data.snapshot import Snapshot
from ...errors import Conflict, InvalidInput, Unavailable
from ..names import find, forget

if TYPE_CHECKING:
    from ...data.commit import Committed

ANSWERS_WITHIN_S: Final = 60.0
ASK_AGAIN_S: Final = 0.2


class RunLake:
    def __init__(self, pinned: Callable[[str], Snapshot], project: str, principal: str, step_id: str) -> None:
        self._pinned, self._project, self._principal, self._step_id = pinned, project, principal, step_id
        self._numbers = count(1)

    def resolve(self, name: str, snapshot_id: int | None) -> Snapshot:
        pinned = self._pinned(name)
        if snapshot_id is None or snapshot_id == pinned.snapshot_id:
            return pinned
        from ...data.catalog import open_snapshot, snapshot_of

        return snapshot_of(name, open_snapshot(pinned), snapshot_id)

    def append(self, name: str, batches: Batches, key: str) -> Committed:
        """Blocks for the commit. Called from the thread of user code, never from the actor's loop."""
        if not self._step_id:
            what = f"Rows were appended to {name} in a flow function, which may run many times"
            raise InvalidInput(what, remedy="Append in a step")
        from ...data.commit import Committed
        from ...data.write import discard, write_files

        key = key or f"{self._step_id}/{next(self._numbers)}"
        target = _answer_of(lambda writer: writer.prepare.remote(name, batches.schema, self._project, key))
        files = list(write_files(target, batches.batches))
        about = (name, files, key, self._project, self._principal)
        try:
            said: dict[str, Any] = _answer_of(lambda writer: writer.append.remote(*about))
        except Conflict:  # refused: no snapshot has them
            discard(files)
            raise
        return Committed(
            table=said["table"],
            snapshot_id=said["snapshot_id"],
            parent_id=said["previous_snapshot_id"],
            rows=said["rows_added"],
            already=bool(said.get("already")),
            metadata_location=said["metadata_location"],
        )


def _answer_of(ask: Callable[[Any], Any]) -> Any:
    """What the TableWriter says. One that died meanwhile is asked again: an append counts once for its key."""
    import ray
    from ray.exceptions import RayActorError

    deadline = time.monotonic() + ANSWERS_WITHIN_S
    while True:
        try:
            return ray.get(ask(find("table_writer")))
        except RayActorError as error:
            forget("table_writer")
            if time.monotonic() > deadline:
                what = f"The TableWriter did not answer within {ANSWERS_WITHIN_S:g} s"
                raise Unavailable(what, remedy="See `headwater doctor`.") from error
        time.sleep(ASK_AGAIN_S)
