"""Secrets by name, resolved where user code runs and nowhere else: files of the home folder, for their owner alone.

`secrets/PROJECT/NAME` is that project's; `secrets/NAME` is for every project.
"""

from __future__ import annotations

from pathlib import Path

from ...errors import InvalidInput, NotFound


def resolved(home: Path, project: str, names: tuple[str, ...]) -> dict[str, str]:
    """The secrets of these names. Raises NotFound naming the first that is not there."""
    return {name: _read(home / "secrets", project, name) for name in names}


def _read(folder: Path, project: str, name: str) -> str:
    if "/" in name or name.startswith("."):
        raise InvalidInput(f"{name!r} is no name of a secret", remedy="Use letters, digits and _")
    for file in (folder / project / name, folder / name):
        if file.is_file():
            return file.read_text().rstrip("\n")
    what = f"There is no secret {name!r} for project {project}"
    raise NotFound(what, remedy=f"Write it into {folder / project / name}, readable by its owner alone")
