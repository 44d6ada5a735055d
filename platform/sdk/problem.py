"""What is wrong with a bundle, and where: file and line, to be shown beside the message."""

from __future__ import annotations

from ..errors import HeadwaterError, InvalidInput


class Problem(InvalidInput):
    """`file` is the path inside the bundle; `line` is 0 where there is none; `frames` holds the user's frames."""

    def __init__(self, what: str, *, remedy: str = "", file: str = "", line: int = 0, frames: str = "") -> None:
        place = f"{file}:{line}: " if file and line else f"{file}: " if file else ""
        HeadwaterError.__init__(self, f"{place}{what}", remedy=remedy)
        self.message, self.file, self.line, self.frames = what, file, line, frames

    def __reduce__(self) -> tuple[object, ...]:
        return _again, (self.message, self.remedy, self.file, self.line, self.frames)


def _again(what: str, remedy: str, file: str, line: int, frames: str) -> Problem:
    return Problem(what, remedy=remedy, file=file, line=line, frames=frames)
