"""The actors of the platform, put on a running Ray: made side by side, started, watched for silence.

Joining Ray as a driver needs the cluster's environment before ray is imported; so ray is imported here,
late, and nowhere else in this folder.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from ..actors.wiring import Wiring
from ..errors import HeadwaterError, Unavailable

RECORDERS: Final = ("conductor", "scheduler", "gpu_pool", "registry", "table_writer")
OWNERS: Final = (*RECORDERS, "web")
STOP_WITHIN_S: Final = 5.0
BESIDE: Final = ("deployer", "views")  # `/readyz` does not wait for these

Said = Callable[[str, float], None]


class Cast:
    """The platform's long-lived actors. `join` first; `start` waits for the owners, not for what is beside them."""

    def __init__(self, wiring: Wiring, address: str, environment: Mapping[str, str]) -> None:
        self._wiring, self._address, self._environment = wiring, address, environment
        self._handles: dict[str, Any] = {}
        self._pending: dict[Any, tuple[str, float]] = {}
        self._answered: dict[str, float] = {}
        self._pids: dict[str, int] = {}

    def join(self) -> None:
        """Becomes a driver of the cluster."""
        os.environ.update(self._environment)
        import ray
        from ray import _raylet
        from ray._private import worker

        tokens: Any = _raylet  # compiled, and silent about its types
        tokens.AuthenticationTokenLoader.instance().reset_cache()  # a Ray that is started again has another token
        logging.getLogger("ray").setLevel(logging.ERROR)
        worker._worker_logs_enabled = False  # the raylet's advice and obituaries are in its logs, not on the terminal
        ray.init(
            address=self._address,
            namespace="headwater",
            log_to_driver=False,
            configure_logging=False,
            _node_ip_address=self._wiring.settings.ray.host,
        )

    def stop(self) -> None:
        """Tells the owners that the end is a clean one; those that do not hear it in time begin with care."""
        import ray

        with suppress(Exception):  # what has died cannot be told
            told = [handle.stop.remote() for name, handle in self._handles.items() if name in RECORDERS]
            ray.wait(told, num_returns=len(told), timeout=STOP_WITHIN_S)

    def leave(self) -> None:
        import ray

        with suppress(Exception):  # the cluster may be gone: then there is nothing to leave
            ray.shutdown()
        self._answered.clear()
        self._pids.clear()

    def start(self, said: Said, *, within_s: float) -> None:
        """Makes all actors and returns when the owners take calls. Raises Unavailable naming those that do not."""
        import ray

        began = time.monotonic()
        self._make()
        calls = {self._handles[name].start.remote(): name for name in OWNERS}
        waiting = list(calls)
        while waiting:
            left_s = within_s - (time.monotonic() - began)
            done, waiting = ray.wait(waiting, timeout=max(0.0, left_s))
            if not done:
                late = ", ".join(sorted(calls[ref] for ref in waiting))
                raise Unavailable(f"Not ready after {within_s:g} s: {late}", remedy="Their logs are in HOME/ray.")
            for ref in done:
                _result(calls[ref], ref)
                said(calls[ref], time.monotonic() - began)

    def _make(self) -> None:
        from ..actors import roster
        from ..serve.deployer import Deployer
        from ..views.actor import Views
        from ..web.actor import Web

        made = {name: getattr(roster, name) for name in OWNERS if name != "web"}
        self._handles = {name: make(self._wiring) for name, make in made.items()}
        self._handles["web"] = roster.long_lived(Web, "web", self._wiring)
        self._handles["deployer"] = roster.long_lived(Deployer, "deployer", self._wiring)
        self._handles["views"] = roster.long_lived(Views, "views", self._wiring)
        for name in BESIDE:
            self._pending[self._handles[name].start.remote()] = (name, time.monotonic())

    def came_beside(self) -> Iterator[tuple[str, float, str]]:
        """What has come up beside the owners since it was last asked: name, seconds, error (empty where it is well)."""
        import ray

        if not self._pending:
            return
        done, _ = ray.wait(list(self._pending), num_returns=len(self._pending), timeout=0)
        for ref in done:
            name, began = self._pending.pop(ref)
            error = ""
            try:
                _result(name, ref)
            except HeadwaterError as failed:
                error = str(failed)
            yield name, time.monotonic() - began, error

    def look_after(self, *, silent_after_s: float) -> list[str]:
        """Asks every actor for a sign of life, starts what Ray has restarted, ends what stays silent; who was ended."""
        import ray

        now = time.monotonic()
        asked = {name: handle.start.remote() for name, handle in self._handles.items()}
        told = {name: handle.describe.remote() for name, handle in self._handles.items()}
        done, _ = ray.wait(list(told.values()), num_returns=len(told), timeout=1.0)
        del asked
        for name, ref in told.items():
            if ref in done:
                with suppress(Exception):  # not started, or restarting: silence is what counts
                    self._pids[name] = ray.get(ref)["pid"]
                    self._answered[name] = now
        silent = [name for name, last in self._answered.items() if now - last > silent_after_s]
        for name in silent:
            self._answered.pop(name)
            with suppress(ProcessLookupError):
                os.kill(self._pids[name], signal.SIGKILL)
        return silent

    @property
    def pids(self) -> dict[str, int]:
        return dict(self._pids)


def _result(name: str, ref: Any) -> Any:
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return ray.get(ref)
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, HeadwaterError):
            raise cause from None
        raise Unavailable(f"{name} did not start: {cause or error}", remedy="Its log is in HOME/ray.") from None
    except RayError as error:
        raise Unavailable(f"{name} did not start: {error}", remedy="Its log is in HOME/ray.") from None


@contextmanager
def quiet_interrupts() -> Iterator[None]:
    """Ctrl-C is ours while this lasts: Ray's own handlers would end half of what must end in order."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])
