"""Starts that cannot be: one sentence with the remedy, an exit code, and nothing left running."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from scenes.disk import disk
from scenes.life import FREE_PORTS, Ended, headwater, processes_of

from headwater.cli.demo import Place
from headwater.sdk import Client


def refused(done: Ended) -> str:
    """The one sentence of a start that was refused."""
    assert done.code != 0
    (line,) = done.err.splitlines()
    assert line.startswith("headwater: ")
    assert "stop" not in done.out
    return line


@pytest.mark.parametrize("how", [(), ("--detach",)], ids=["in the foreground", "detached"])
def test_a_second_up_on_a_home_is_refused_and_the_first_goes_on(
    hw: Client, platform: Place, how: tuple[str, ...]
) -> None:
    line = refused(headwater("up", "--home", str(platform.home), *FREE_PORTS, *how))
    assert f"a platform runs on the home folder {platform.home} already" in line
    assert "headwater down" in line
    assert headwater("status", home=platform.home).code == 0
    assert hw.ready().ready


@pytest.mark.parametrize("flag", ["--port", "--serve-port"])
def test_a_taken_port_is_named_and_nothing_is_left(tmp_path: Path, flag: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ports = {"--port": "0", "--serve-port": "0"} | {flag: port}
        words = [word for pair in ports.items() for word in pair]
        line = refused(headwater("up", "--home", str(tmp_path / "home"), *words))
    assert f"port {port}" in line
    assert flag in line
    assert processes_of(tmp_path) == []


def test_a_home_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    line = refused(headwater("up", "--home", str(tmp_path / "home"), *FREE_PORTS))
    assert "cannot be used" in line
    assert "--home" in line


def test_an_unknown_key_of_the_configuration_is_refused_with_what_was_meant(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[http]\nprot = 9000\n")
    words = ("--home", str(tmp_path / "home"), "--config", str(tmp_path / "mine.toml"))
    line = refused(headwater("up", *words))
    assert "http.prot" in line
    assert "Did you mean 'port'?" in line
    assert refused(headwater("config", "check", str(tmp_path / "mine.toml"))) == line


def test_a_ray_that_does_not_come_up_ends_the_start_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[ray]\nobject_store_bytes = 1\n")
    words = ("--home", str(tmp_path / "home"), "--config", str(tmp_path / "mine.toml"), *FREE_PORTS)
    line = refused(headwater("up", *words))
    assert "Ray ended while starting" in line
    assert "object store" in line
    assert f"The whole log is {tmp_path}/home/ray/ray.log" in line
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("how", [(), ("--detach",)], ids=["in the foreground", "detached"])
def test_a_disk_without_room_is_refused_before_anything_starts(tmp_path: Path, how: tuple[str, ...]) -> None:
    with disk(tmp_path / "disk", "size=1m") as full:
        line = refused(headwater("up", "--home", str(full / "home"), *FREE_PORTS, *how))
    assert "a platform needs 64 MiB to come up" in line
    assert "Make room there" in line
    assert processes_of(tmp_path) == []


def test_a_disk_that_runs_full_ends_the_start_and_leaves_nothing(tmp_path: Path) -> None:
    with disk(tmp_path / "disk", "nr_inodes=4") as full:
        line = refused(headwater("up", "--home", str(full / "home"), *FREE_PORTS))
        assert "The disk ran full" in line
        assert "Make room there" in line
        assert processes_of(tmp_path) == []


def test_a_kafka_that_is_not_there_ends_the_start_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[kafka]\nbootstrap = "127.0.0.1:9"\n')
    words = ("--home", str(tmp_path / "home"), "--config", str(tmp_path / "mine.toml"), *FREE_PORTS)
    line = refused(headwater("up", *words))
    assert "127.0.0.1:9" in line
    assert processes_of(tmp_path) == []
