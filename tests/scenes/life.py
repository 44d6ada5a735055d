"""A platform as a user has it: `headwater up` as a process of its own on a home folder, and what is left of it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import psutil

from headwater.cli.demo import Place
from headwater.local.home import Home, running
from headwater.local.ray_head import RayHead

FREE_PORTS = ("--port", "0", "--serve-port", "0")
COMMAND_WITHIN_S = 240.0
NOTHING: Mapping[str, str] = MappingProxyType({})


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def headwater(
    *words: str, home: Path | None = None, within_s: float = COMMAND_WITHIN_S, settings: Mapping[str, str] = NOTHING
) -> Ended:
    """What the command said, with the platform of `home`; `settings` go into its environment."""
    done = subprocess.run(
        argv_of(*words),
        env={**environment(home), **settings},
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def argv_of(*words: str) -> list[str]:
    return [sys.executable, "-m", "headwater.cli.main", *words]


def environment(home: Path | None) -> dict[str, str]:
    bare = {name: text for name, text in os.environ.items() if not name.startswith("HEADWATER_")}
    return {**bare, "COLUMNS": "200"} | ({"HEADWATER_HOME": str(home)} if home else {})


def up(home: Path, settings: Mapping[str, str] = NOTHING) -> Place:
    """A platform in the background, on free ports. It lives until `down`."""
    done = headwater("up", "--home", str(home), *FREE_PORTS, "--detach", settings=settings)
    assert done.code == 0, done.err + done.out
    return place_of(home)


def down(home: Path) -> None:
    done = headwater("down", "--home", str(home))
    assert done.code == 0, done.err


def place_of(home: Path) -> Place:
    state = running(home)
    return Place(
        home=home,
        token=Home(home).token(),
        url=state.url,
        inference_url=state.inference_url,
        bootstrap=state.bootstrap,
    )


@contextmanager
def homes() -> Iterator[Path]:
    """A folder for homes; whatever still runs on one of them at the end is ended."""
    with tempfile.TemporaryDirectory(prefix="hw-", dir="/tmp", ignore_cleanup_errors=True) as name:
        try:
            yield Path(name)
        finally:
            for home in Path(name).iterdir():
                if home.is_dir():
                    headwater("down", "--home", str(home))
            for left in processes_of(Path(name)):
                left.kill()


def processes_of(folder: Path) -> list[psutil.Process]:
    """Every living process whose command line, environment or current folder names a home of the folder, or its Ray."""
    rays = [RayHead(place).temp for place in (folder / "ray", *folder.glob("*/ray"))]
    names = [str(folder), *map(str, rays)]
    mine = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [each for each in psutil.process_iter() if each.pid not in mine and _says(each, names)]


def _says(process: psutil.Process, names: list[str]) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        words = [*process.cmdline(), *process.environ().values(), process.cwd()]
    except psutil.Error:
        return False
    return any(name in word for word in words for name in names)
