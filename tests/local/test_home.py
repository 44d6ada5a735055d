import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from headwater.errors import Conflict, InvalidInput, NotFound
from headwater.local.home import Home, running, state_of, this_process

HOLD = """
import pathlib, sys
from headwater.local.home import Home
lock = Home(pathlib.Path(sys.argv[1])).lock()
print("held", flush=True)
sys.stdin.read()
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_home_and_its_secrets_are_private_and_stay_the_same(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    token, secret = home.token(), home.secret()
    assert len(token) >= 32
    assert len(secret) == 32
    assert (home.token(), home.secret()) == (token, secret)
    assert mode(tmp_path / "home") == 0o700
    assert mode(home.folder / "token") == mode(home.folder / "secret") == 0o600
    assert sorted(path.name for path in home.folder.iterdir()) == ["secret", "token"]


def test_a_secret_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut leaves it whole or not at all: an empty token would let everybody in."""
    synced, sync, home = list[str](), os.fsync, Home(tmp_path / "home")

    def fsync(handle: int) -> None:
        sync(handle)
        synced.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        assert not (home.folder / "token").exists()

    monkeypatch.setattr(os, "fsync", fsync)
    home.token()
    assert [name.partition(".")[0] for name in synced] == ["token"]


def test_a_folder_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o755)
    Home(tmp_path / "home")
    assert mode(tmp_path / "home") == 0o700


def test_a_place_that_cannot_be_a_folder_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match=r"cannot be used: .*--home or HEADWATER_HOME"):
        Home(tmp_path / "file" / "home")


def test_a_second_supervisor_is_told_who_is_there_and_death_frees_the_home(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", HOLD, str(tmp_path)]
    holder = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(Conflict, match=rf"runs on the home folder .* already \(pid {holder.pid}\).*headwater down"):
        Home(tmp_path).lock()
    holder.kill()
    holder.communicate()
    with Home(tmp_path).lock():
        pass


def test_the_state_is_told_while_its_platform_lives(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.state() is None
    state = state_of(url="http://127.0.0.1:1", inference_url="http://127.0.0.1:2", bootstrap="127.0.0.1:3", pids={})
    home.write_state(state)
    assert home.state() == running(tmp_path) == state
    assert mode(tmp_path / "state.json") == 0o600
    home.clear_state()
    assert home.state() is None


def test_a_state_that_a_killed_life_left_means_nothing_runs(tmp_path: Path) -> None:
    state = state_of(url="", inference_url="", bootstrap="", pids={})
    gone = msgspec.structs.replace(this_process(), started=0.0)
    Home(tmp_path).write_state(msgspec.structs.replace(state, up=gone))
    assert Home(tmp_path).state() is None
    with pytest.raises(NotFound, match=r"no platform runs on .*headwater up"):
        running(tmp_path)
