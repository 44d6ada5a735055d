"""Where deployed code comes from: the commit, what was changed since, and what it runs on.

What the sender knows (git) travels in the upload beside the code and is no part of its version; what the platform
knows (Python, packages) is added where the code is taken in.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

import msgspec

PLACE: Final = ".headwater/provenance.json"
DIFF_MAX_CHARS: Final = 256 * 1024
GIT_TIMEOUT_S: Final = 30


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """`diff` is against `commit`, at most 256 Ki characters; `untracked` are files that git does not know."""

    commit: str = ""
    branch: str = ""
    remote: str = ""
    is_dirty: bool = False
    diff: str = ""
    untracked: tuple[str, ...] = ()


class Environment(msgspec.Struct, frozen=True):
    python: str
    platform: str
    packages: dict[str, str]


class Provenance(msgspec.Struct, frozen=True):
    source: Source
    environment: Environment


def source_of(path: Path) -> Source:
    """What git says of a folder or file; nothing where it is in no repository."""
    folder = path.resolve() if path.is_dir() else path.resolve().parent
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return Source()
    status = _git(folder, "status", "--porcelain", "--untracked-files=all", "--", ".")
    untracked = tuple(line[3:] for line in status.splitlines() if line.startswith("??"))
    return Source(
        commit=commit,
        branch=_git(folder, "rev-parse", "--abbrev-ref", "HEAD"),
        remote=_without_secret(_git(folder, "remote", "get-url", "origin")),
        is_dirty=bool(status),
        diff=_git(folder, "diff", "HEAD", "--", ".")[:DIFF_MAX_CHARS],
        untracked=untracked,
    )


def beside(path: Path) -> Mapping[str, bytes]:
    """The file that travels with the code of `path`."""
    return {PLACE: msgspec.json.encode(source_of(path))}


def taken_from(folder: Path) -> Provenance:
    """What came with the code unpacked in `folder`, and what this process runs on. The file is taken away."""
    file = folder / PLACE
    source = Source()
    if file.is_file():
        source = msgspec.json.decode(file.read_bytes(), type=Source)
        file.unlink()
        file.parent.rmdir()
    return Provenance(source, environment())


def environment() -> Environment:
    """The Python, the machine and every package of this process."""
    packages = {each.name: each.version for each in metadata.distributions() if each.name}
    machine = f"{sysconfig.get_platform()} {os.uname().release}"
    return Environment(sys.version.split()[0], machine, dict(sorted(packages.items())))


def _without_secret(remote: str) -> str:
    """The address without a user or token in it."""
    scheme, found, rest = remote.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if found else remote


def _git(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, timeout=GIT_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace").rstrip("\n") if done.returncode == 0 else ""
