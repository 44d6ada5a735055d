"""The code that is deployed: which files go, and the version that names exactly these files.

A code version is sha256 over the sorted (path, sha256) of the files, the requirements and the Python minor version.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from ...errors import InvalidInput

FILES_MAX: Final = 10_000
BYTES_MAX: Final = 64 << 20
GIT_TIMEOUT_S: Final = 30
NOTHING: Final[Mapping[str, bytes]] = MappingProxyType({})
REQUIREMENTS: Final = ("requirements.lock", "requirements.txt")

_SKIPPED: Final = frozenset({"__pycache__", "node_modules", "venv", "env", "build", "dist", "htmlcov", "site-packages"})


@dataclass(frozen=True, slots=True)
class Bundle:
    """Files of `folder` by their paths inside it, sorted, with `/` between the parts."""

    folder: Path
    names: tuple[str, ...]

    @property
    def requirements(self) -> str:
        """The text of the lock, or of the requirements, at the top of the folder; empty where there is none."""
        for name in REQUIREMENTS:
            if name in self.names:
                return (self.folder / name).read_text()
        return ""

    @property
    def modules(self) -> tuple[str, ...]:
        return tuple(name for name in self.names if name.endswith(".py"))


def bundle_of(path: Path) -> Bundle:
    """What deploying `path` takes: one file, or what git would not ignore in the folder."""
    path = path.resolve()
    if path.is_file():
        if path.suffix != ".py":
            raise InvalidInput(f"{path} is no Python file", remedy="Deploy a .py file or a folder")
        return Bundle(path.parent, (path.name,))
    if not path.is_dir():
        raise InvalidInput(f"{path} does not exist", remedy="Deploy a .py file or a folder")
    listed = _asked_of_git(path)
    names = sorted(listed if listed is not None else _walked(path))
    chosen = Bundle(path, tuple(name for name in names if (path / name).is_file()))
    _check_size(chosen)
    return chosen


def unpacked(folder: Path) -> Bundle:
    """All files of a folder that was packed before."""
    names = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return Bundle(folder, tuple(sorted(name for name in names if "__pycache__" not in name)))


def python_minor() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def code_version(bundle: Bundle, *, python: str | None = None) -> str:
    """The hex digest that names this code on this Python."""
    sha = hashlib.sha256()
    for name in bundle.names:
        with (bundle.folder / name).open("rb") as source:
            content = hashlib.file_digest(source, "sha256").hexdigest()
        sha.update(f"{name}\0{content}\n".encode())
    sha.update(f"requirements\0{bundle.requirements}\0python\0{python or python_minor()}".encode())
    return sha.hexdigest()


def pack(bundle: Bundle, beside: Mapping[str, bytes] = NOTHING) -> bytes:
    """The files, and those `beside` them, as a gzipped tar; equal files give equal bytes."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for name in bundle.names:
            content = (bundle.folder / name).read_bytes()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            member.mode = 0o755 if (bundle.folder / name).stat().st_mode & 0o100 else 0o644
            tar.addfile(member, io.BytesIO(content))
        for name, content in beside.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def unpack(packed: bytes, target: Path) -> Bundle:
    """The files of a gzipped tar, written below the empty folder `target`. Raises InvalidInput for anything else."""
    try:
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
            members = _checked(tar)
            target.mkdir(parents=True, exist_ok=True)
            tar.extractall(target, members=members, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InvalidInput(f"The upload is no gzipped tar ({error})", remedy="Deploy it again") from None
    return unpacked(target)


def _checked(tar: tarfile.TarFile) -> list[tarfile.TarInfo]:
    members: list[tarfile.TarInfo] = []
    size_bytes = 0
    for member in tar:
        if not (member.isfile() or member.isdir()):
            raise InvalidInput(f"The upload holds {member.name!r}, which is no plain file", remedy="Send files only")
        members.append(member)
        size_bytes += member.size
        if len(members) > FILES_MAX or size_bytes > BYTES_MAX:
            raise _too_large("The upload", len(members), size_bytes)
    return members


def _check_size(bundle: Bundle) -> None:
    size_bytes = sum((bundle.folder / name).stat().st_size for name in bundle.names)
    if len(bundle.names) > FILES_MAX or size_bytes > BYTES_MAX:
        raise _too_large(str(bundle.folder), len(bundle.names), size_bytes)


def _too_large(what: str, files: int, size_bytes: int) -> InvalidInput:
    limits = f"{FILES_MAX} files and {BYTES_MAX >> 20} MiB are the most"
    remedy = "Deploy the folder with the code alone; .gitignore keeps data out"
    return InvalidInput(f"{what} has {files} files of {size_bytes >> 20} MiB: {limits}", remedy=remedy)


def _asked_of_git(folder: Path) -> list[str] | None:
    """Tracked and untracked files that git does not ignore; None where git is not there or knows no repository."""
    command = ["git", "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        answer = subprocess.run(command, capture_output=True, timeout=GIT_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if answer.returncode != 0:
        return None
    names = [name for name in answer.stdout.decode(errors="surrogateescape").split("\0") if name]
    return [name for name in set(names) if not _is_skipped(name)] or None


def _walked(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if not _is_skipped(name) and path.is_file() and not path.is_symlink():
            yield name


def _is_skipped(name: str) -> bool:
    parts = name.split("/")
    return any(part in _SKIPPED or (part.startswith(".") and part not in (".", "..")) for part in parts)
