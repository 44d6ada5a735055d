"""A platform of a test's own that is hurt, and the wait until it has come to rest."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from headwater import crash
from headwater.cli.demo import Place
from headwater.sdk import Client
from headwater.store.engine import sqlite_url
from scenes.evidence import Evidence, evidence_of
from scenes.harm import title_of
from scenes.life import NOTHING, homes, processes_of, up
from scenes.oracle import judged, unsettled

SETTLED_WITHIN_S = 240.0
SETTINGS = {
    "HEADWATER_LEASES__LEASE_LIFETIME_S": "9",
    "HEADWATER_OWNERS__RESTART_LIMIT": "1000",
    "HEADWATER_RUNS__LOST_LIMIT": "100",
    "HEADWATER_RUNS__CRASH_LIMIT": "100",
    "HEADWATER_GPUS": "2",
    "HEADWATER_STORE__ARCHIVE_AFTER_S": "0",  # the oracle knows only what is in the store
    "HEADWATER_STORE__INBOX_RETENTION_S": "1e9",
}


class Hurt(NamedTuple):
    """A platform that may be hurt, with the folder in which its crash points are armed."""

    place: Place
    hw: Client
    points: Path
    store: str

    def arm(self, point: str, text: str = "1") -> None:
        (self.points / point).write_text(text)

    def jump(self, seconds: float) -> None:
        """The owners' clock is set, and what has come due by then is done."""
        clock = self.points / crash.CLOCK
        before_s = float(clock.read_text()) if clock.exists() else 0.0
        fresh = self.points.parent / crash.CLOCK
        fresh.write_text(str(before_s + seconds))
        fresh.replace(clock)
        self.hw.run("eta/nap").result(SETTLED_WITHIN_S)

    def now_s(self) -> float:
        """What the owners' clock says."""
        clock = self.points / crash.CLOCK
        return time.time() + (float(clock.read_text()) if clock.exists() else 0.0)

    def kill(self, name: str, how: signal.Signals = signal.SIGKILL) -> list[int]:
        """Every process of the platform whose title has `name` in it; their ids."""
        found = [one for one in processes_of(self.place.home.parent) if name in title_of(one)]
        for one in found:
            os.kill(one.pid, how)
        return [one.pid for one in found]

    def armed(self) -> set[str]:
        return {file.name for file in self.points.iterdir()} - {crash.CLOCK}

    def at_rest(self) -> Evidence:
        """What is there once nothing is on its way; the oracle has nothing to say of it."""
        deadline, left = time.monotonic() + SETTLED_WITHIN_S, ["not asked yet"]
        while left and time.monotonic() < deadline:
            seen = evidence_of(self.store, self.place.bootstrap)
            assert judged(seen) == []
            left = unsettled(seen) + [f"{name} has killed nobody" for name in self.armed()]
        assert left == []
        return seen


@contextmanager
def hurt(flows: Path, store: str = "", more: Mapping[str, str] = NOTHING) -> Iterator[Hurt]:
    """A platform with these flows and `more` settings, its store in a file or under the URL `store`."""
    with homes() as folder:
        points = folder / "crash"
        points.mkdir()
        settings = SETTINGS | {crash.VARIABLE: str(points)} | ({"HEADWATER_STORE__URL": store} if store else {})
        place = up(folder / "home", {**settings, **more})
        with Client(place.url, place.token) as hw:
            hw.deploy(flows)
            yield Hurt(place, hw, points, store or sqlite_url(place.home / "store.db"))
