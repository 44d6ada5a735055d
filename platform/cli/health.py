"""status and doctor: is the platform up, and which part is not well."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple
from urllib.parse import urlsplit

import typer

from ..errors import HeadwaterError, NotFound
from ..sdk.client_home import find, home_folder, state_of
from .listings import Column
from .options import HOME, AsJson, client, use_home
from .output import console, moment, print_json, print_table, size

if TYPE_CHECKING:
    from ..wire.api import Status

REACH_TIMEOUT_S = 2.0
DISK_MIN_BYTES = 1 << 30
RELAY_LAG_MAX = 10_000


class Check(NamedTuple):
    """`remedy` is empty where all is well."""

    part: str
    is_well: bool
    words: str
    remedy: str = ""


def register(app: typer.Typer) -> None:
    app.command(rich_help_panel="Platform")(status)
    app.command(rich_help_panel="Platform")(doctor)


def status(home: Annotated[Path | None, HOME] = None, as_json: AsJson = False) -> None:
    """Show where the platform is and whether it is ready. Exits with 1 where it is not."""
    use_home(home)
    with client() as hw:
        found, ready = hw.status(), hw.ready()
    if as_json:
        print_json({"status": found, "readiness": ready})
    else:
        out = console()
        out.print(f"Headwater {found.version}, {'ready' if ready.ready else 'not ready'}", style="bold")
        for name, text in _addresses(found):
            out.print(f"  {name:<11} {text}", markup=False)
        for part, word in ready.parts.items():
            if word != "ok":
                out.print(f"  {part} {word}", style="red", markup=False)
    if not ready.ready:
        raise typer.Exit(1)


def doctor(home: Annotated[Path | None, HOME] = None, as_json: AsJson = False) -> None:
    """Check each part of the platform, and say the remedy for what is not well."""
    use_home(home)
    checks = list(examine())
    if as_json:
        print_json([check._asdict() for check in checks])
    else:
        rows = [{**check._asdict(), "state": "ok" if check.is_well else "FAILED"} for check in checks]
        columns = [
            Column("part", "part"),
            Column("state", "state", "state"),
            Column("found", "words"),
            Column("remedy", "remedy"),
        ]
        print_table(columns, rows, empty="")
    if not all(check.is_well for check in checks):
        raise typer.Exit(1)


def examine() -> Iterator[Check]:
    """The checks, from the ground up; what stands on a part that is missing is not asked."""
    home = home_folder()
    if home is not None:
        yield from (_private(Path(home)), _disk(Path(home)))
    api = _tried("API", lambda: _reach(find().url), "Start the platform with `headwater up`.")
    yield api
    if not api.is_well:
        yield from _remains(home)
        return
    with client() as hw:
        try:
            found = hw.status()
        except HeadwaterError as error:
            yield Check("token", False, error.what, error.remedy)
            return
        yield Check("token", True, "accepted")
        for part, word in hw.ready().parts.items():
            remedy = "" if word == "ok" else "`up` ends and restarts it; the logs folder of the home says more."
            yield Check(part, word == "ok", word, remedy)
    yield from _surroundings(found)


def _surroundings(found: Status) -> Iterator[Check]:
    bootstrap = found.bootstrap.split(",")[0]
    yield _tried(
        "broker", lambda: _reach(f"kafka://{bootstrap}"), "Events wait until it is back; `up` restarts its own."
    )
    lag = found.position - found.relayed
    words = f"{lag:,} entries of the log are not in Kafka yet"
    yield Check("relay", lag <= RELAY_LAG_MAX, words, "" if lag <= RELAY_LAG_MAX else "Is the broker well?")
    yield _tried("inference", lambda: _reach(found.inference_url), "It comes up a while after the API; `up` starts it.")


def _private(home: Path) -> Check:
    mode = home.stat().st_mode & 0o077 if home.is_dir() else 0
    is_private = home.is_dir() and not mode and os.access(home, os.W_OK)
    words = str(home) if is_private else f"{home} is open to others, missing, or not writable"
    return Check("home folder", is_private, words, "" if is_private else f"chmod 700 {home}")


def _disk(home: Path) -> Check:
    place = home if home.exists() else home.parent
    free = shutil.disk_usage(place).free
    is_well = free >= DISK_MIN_BYTES
    return Check("disk", is_well, f"{size(free)} free", "" if is_well else "Make room: at least 1 GiB.")


def _remains(home: str | None) -> Iterator[Check]:
    up = state_of(home).get("up") if home else None
    pid = up.get("pid") if isinstance(up, dict) else None
    if isinstance(pid, int) and Path(f"/proc/{pid}").exists():
        yield Check(
            "up", False, f"`headwater up` runs as pid {pid}, but its API does not answer", "Look at the logs folder."
        )


def _tried(part: str, check: Callable[[], str], remedy: str) -> Check:
    try:
        return Check(part, True, check())
    except HeadwaterError as error:
        return Check(part, False, error.what, error.remedy or remedy)
    except OSError as error:
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


def _addresses(found: Status) -> list[tuple[str, Any]]:
    return [
        ("api", find().url),
        ("inference", found.inference_url),
        ("kafka", found.bootstrap),
        ("home", found.home),
        ("log", f"{found.position:,} entries, {found.relayed:,} in Kafka"),
        ("since", moment(found.started_us) if found.started_us else "-"),
    ]
