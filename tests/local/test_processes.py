import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil

from headwater.local.processes import (
    ProcessId,
    descendants,
    end,
    end_leftovers,
    identify,
    is_alive,
    last_words,
    recall,
    remember,
    start,
)

SLEEP = [sys.executable, "-S", "-c", "import time; print('up', flush=True); time.sleep(600)"]
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)


def up(argv: list[str]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    process.stdout.close()
    return process


def test_a_child_ends_on_request_and_leaves_no_pid_file(tmp_path: Path) -> None:
    child = start(SLEEP, log=tmp_path / "log", pid_file=tmp_path / "pid")
    assert recall(tmp_path / "pid") == [child.known]
    assert child.end() == -signal.SIGTERM
    assert child.end() == -signal.SIGTERM
    assert not (tmp_path / "pid").exists()
    assert identify(child.pid) is None


def test_who_ignores_the_request_is_killed() -> None:
    process = up([sys.executable, "-S", "-c", STUBBORN])
    known = identify(process.pid)
    assert known is not None
    assert end([known], grace_s=0.1) == [known]
    assert not is_alive(known)
    process.wait(5)


def test_a_pid_that_belongs_to_another_process_now_is_left_alone(tmp_path: Path) -> None:
    process = up(SLEEP)
    known = identify(process.pid)
    assert known is not None
    remember(tmp_path / "pid", [msgspec.structs.replace(known, started=known.started - 60)])
    assert end_leftovers(tmp_path / "pid", grace_s=1.0) == []
    assert is_alive(known)
    process.kill()
    process.wait(5)
    assert not is_alive(known)


def test_leftovers_are_ended_with_all_below_them(tmp_path: Path) -> None:
    nested = f"import subprocess, sys; subprocess.run({SLEEP!r})"
    parent = up([sys.executable, "-c", nested])
    known = identify(parent.pid)
    assert known is not None
    below = descendants(known)
    assert len(below) == 1
    remember(tmp_path / "pid", [known])
    assert end_leftovers(tmp_path / "pid", grace_s=1.0) == [known]
    parent.wait(5)
    assert [each for each in [known, *below] if is_alive(each)] == []


def test_a_torn_pid_file_names_nobody(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text('[{"pid": 1')
    assert recall(tmp_path / "pid") == []
    assert recall(tmp_path / "none") == []


def test_a_process_that_never_was_is_not_alive() -> None:
    assert not is_alive(ProcessId(pid=os.getpid(), started=psutil.boot_time() - 3600))


def test_the_last_words_of_a_log_are_the_error_and_not_its_frames(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("started\nValueError: no room.\n\tat Disk.java:7\n    at Main.java:1\n\n")
    assert last_words(tmp_path / "log") == "ValueError: no room"
    assert last_words(tmp_path / "none") == ""
