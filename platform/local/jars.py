"""The broker's jars: resolved once, verified against the committed lock, kept in the user's cache.

`kafka_jars.toml` names every jar with its sha256. The first use asks `jgo` for them under a lock file
(its cache breaks when two processes fill it at once) and copies them into a folder named by the lock;
later uses read only that folder. Every use verifies: 46 MB hash in a tenth of a second.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tomllib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.resources import files
from itertools import count
from pathlib import Path

from ..errors import Unavailable

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class JarLock:
    coordinates: tuple[str, ...]
    sha256: dict[str, str]

    @property
    def name(self) -> str:
        """Changes with any jar, so that two releases never share a folder."""
        text = "\n".join(f"{jar} {digest}" for jar, digest in sorted(self.sha256.items()))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def read_lock() -> JarLock:
    told = tomllib.loads(files(__package__).joinpath("kafka_jars.toml").read_text())
    return JarLock(tuple(told["coordinates"]), dict(told["jars"]))


def user_cache() -> Path:
    """Where what can be made again is kept for every home of this user."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "headwater"


def kafka_folder(cache: Path, lock: JarLock) -> Path:
    return cache / f"kafka-{lock.name}"


def kafka_jars(cache: Path, *, progress: Progress | None = None) -> list[Path]:
    """The verified jars in class path order; raises Unavailable where one cannot be had or differs."""
    lock = read_lock()
    folder = kafka_folder(cache, lock)
    folder.mkdir(parents=True, exist_ok=True)
    if wrong_jars(folder, lock):
        with _alone(folder / "filling"):
            _fill(folder, lock, progress or _silent)
    return [folder / jar for jar in lock.sha256]


def wrong_jars(folder: Path, lock: JarLock) -> list[str]:
    """Names in the lock whose file is missing or has another hash."""
    with ThreadPoolExecutor(4) as threads:
        fits = threads.map(lambda jar: _fits(folder / jar, lock.sha256[jar]), lock.sha256)
        return [jar for jar, fit in zip(lock.sha256, fits, strict=True) if not fit]


def _fits(path: Path, sha256: str) -> bool:
    try:
        with path.open("rb") as data:
            return hashlib.file_digest(data, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False


def _fill(folder: Path, lock: JarLock, progress: Progress) -> None:
    wanted = wrong_jars(folder, lock)  # another process may have filled it while we waited
    if not wanted:
        return
    found = {path.name: path for path in _resolve(folder / "download", lock, progress)}
    for jar in wanted:
        path = found.get(jar)
        if path is None or not _fits(path, lock.sha256[jar]):
            state = "is missing from what was fetched" if path is None else "has another sha256 than the committed lock"
            remedy = f"Delete {folder} and try again; if it stays so, do not trust the place that the jars come from"
            raise Unavailable(f"the broker's jar {jar} {state}", remedy=remedy)
        fresh = folder / f"{jar}.new"
        shutil.copyfile(path, fresh)
        fresh.replace(folder / jar)
    shutil.rmtree(folder / "download")


def _resolve(download: Path, lock: JarLock, progress: Progress) -> list[Path]:
    from jgo.env import EnvironmentBuilder
    from jgo.maven import MavenContext, PythonResolver

    progress("fetching the broker (46 MB, the first time only)")
    context = MavenContext(
        repo_cache=download / "repository",
        resolver=PythonResolver(progress_callback=_counting(progress, len(lock.sha256))),
    )
    try:
        environment = EnvironmentBuilder(context=context, cache_dir=download / "jgo")
        return list(environment.from_endpoint("+".join(lock.coordinates)).all_jars)
    except (RuntimeError, OSError) as error:
        what = f"the broker's jars could not be fetched: {type(error).__name__}: {error}"
        remedy = "Check the network and try again, or name a running broker with HEADWATER_KAFKA__BOOTSTRAP"
        raise Unavailable(what, remedy=remedy) from error


def _counting(progress: Progress, jars: int) -> Callable[[str, int], AbstractContextManager[Callable[[int], None]]]:
    number = count(1)

    @contextmanager
    def one_file(name: str, size_bytes: int) -> Iterator[Callable[[int], None]]:
        if name.endswith(".jar"):
            progress(f"fetching the broker: {next(number)} of {jars}, {name} ({size_bytes / 1e6:.1f} MB)")
        yield lambda _: None

    return one_file


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _silent(_: str) -> None: ...
