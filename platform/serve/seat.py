"""A seat: the place that an attempt keeps on its node for one replica of a deployment.

    an attempt holds a lease ──keep──► FOLDER/FENCE.json ◄──take── a replica on the same node
    it must make way: the file goes ──► the replica ends ──► its lock is free: the attempt ends

Both sides hold a lock for as long as they live, so that the death of either is seen by the other at once: what holds
`FENCE.keeper` has the lease, what holds `FENCE.replica` may be on its devices. The system frees the locks of a dead
process. The file says what the keeper sees of the devices (`view`), which is what the replica may see.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from ..actors.work.device_view import SHARED

LOOK_EVERY_S: Final = 0.1
EMPTY_WITHIN_S: Final = 25.0
VIEW: Final = ("CUDA_VISIBLE_DEVICES", *SHARED)


class SeatFile(msgspec.Struct, frozen=True):
    """What stands in a seat's file."""

    fence: int
    ray_node: str
    view: dict[str, str]


class Lock:
    """A file that this process holds, until it lets go of it or ends."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def taken(self) -> bool:
        """Whether it is ours from now on."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def let_go(self) -> None:
        os.close(self._fd)


def is_held(path: Path) -> bool:
    """Whether a living process holds that lock."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def seen_here() -> dict[str, str]:
    """What this process has been given to see of the devices."""
    return {name: os.environ[name] for name in VIEW if name in os.environ}


class KeptSeat:
    """The attempt's side, open until it is left."""

    def __init__(self, folder: Path, fence: int, ray_node: str) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._file, self._replica = folder / f"{fence}.json", folder / f"{fence}.replica"
        self._keeper = folder / f"{fence}.keeper"
        self._lock = Lock(self._keeper)
        self._lock.taken()
        draft = folder / f"{fence}.draft"
        draft.write_bytes(msgspec.json.encode(SeatFile(fence, ray_node, seen_here())))
        draft.rename(self._file)

    def keep(self, until: Callable[[], bool]) -> None:
        while not until():
            time.sleep(LOOK_EVERY_S)

    def leave(self, *, within_s: float = EMPTY_WITHIN_S) -> None:
        """Returns when no replica is there any more. Raises TimeoutError where one does not go."""
        self._file.unlink(missing_ok=True)
        deadline = time.monotonic() + within_s
        while is_held(self._replica):
            if time.monotonic() > deadline:
                raise TimeoutError(f"A replica is still on the devices {within_s:g} s after it was told to leave")
            time.sleep(LOOK_EVERY_S)
        self._replica.unlink(missing_ok=True)
        self._keeper.unlink(missing_ok=True)
        self._lock.let_go()


class TakenSeat:
    """The replica's side."""

    def __init__(self, folder: Path, seat: SeatFile, lock: Lock) -> None:
        self.seat, self._lock = seat, lock
        self.devices = seat.view.get("CUDA_VISIBLE_DEVICES", "")  # none where they stand for no real ones
        self._file, self._keeper = folder / f"{seat.fence}.json", folder / f"{seat.fence}.keeper"

    def is_told_to_leave(self) -> bool:
        return not self._file.exists()

    def is_lost(self) -> bool:
        """Whether the keeper has died: nothing gives this process the right to its devices any more."""
        return not is_held(self._keeper)

    def end(self) -> None:
        """Nothing of this process is on the devices any more; its end says the same."""
        self._lock.let_go()


def take(folder: Path, ray_node: str) -> TakenSeat | None:
    """A seat on this node that no replica has; None where there is none. The oldest lease goes first."""
    for path in sorted(folder.glob("*.json"), key=lambda each: int(each.stem)):
        try:
            seat = msgspec.json.decode(path.read_bytes(), type=SeatFile)
        except FileNotFoundError:
            continue
        if seat.ray_node != ray_node:
            continue
        if not is_held(folder / f"{seat.fence}.keeper"):
            _clear(folder, seat.fence)
            continue
        lock = Lock(folder / f"{seat.fence}.replica")
        if lock.taken() and path.exists():
            return TakenSeat(folder, seat, lock)
        lock.let_go()
    return None


def _clear(folder: Path, fence: int) -> None:
    """What a keeper that has died left behind."""
    for kind in ("json", "keeper", "replica"):
        (folder / f"{fence}.{kind}").unlink(missing_ok=True)
