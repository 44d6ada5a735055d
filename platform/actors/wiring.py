"""What an actor is told when it is made: where everything is."""

from __future__ import annotations

from pathlib import Path

import msgspec
import sqlalchemy as sa

from ..config import Settings
from ..store.engine import open_engine
from ..store.postgres import Waits


class Wiring(msgspec.Struct, frozen=True, kw_only=True):
    """Made by `up`, handed to every actor. `gpus` are logical devices of the local node; `instance` is the platform
    whose lease on the database its owners need, empty where there is none."""

    home: str
    store_url: str
    bootstrap: str
    settings: Settings
    http_port: int
    serve_port: int
    gpus: int = 0
    environment: dict[str, str] = {}
    instance: str = ""

    @property
    def folder(self) -> Path:
        return Path(self.home)

    def engine(self, *, read_only: bool = False) -> sa.Engine:
        return open_engine(self.store_url, read_only=read_only, waits=Waits.of(self.settings.store))

    def secret(self) -> bytes:
        """The platform's own secret, from which attempts' tokens are made."""
        return (self.folder / "secret").read_bytes()
