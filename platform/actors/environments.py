"""Packages that a step asks for beside the platform's: installed once into a folder named by their hash.

The folder goes first on the path of a worker of its own, so that two steps of a flow may use two versions of one
package. A folder is made elsewhere and moved into its place whole; a second process that makes the same finds it there.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from ..errors import HeadwaterError, InvalidInput

INSTALL_WITHIN_S: Final = 600.0
LAST_LINES: Final = 12


def name_of(packages: tuple[str, ...]) -> str:
    """The name of the folder: the same packages in any order, on the same Python."""
    wanted = "\n".join(sorted(packages))
    return hashlib.sha256(f"{sys.version_info[:2]}\n{wanted}".encode()).hexdigest()[:32]


def folder_of(home: Path, packages: tuple[str, ...]) -> Path:
    """The folder with these packages, which are installed where they are not there yet. Blocking.

    Raises InvalidInput with the installer's last words where they cannot be.
    """
    folder = home / "envs" / name_of(packages)
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as name:
        made = Path(name) / "packages"
        _install(packages, made)
        with contextlib.suppress(OSError):  # another has been quicker
            made.rename(folder)
    return folder


def _install(packages: tuple[str, ...], target: Path) -> None:
    command = [_uv(), "pip", "install", "--quiet", "--python", sys.executable, "--target", str(target), "--", *packages]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_WITHIN_S, check=False)
    except subprocess.TimeoutExpired:
        what = f"Installing {', '.join(packages)} took more than {INSTALL_WITHIN_S:g} s"
        raise InvalidInput(what, remedy="Name fewer or smaller packages") from None
    if done.returncode != 0:
        said = "; ".join(line.strip() for line in done.stderr.splitlines()[-LAST_LINES:] if line.strip())
        raise InvalidInput(f"{', '.join(packages)} cannot be installed: {said}", remedy="See the step's env=[...]")


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if found is None:
        raise HeadwaterError("There is no uv to install packages with", remedy="Install uv where Headwater runs")
    return found
