"""Seats between two processes: who has one, and what each sees of the other's end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.actors.work.device_view import show
from headwater.serve.seat import KeptSeat, Lock, TakenSeat, is_held, seen_here, take

KEEP = """
import sys
from pathlib import Path
from headwater.serve.seat import KeptSeat
seat = KeptSeat(Path(sys.argv[1]), 7, "here")
print("kept", flush=True)
sys.stdin.read()
"""


def taken(folder: Path, node: str = "here") -> TakenSeat:
    found = take(folder, node)
    assert found is not None
    return found


def test_a_seat_is_taken_once_and_the_oldest_first(tmp_path: Path) -> None:
    assert take(tmp_path, "here") is None
    for fence in (10, 9):
        KeptSeat(tmp_path, fence, "here")
    assert [taken(tmp_path).seat.fence for _ in range(2)] == [9, 10]
    assert take(tmp_path, "here") is None


def test_a_replica_takes_only_seats_of_its_node(tmp_path: Path) -> None:
    KeptSeat(tmp_path, 1, "there")
    assert take(tmp_path, "here") is None
    assert taken(tmp_path, "there").seat.fence == 1


def test_a_seat_that_is_left_waits_for_its_replica_and_then_nothing_remains(tmp_path: Path) -> None:
    kept = KeptSeat(tmp_path, 1, "here")
    seat = taken(tmp_path)
    assert not seat.is_told_to_leave()
    with pytest.raises(TimeoutError, match="still on the devices"):
        kept.leave(within_s=0)
    assert seat.is_told_to_leave()
    assert not seat.is_lost()  # the lease is still held
    seat.end()
    kept.leave()
    assert list(tmp_path.iterdir()) == []


def test_the_replica_sees_what_the_keeper_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-5f2a")
    monkeypatch.setenv("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", "50")
    KeptSeat(tmp_path, 1, "here")
    seat = taken(tmp_path)
    assert seat.devices == "GPU-5f2a"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-other")
    monkeypatch.delenv("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE")
    show(seat.seat.view)
    assert seen_here() == {"CUDA_VISIBLE_DEVICES": "GPU-5f2a", "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "50"}


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", KEEP, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "kept\n"
        yield process
        process.kill()


def test_the_death_of_a_keeper_is_seen_and_its_seat_is_cleared_away(
    tmp_path: Path, keeper: subprocess.Popen[str]
) -> None:
    seat = taken(tmp_path)
    assert not seat.is_lost()
    os.kill(keeper.pid, signal.SIGKILL)
    keeper.wait()
    assert seat.is_lost()
    seat.end()
    assert take(tmp_path, "here") is None
    assert list(tmp_path.iterdir()) == []


def test_a_lock_is_held_until_it_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_held(path)
    lock = Lock(path)
    assert lock.taken()
    assert is_held(path)
    assert not Lock(path).taken()
    lock.let_go()
    assert not is_held(path)
