"""What a process that runs user code stands on: its home folder, the code it has loaded, what may be left behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ...artifacts.files import Files
from ...config import Settings
from .loaded_code import Code


@dataclass(frozen=True, slots=True)
class Limits:
    result_max_bytes: int
    log_max_bytes: int


ROOMY: Final = Limits(result_max_bytes=1 << 36, log_max_bytes=1 << 26)


def limits_of(settings: Settings) -> Limits:
    return Limits(settings.artifacts.result_max_bytes, settings.logs.file_max_bytes)


def spare_log(home: Path, process: str) -> Path:
    """Where a process keeps the file that becomes the log of the next attempt that prints."""
    return home / "logs" / "spare" / f"{process.rpartition(':')[2]}.log"


@dataclass(frozen=True, slots=True)
class Ground:
    home: Path
    code: Code
    limits: Limits = ROOMY

    @property
    def files(self) -> Files:
        return Files(self.home / "artifacts")

    def secret(self) -> bytes:
        """What proves on a line that its caller belongs to this platform."""
        return (self.home / "secret").read_bytes()

    def spare_log_of(self, process: str) -> Path:
        return spare_log(self.home, process)

    def log_of(self, run_id: str, name: str) -> Path:
        return self.home / "logs" / "runs" / run_id / f"{name}.log"
