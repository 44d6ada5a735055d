"""The home folder: everything one platform owns, private to its user, used by one `up` at a time.

token          what the API asks for (0600), made once
secret         what attempts' tokens are made from (0600), made once
lock           held for as long as `up` lives; the kernel frees it with the process
state.json     where the running platform answers, for the command line and `Client()`
broker/ ray/   what the broker and Ray keep
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import msgspec

from ..errors import Conflict, InvalidInput, NotFound, Unavailable
from .processes import ProcessId, identify, is_alive

MIB = 1 << 20
ROOM_BYTES = 64 * MIB  # what broker, Ray and store write before the first event


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What runs now. `up` is the supervisor itself; `pids` are by role; `ray` is where other machines join."""

    up: ProcessId
    url: str
    inference_url: str
    bootstrap: str
    pids: dict[str, int] = {}
    ray: str = ""


class Home:
    """A home folder that exists and belongs to this user; raises InvalidInput where it cannot."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.folder.chmod(0o700)
        except OSError as error:
            what = f"the home folder {self.folder} cannot be used: {error.strerror}"
            raise InvalidInput(what, remedy="Choose another with --home or HEADWATER_HOME") from None

    def token(self) -> str:
        """The bearer token of the API; made at first use."""
        return _made_once(self.folder / "token", secrets.token_urlsafe(32).encode()).decode().strip()

    def secret(self) -> bytes:
        """The platform's own secret; it never leaves the folder."""
        return _made_once(self.folder / "secret", secrets.token_bytes(32))

    def instance(self) -> str:
        """The id of this home's platform, over all its lives; made at first use."""
        return _made_once(self.folder / "instance", secrets.token_hex(16).encode()).decode()

    def below(self, *parts: str) -> Path:
        """A private folder in the home, made where it is missing."""
        path = self.folder.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path

    def check_room(self) -> None:
        """Raises Unavailable where the disk is too full for a platform to come up."""
        left = shutil.disk_usage(self.folder).free
        if left < ROOM_BYTES:
            room = f"{left // MIB} MiB left, and a platform needs {ROOM_BYTES // MIB} MiB to come up"
            remedy = "Make room there, or choose another home with --home or HEADWATER_HOME"
            raise Unavailable(f"the disk of the home folder {self.folder} has {room}", remedy=remedy)

    def lock(self) -> HomeLock:
        """Hold it for as long as this process supervises the home; raises Conflict where another does."""
        return HomeLock(self)

    def write_state(self, state: State) -> None:
        _write_private(self.folder / "state.json", msgspec.json.format(msgspec.json.encode(state), indent=2))

    def clear_state(self) -> None:
        (self.folder / "state.json").unlink(missing_ok=True)

    def state(self) -> State | None:
        """What runs on this home; None where nothing does, a state left by a killed life included."""
        state = read_state(self.folder)
        return state if state is not None and is_alive(state.up) else None


class HomeLock:
    """A lock on the home; the file names its holder, so that a second `up` can say who is there."""

    def __init__(self, home: Home) -> None:
        self._file = os.fdopen(os.open(home.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600), "r+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            what = f"a platform runs on the home folder {home.folder} already (pid {holder})"
            remedy = "Stop it with `headwater down`, or start another with `--home DIR`"
            raise Conflict(what, remedy=remedy) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        self._file.close()

    def __enter__(self) -> HomeLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def read_state(folder: Path) -> State | None:
    """The state as it was written, whether its processes live or not."""
    try:
        return msgspec.json.decode((folder / "state.json").read_bytes(), type=State)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def running(folder: Path) -> State:
    """The platform that runs on `folder`; raises NotFound with the way to start one."""
    state = read_state(folder)
    if state is None or not is_alive(state.up):
        raise NotFound(f"no platform runs on {folder.absolute()}", remedy="Start one with `headwater up`")
    return state


def this_process() -> ProcessId:
    known = identify(os.getpid())
    assert known is not None, "a process that asks is alive"
    return known


def state_of(*, url: str, inference_url: str, bootstrap: str, pids: Mapping[str, int], ray: str = "") -> State:
    """The state of a platform that this process supervises."""
    return State(up=this_process(), url=url, inference_url=inference_url, bootstrap=bootstrap, pids=dict(pids), ray=ray)


def _made_once(path: Path, fresh: bytes) -> bytes:
    """The file's content; `fresh` where there was none. Two who come at once agree."""
    if not path.exists():
        candidate = path.with_name(f"{path.name}.{os.getpid()}")
        _write_private(candidate, fresh)
        with suppress(FileExistsError):
            os.link(candidate, path)
        candidate.unlink()
    path.chmod(0o600)
    return path.read_bytes()


def _write_private(path: Path, content: bytes) -> None:
    """Whole and 0600 from the first byte; on the disk before it has its name, which a power cut would leave empty."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as private:
        private.write(content)
        private.flush()
        os.fsync(private.fileno())
    fresh.replace(path)
