"""`headwater up`: a platform in the foreground until Ctrl-C or SIGTERM, or, detached, in the background."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from ..config import Settings, load
from ..crash import VARIABLE, armed_folder
from ..errors import HeadwaterError, Unavailable
from .home import Home, read_state
from .processes import is_alive
from .supervisor import Supervisor

STARTED_WITHIN_S = 180.0
SAID = "headwater: "  # how the command begins an error
LINES_SHOWN = 12


def main(
    *,
    home: Path | None = None,
    gpus: int | None = None,
    port: int | None = None,
    serve_port: int | None = None,
    config: Path | None = None,
    detach: bool = False,
) -> None:
    """Returns when the platform has ended (detached: when it is ready). Raises HeadwaterError."""
    settings = settings_of(home=home, gpus=gpus, port=port, serve_port=serve_port, config=config)
    if detach:
        _detached(settings, config)
    else:
        _foreground(settings)


def settings_of(
    *, home: Path | None, gpus: int | None, port: int | None, serve_port: int | None, config: Path | None
) -> Settings:
    flags: Mapping[str, object] = {
        "home": None if home is None else str(home),
        "gpus": gpus,
        "http.port": port,
        "serve.port": serve_port,
    }
    return load(config, flags=flags)


def _foreground(settings: Settings) -> None:
    if (crashes := armed_folder()) is not None:
        print(f"  {VARIABLE} is set, as for a test: processes are killed at the points armed in {crashes}", flush=True)
    supervisor = Supervisor(settings, _say)
    began = time.monotonic()
    with _stopped_by_signals(supervisor):
        try:
            supervisor.start()
            print(f"ready in {time.monotonic() - began:.1f} s", flush=True)
            print(where(supervisor), flush=True)
            supervisor.run()
        except KeyboardInterrupt:
            print("stopping", flush=True)
        finally:
            supervisor.stop()
        print("stopped; the state is kept in", supervisor.home.folder, flush=True)


def where(supervisor: Supervisor) -> str:
    """Where things are, for people."""
    return "\n".join(
        (
            f"  API        {supervisor.url}   (docs at /docs)",
            f"  inference  {supervisor.inference_url}/v2",
            f"  Kafka      {supervisor.bootstrap}",
            f"  home       {supervisor.home.folder}   (token in {supervisor.home.folder / 'token'})",
            "  Ctrl-C stops everything; the state stays.",
        )
    )


def _say(part: str, seconds: float) -> None:
    print(f"  {part:<14} {seconds:5.1f} s" if seconds else f"  {part}", flush=True)


class _stopped_by_signals:
    """Ctrl-C and SIGTERM end the start with KeyboardInterrupt, and afterwards the run in order."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._heard)

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN if number != signal.SIGINT else signal.default_int_handler)

    def _heard(self, number: int, frame: object) -> None:
        if self._supervisor.stopping.is_set():
            return
        self._supervisor.stopping.set()
        raise KeyboardInterrupt


def _detached(settings: Settings, config: Path | None) -> None:
    home = Home(settings.home)
    home.check_room()
    log = home.below("logs") / "up.log"
    argv = [sys.executable, "-m", "headwater.cli.main", "up", "--home", str(home.folder), "--gpus", str(settings.gpus)]
    argv += ["--port", str(settings.http.port), "--serve-port", str(settings.serve.port)]
    argv += ["--config", str(config)] if config else []
    with log.open("ab") as sink:
        began = sink.tell()
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True, env=os.environ
        )
    deadline = time.monotonic() + STARTED_WITHIN_S
    while time.monotonic() < deadline:
        state = read_state(home.folder)
        if state is not None and state.up.pid == child.pid and is_alive(state.up):
            print(f"ready; pid {child.pid}, log {log}\n  API  {state.url}\n  stop with `headwater down`")
            return
        if child.poll() is not None:
            raise HeadwaterError(last_word(log, began), remedy=f"The whole log is {log}")
        time.sleep(0.1)
    child.terminate()
    raise Unavailable(f"The platform was not ready within {STARTED_WITHIN_S:g} s", remedy=f"See {log}")


def last_word(log: Path, began: int) -> str:
    """The error that ended a detached process, as it said it in the log from `began` on."""
    with log.open("rb") as text:
        text.seek(began)
        lines = text.read().decode(errors="replace").splitlines()
    said = [line.removeprefix(SAID).rstrip(".") for line in lines if line.startswith(SAID)]
    return said[-1] if said else "The platform ended while starting:\n" + "\n".join(lines[-LINES_SHOWN:])
