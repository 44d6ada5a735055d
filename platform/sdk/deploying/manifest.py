"""The manifest of a folder, read in a fresh process: `python -m headwater.sdk.deploying.manifest FOLDER`.

The process prints one line of JSON, `{"manifest": ...}` or `{"problem": ...}`; what the user's code prints while it
is imported goes to standard error.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

from ...errors import InvalidInput
from ...wire.manifest import Manifest
from ..problem import Problem
from .bundle import bundle_of

TIMEOUT_S: Final = 120.0


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """A problem in transit."""

    what: str
    remedy: str = ""
    file: str = ""
    line: int = 0
    frames: str = ""


class Found(msgspec.Struct, frozen=True, omit_defaults=True):
    manifest: Manifest | None = None
    problem: Told | None = None


def manifest_of(path: Path, *, timeout_s: float = TIMEOUT_S) -> Manifest:
    """What the code at `path`, a folder or one file, declares. Raises Problem with file, line and remedy."""
    command = [sys.executable, "-m", "headwater.sdk.deploying.manifest", str(path)]
    environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        answer = subprocess.run(command, capture_output=True, timeout=timeout_s, env=environment, check=False)
    except subprocess.TimeoutExpired:
        what = f"Importing {path} took more than {timeout_s:g} s"
        raise Problem(what, remedy="Importing must only declare: move work into steps") from None
    found = _read(answer)
    if found.problem is not None:
        told = found.problem
        raise Problem(told.what, remedy=told.remedy, file=told.file, line=told.line, frames=told.frames)
    assert found.manifest is not None
    return found.manifest


def main(path: Path) -> None:
    told = os.dup(1)
    os.dup2(2, 1)  # whatever user code prints, by whatever means, stays out of the answer
    with contextlib.redirect_stdout(sys.stderr):
        found = _found(path)
    with os.fdopen(told, "wb") as out:
        out.write(msgspec.json.encode(found) + b"\n")


def _found(path: Path) -> Found:
    from .collect import collect

    try:
        return Found(manifest=collect(bundle_of(path)))
    except Problem as problem:
        told = Told(problem.message, problem.remedy, problem.file, problem.line, problem.frames)
        return Found(problem=told)
    except InvalidInput as error:
        return Found(problem=Told(error.what, error.remedy))


def _read(answer: subprocess.CompletedProcess[bytes]) -> Found:
    try:
        return msgspec.json.decode(answer.stdout, type=Found)
    except msgspec.DecodeError:
        last = answer.stderr.decode(errors="replace").strip().splitlines()[-1:]
        what = f"Importing ended its process with exit code {answer.returncode}"
        raise Problem(what, remedy="; ".join(last) or "Import it by hand to see why") from None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
