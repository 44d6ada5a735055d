"""`headwater node join`: this machine as a node of a platform that runs on another, until Ctrl-C or SIGTERM.

    found in HOME/state.json ► Ray joined ► the GpuPool puts an agent here ► steps run
                ▲                  │
                └── Ray is gone, or the platform was started anew

The home folder is the platform's own, at the same path on every machine. Ending it in order drains the node
first: what runs there ends, for as long as it may take, then Ray leaves. SIGTERM a second time leaves at once.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..config import Settings, load
from ..core.node_offer import Offer, labels_of
from ..errors import Conflict, HeadwaterError, NotFound, Unavailable
from .home import Home, HomeLock, read_state
from .ray_member import Membership, RayMember
from .ray_processes import Patience
from .up import last_word

LOOK_EVERY_S = 1.0
AGAIN_EVERY_S = 2.0
JOINED = "joined"  # a file of the node's folder, there while it is one


@dataclass(frozen=True, slots=True)
class Joining:
    """What the command was given: what the machine offers, where it is reached, how long its drain may take."""

    offer: Offer
    host: str
    drain_within_s: float


def main(joining: Joining, *, home: Path | None, detached: Sequence[str]) -> None:
    """Returns when the node has left; where the words of a command are given, once it has joined in the background."""
    settings = load(flags={"home": None if home is None else str(home)})
    labels_of(joining.offer)
    _state_of(settings)
    if detached:
        _detach(settings, joining.offer.name, detached)
    else:
        Node(settings, joining).run()


class Node:
    """This machine's part. `run` returns when it was stopped; raises Unavailable where no platform comes back."""

    def __init__(self, settings: Settings, joining: Joining) -> None:
        self._settings, self._joining = settings, joining
        self._home = Home(_folder(settings, joining.offer.name))
        ray = settings.ray
        self._member = RayMember(
            self._home.folder,
            host=joining.host,
            object_store_bytes=ray.object_store_bytes,
            patience=Patience(ray.ready_within_s, ray.stop_within_s),
            fork_workers=ray.fork_workers,
        )
        self._stopping, self._at_once = threading.Event(), threading.Event()

    def run(self) -> None:
        name, told = self._joining.offer.name, self._home.folder / JOINED
        with self._lock():
            self._listen()
            try:
                while not self._stopping.is_set():
                    head = self._join()
                    told.write_text(str(os.getpid()))
                    print(f"joined as {name}", flush=True)
                    self._stay(head)
                self._drain()
            finally:
                told.unlink(missing_ok=True)
                self._member.stop()
        print(f"{name} has left", flush=True)

    def _lock(self) -> HomeLock:
        try:
            return self._home.lock()
        except Conflict:
            what = f"a node named {self._joining.offer.name} has joined already"
            raise Conflict(what, remedy="Choose another name with --name") from None

    def _listen(self) -> None:
        def heard(number: int, frame: object) -> None:
            (self._at_once if self._stopping.is_set() else self._stopping).set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, heard)

    def _join(self) -> str:
        """The head that was joined; asks again while the platform is away, as long as one that restarts may take."""
        deadline = time.monotonic() + self._settings.owners.restart_window_s
        while True:
            try:
                head, token = _state_of(self._settings), self._settings.home.absolute() / "ray" / "ray_token"
                self._member.start(Membership(head, token, labels_of(self._joining.offer)))
                return head
            except (NotFound, Unavailable):
                if time.monotonic() > deadline or self._stopping.wait(AGAIN_EVERY_S):
                    raise

    def _stay(self, head: str) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            state = read_state(self._settings.home)
            if not self._member.is_alive() or state is None or state.ray != head:
                print("the platform is gone, or has given this node up; joining again", flush=True)
                self._member.abandon()
                return

    def _drain(self) -> None:
        """What runs here ends first; a platform that does not answer is not waited for."""
        from ..sdk import Client

        name, deadline = self._joining.offer.name, time.monotonic() + self._joining.drain_within_s
        state = read_state(self._settings.home)
        if state is None or not self._member.is_alive():
            self._member.abandon()
            return
        print(f"draining {name}", flush=True)
        with suppress(HeadwaterError), Client(state.url, Home(self._settings.home).token()) as hw:
            hw.order("node.drain", {"node": name})
            while time.monotonic() < deadline and not self._at_once.is_set():
                if not any(node.attempts for node in hw.nodes() if node.id == name):
                    return
                self._at_once.wait(LOOK_EVERY_S)


def _folder(settings: Settings, name: str) -> Path:
    return Home(settings.home).below("nodes", name)


def _state_of(settings: Settings) -> str:
    """The address of the platform's Ray; raises NotFound where none runs on the home folder."""
    state = read_state(settings.home)
    if state is None or not state.ray:
        remedy = "Start one with `headwater up`; its home folder must be here as well, at the same path"
        raise NotFound(f"no platform runs on {settings.home.absolute()}", remedy=remedy)
    return state.ray


def _detach(settings: Settings, name: str, argv: Sequence[str]) -> None:
    folder = _folder(settings, name)
    log, told = folder / "node.log", folder / JOINED
    with log.open("ab") as sink:
        began = sink.tell()
        child = subprocess.Popen(
            [sys.executable, "-m", "headwater.cli.main", *argv],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
        )
    deadline = time.monotonic() + settings.ray.ready_within_s + settings.owners.restart_window_s
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError):
            if told.read_text() == str(child.pid):
                print(f"joined as {name}; pid {child.pid}, log {log}\n  leave with `kill {child.pid}`")
                return
        if child.poll() is not None:
            raise HeadwaterError(last_word(log, began), remedy=f"The whole log is {log}")
        time.sleep(0.1)
    child.terminate()
    raise Unavailable(f"{name} did not join in time", remedy=f"See {log}")
