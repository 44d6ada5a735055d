"""doctor: each part of the platform, from the ground up, and the remedy for what is not well.

It needs nothing that runs. What stands on a part that is missing is not asked.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple
from urllib.parse import urlsplit

import typer

from ..errors import HeadwaterError, NotFound
from ..sdk.client.address import TOKEN_NAME, find, home_folder, state_of
from .forms import size
from .listings import Column
from .options import HOME, AsJson, client, use_home
from .output import print_json, print_table, say

if TYPE_CHECKING:
    from ..sdk import Client
    from ..wire.api.status import Status

REACH_TIMEOUT_S: Final = 2.0
DISK_MIN_BYTES: Final = 1 << 30
RELAY_LAG_MAX: Final = 10_000
MAILBOX_MAX: Final = 10_000
RAY: Final = ("gcs_server", "raylet")
START: Final = "Start the platform with `headwater up`."
RESTARTS: Final = "`up` ends and restarts it; the folder logs of the home says more."
COLUMNS: Final = (Column("part", "part", "id"), Column("state", "state", "state"), Column("found", "words", "id"))


class Check(NamedTuple):
    """`remedy` is empty where all is well."""

    part: str
    is_well: bool
    words: str
    remedy: str = ""


def doctor(home: Annotated[Path | None, HOME] = None, as_json: AsJson = False) -> None:
    """Check each part of the platform, and say the remedy for what is not well. Exits with 1 where one is not."""
    use_home(home)
    checks = list(examine())
    if as_json:
        print_json([check._asdict() for check in checks])
    else:
        _print(checks)
    if not all(check.is_well for check in checks):
        raise typer.Exit(1)


def _print(checks: list[Check]) -> None:
    rows = [{**check._asdict(), "state": "ok" if check.is_well else "FAILED"} for check in checks]
    print_table(COLUMNS, rows, empty="")
    ill = [check for check in checks if not check.is_well]
    say("")
    if not ill:
        say("All is well.", style="green")
    for check in ill:
        say(f"{check.part}: {check.remedy}", style="yellow")


def examine() -> Iterator[Check]:
    """The checks, from the ground up."""
    yield _versions()
    home = home_folder()
    folder = Path(home) if home is not None else None
    if folder is not None:
        yield from _kept(folder)
    api = _tried("API", lambda: _reach(find().url), START)
    yield api
    if not api.is_well:
        yield from _remains(folder)
        return
    with client() as hw:
        yield from _answering(hw)
    if folder is not None and "HEADWATER_URL" not in os.environ:
        yield from _processes(state_of(str(folder)))


def _answering(hw: Client) -> Iterator[Check]:
    try:
        found, ready = hw.status(), hw.ready()
    except HeadwaterError as error:
        yield Check("token", False, error.what, error.remedy)
        return
    yield Check("token", True, "accepted")
    for part, word in ready.parts.items():
        yield Check(part, word == "ok", word, "" if word == "ok" else RESTARTS)
    yield from _actors(set(ready.parts))
    yield from _surroundings(found)
    yield from _devices(hw)
    for model in hw.deployments():
        words = f"{model.name} version {model.version} is {model.state}"
        is_well = model.state not in ("FAILED", "NEEDS_ATTENTION")
        yield Check("deployment", is_well, words, "" if is_well else model.reason or "See `headwater deployments`.")


def _actors(asked: set[str]) -> Iterator[Check]:
    """Those that readiness does not speak of."""
    from .fetch import items
    from .listings import LISTINGS

    try:
        listed = items(LISTINGS["actors",], {})
    except HeadwaterError as error:
        yield Check("actors", False, error.what, error.remedy or RESTARTS)
        return
    for actor in listed:
        is_full, is_alive = actor["mailbox"] > MAILBOX_MAX, actor["state"] == "alive"
        if not is_alive or is_full:
            words = f"{actor['mailbox']:,} in its mailbox" if is_alive else str(actor["state"])
            yield Check(actor["name"], False, words, "It falls behind: publish less." if is_alive else RESTARTS)
    others = [actor["name"] for actor in listed if actor["state"] == "alive" and actor["name"] not in asked]
    yield Check("actors", True, f"{len(others)} more alive")


def _surroundings(found: Status) -> Iterator[Check]:
    bootstrap = found.bootstrap.split(",")[0]
    lag = max(0, found.position - found.relayed)
    yield _tried(
        "broker", lambda: _reach(f"kafka://{bootstrap}"), "Events wait until it is back; `up` restarts its own."
    )
    words = f"{lag:,} entries of the log are not in Kafka yet" if lag else "the whole log is in Kafka"
    yield Check("relay", lag <= RELAY_LAG_MAX, words, "" if lag <= RELAY_LAG_MAX else "Is the broker well?")
    yield _tried("inference", lambda: _ready(found.inference_url), "It comes up a while after the API; `up` starts it.")


def _devices(hw: Client) -> Iterator[Check]:
    """What is out of service: not well where the platform itself has taken it out, not a person."""
    for node in hw.nodes():
        back = f"`headwater node restore {node.id}` takes it back"
        if node.state == "DRAINED" and node.reason:
            yield Check("node", False, f"{node.id} is drained: {node.reason}", f"Find out why it leaves; {back}.")
        elif node.state == "DRAINED":
            yield Check("node", True, f"{node.id} was drained by a person; {back}")
        for device in node.devices:
            if device.state == "QUARANTINED":
                remedy = f"Once it is well: headwater node restore {node.id} --device {device.id}"
                yield Check("device", False, f"{device.id} is in quarantine: {device.reason}", remedy)


def _versions() -> Check:
    from importlib.metadata import PackageNotFoundError, version

    try:
        ours = version("headwater")
    except PackageNotFoundError:
        ours = "(not installed)"
    return Check("versions", True, f"headwater {ours}, Python {sys.version.split()[0]}")


def _kept(home: Path) -> Iterator[Check]:
    """The home folder, its token, and the room it has."""
    yield _private(home, 0o700, "home folder")
    if (home / TOKEN_NAME).exists():
        yield _private(home / TOKEN_NAME, 0o600, "token file")
    place = next(each for each in (home, *home.parents) if each.exists())
    free = shutil.disk_usage(place).free
    remedy = "" if free >= DISK_MIN_BYTES else f"Make room in {place}: at least {size(DISK_MIN_BYTES)}."
    yield Check("disk", not remedy, f"{size(free)} free", remedy)


def _private(path: Path, mode: int, part: str) -> Check:
    if not path.exists():
        return Check(part, False, f"{path} is missing", START)
    found = path.stat().st_mode & 0o777
    if found & 0o077:
        return Check(part, False, f"{path} is open to others (mode {found:o})", f"chmod {mode:o} {path}")
    if not os.access(path, os.R_OK | os.W_OK):
        return Check(part, False, f"{path} is not readable and writable", f"chmod {mode:o} {path}, or `up --home DIR`.")
    return Check(part, True, f"{path}, mode {found:o}")


def _remains(home: Path | None) -> Iterator[Check]:
    """Why no API answers: a process that hangs, or nothing at all; then whether the ports it wants are free."""
    up = state_of(str(home)).get("up") if home is not None else None
    pid = up.get("pid") if isinstance(up, dict) else None
    if isinstance(pid, int) and _lives(pid):
        remedy = f"Look at {home}/logs; `headwater down` ends it."
        yield Check("up", False, f"`headwater up` runs as pid {pid}, but its API does not answer", remedy)
        return
    yield from _ports()


def _ports() -> Iterator[Check]:
    from ..config import load

    try:
        settings = load(None)
    except HeadwaterError as error:
        yield Check("settings", False, error.what, error.remedy)
        return
    for name, host, port in (
        ("http", settings.http.host, settings.http.port),
        ("serve", settings.http.host, settings.serve.port),
    ):
        flag = "--port" if name == "http" else "--serve-port"
        yield _tried(f"{name} port", lambda host=host, port=port: _free(host, port), f"`headwater up {flag} 0`")  # type: ignore[misc]


def _processes(state: dict[str, Any]) -> Iterator[Check]:
    pids: dict[str, int] = state.get("pids") or {}
    known = {part: pids[part] for part in RAY if part in pids}
    if not known:
        return
    gone = [part for part, pid in known.items() if not _lives(pid)]
    words = f"{', '.join(gone)} is gone" if gone else ", ".join(f"{part} is pid {pid}" for part, pid in known.items())
    yield Check("Ray", not gone, words, "`up` restarts it; if not, `headwater down`, then `up`." if gone else "")


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def _tried(part: str, check: Callable[[], str], remedy: str) -> Check:
    try:
        return Check(part, True, check())
    except HeadwaterError as error:
        return Check(part, False, error.what, error.remedy or remedy)
    except (OSError, http.client.HTTPException) as error:
        return Check(part, False, str(error), remedy)


def _reach(url: str) -> str:
    """The address, once something listens there."""
    parts = urlsplit(url)
    if not parts.hostname or not parts.port:
        raise NotFound(f"{url!r} is no address")
    try:
        socket.create_connection((parts.hostname, parts.port), REACH_TIMEOUT_S).close()
    except OSError as error:
        raise OSError(f"{parts.hostname}:{parts.port} does not answer ({error.strerror or error})") from None
    return f"{parts.hostname}:{parts.port}"


def _ready(url: str) -> str:
    """The address of a Serve that says it is ready."""
    address = _reach(url)
    connection = http.client.HTTPConnection(address, timeout=REACH_TIMEOUT_S)
    try:
        connection.request("GET", "/v2/health/ready")
        status = connection.getresponse().status
    finally:
        connection.close()
    if status != 200:
        raise OSError(f"{address} is not ready (HTTP {status})")
    return f"{address}, ready"


def _free(host: str, port: int) -> str:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise OSError(f"{host}:{port} is taken ({error.strerror or error})") from None
    return f"{host}:{port} is free" if port else "any free one"
