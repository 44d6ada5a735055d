"""Brings Ray Serve up and keeps it serving exactly what the deployments' rows say.

    start: Serve behind HAProxy ► the app at /v2 ► rounds: rows ► reconcile ► judge ► probe ► report

It owns no tables: the rows are the wish, Serve is the memory, and the Registry is told how it went. Rounds follow
one another on threads, so the latest wish wins; between them it sleeps until a deployment is requested, and looks
now and then by itself, since an app that falls ill tells nobody.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
import time
from collections.abc import Coroutine, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Final

import ray
from ray.exceptions import RayError

from ..actors.describe import Described
from ..actors.follower import Follower
from ..actors.lines.switchboard import Address, Switchboard
from ..actors.names import find, forget
from ..actors.owner import ATTACH_EVERY_S
from ..actors.wiring import Wiring
from ..artifacts.files import Files
from ..artifacts.folders import Folders
from ..core.inventory import Deployment, DeploymentState
from ..errors import HeadwaterError, Unavailable
from ..store.reader import Reader
from ..store.schema import DEPLOYMENTS
from ..wire.entries.models import DeploymentRequested
from ..wire.entries.nodes import NodeLeft
from ..wire.entries.quota import QuotaReclaimed
from ..wire.types import Entry
from .keepers import Keepers, Standing
from .rollout import FAILED, Rollout, Step, next_step, reason_of

if TYPE_CHECKING:  # Ray Serve reads its settings when it is first imported: only the Deployer's own process does
    from .apps import ModelStatus, ServeSpec

NAME: Final = "deployer"
LOOPBACK: Final = "127.0.0.1"
BUSY_EVERY_S: Final = 0.5
PLACES_EVERY_S: Final = 1.0
IDLE_EVERY_S: Final = 30.0
PROBE_WITHIN_S: Final = 10.0
START_TRIES: Final = 4
TROUBLE_MAX_S: Final = 30.0

log = logging.getLogger("headwater.deployer")


class Deployer:
    """See the module. `start` returns when the front door answers; called again after a failure it tries again."""

    def __init__(self, wiring: Wiring) -> None:
        self._wiring = wiring
        self._switchboard = Switchboard(self, wiring.secret)
        self._starting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._woken = asyncio.Event()
        self._follower: Follower | None = None
        self._rollouts: dict[str, Rollout] = {}
        self.last_event, self.last_event_us = "", 0
        self._described = Described(NAME, self)

    def __len__(self) -> int:
        return len(self._rollouts)

    @ray.method
    async def start(self) -> None:
        if self._starting is None or (self._starting.done() and self._starting.exception() is not None):
            self._starting = asyncio.create_task(self._start())
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        await self._say_what_answers()
        await self._open_front_door()
        self._reader = Reader(self._wiring.engine(read_only=True))
        self._folders = Folders(Files(self._wiring.folder / "artifacts"), self._wiring.folder / "folders")
        self._keepers = Keepers(self._reader, self._wiring.folder)
        position = await asyncio.to_thread(self._reader.position)
        self._follower = Follower(self._reader, position, self._heard)
        for work in (self._follower.run(), self._attach(self._follower), self._keep()):
            self._spawn(work)

    @ray.method
    async def line(self) -> Address:
        """Where the Conductor speaks to this process."""
        return await self._switchboard.address()

    def follow(self, after: int, upto: int, entries: list[Entry]) -> None:
        """A push of the Conductor's hub."""
        if self._follower is not None:
            self._follower.offer(after, upto, entries)

    @ray.method
    async def describe(self) -> dict[str, Any]:
        """How the actor is; its mailbox is the deployments that are on their way."""
        return self._described.now()

    def _heard(self, entries: list[Entry], upto: int) -> None:
        for entry in entries:
            if isinstance(entry.body, DeploymentRequested | QuotaReclaimed | NodeLeft):
                self.last_event, self.last_event_us = entry.type, entry.time_us
                self._woken.set()

    async def _attach(self, follower: Follower) -> None:
        """Keeps the Deployer among the hub's followers, over restarts of the Conductor too."""
        while True:
            try:
                cursor = await find("conductor").attach.remote(NAME)
                if cursor > follower.cursor:
                    follower.offer(cursor, cursor + 1, [])
            except (RayError, Unavailable):
                forget("conductor")
            await asyncio.sleep(ATTACH_EVERY_S)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Rounds.

    async def _open_front_door(self) -> None:
        for number in range(1, START_TRIES + 1):
            try:
                await asyncio.to_thread(self._start_serve)
                return
            except Exception as error:  # Serve raises whatever its controller met
                log.warning("Ray Serve did not start (try %d of %d): %s", number, START_TRIES, error)
                if number == START_TRIES:
                    remedy = "See HOME/ray for its logs; `headwater up` tries again."
                    raise Unavailable(f"Ray Serve did not start: {error}", remedy=remedy) from error
                await asyncio.sleep(2.0**number)

    async def _say_what_answers(self) -> None:
        """Rows of an earlier life of Serve say READY; where it begins anew nothing answers yet."""
        from . import apps

        if await asyncio.to_thread(apps.is_running):
            return
        for number in range(1, START_TRIES + 1):
            if await self._report("serving_began"):
                return
            await asyncio.sleep(2.0**number)
        raise Unavailable("The Registry does not answer", remedy="`headwater up` tries again.")

    def _start_serve(self) -> None:
        from . import apps

        apps.start(self._wiring.serve_port, token=self._token(), version=_version())

    async def _keep(self) -> None:
        trouble = 0
        while True:
            self._woken.clear()
            try:
                trouble, pause_s = 0, await self.round()
            except Exception:  # the controller may be restarting; the rows stay the wish
                trouble += 1
                pause_s = min(2.0**trouble, TROUBLE_MAX_S)
                log.exception("A round of the Deployer failed; the next one comes in %g s", pause_s)
            try:
                async with asyncio.timeout(pause_s):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def round(self) -> float:
        """Makes Serve run what the rows say, and reports; the seconds until it is worth looking again."""
        rows = await asyncio.to_thread(self._rows)
        self._rollouts = {name: one for name, one in self._rollouts.items() if name in {row.name for row in rows}}
        standing = await self._keepers.settle(rows)
        specs = [spec for row in rows if (spec := await self._spec(row, standing.get(row.name))) is not None]
        statuses = await asyncio.to_thread(self._reconcile, specs)
        served = {spec.name for spec in specs}
        looks = [await self._look_at(row, standing.get(row.name), statuses) for row in rows if row.name in served]
        return min(looks, default=IDLE_EVERY_S)

    async def _look_at(self, row: Deployment, here: Standing | None, statuses: Mapping[str, ModelStatus]) -> float:
        """The seconds until something may have changed."""
        if here is not None and not here.ray_nodes:
            await self._say_without_a_place(row, here.reason)
        elif await self._judge(row, statuses):
            return BUSY_EVERY_S
        is_whole = here is None or len(here.ray_nodes) == row.replicas_max
        return IDLE_EVERY_S if is_whole else PLACES_EVERY_S

    async def _say_without_a_place(self, row: Deployment, reason: str) -> None:
        """What it was to become once more when it has a place; one that answered fails."""
        self._rollouts[row.name] = Rollout.of(row, time.monotonic())
        if row.state is DeploymentState.READY or (row.state is DeploymentState.REQUESTED and reason):
            why = f"None of its replicas has a place. {reason}".strip()
            await self._report("deployment_failed", row.name, row.version, why)

    async def _judge(self, row: Deployment, statuses: Mapping[str, ModelStatus]) -> bool:
        """Whether the deployment is still on its way."""
        now_s = time.monotonic()
        rollout, status = self._rollouts.get(row.name), statuses.get(row.name)
        if rollout is None or not rollout.fits(row):  # handed over only now: what Serve said is of the one before
            if rollout is not None and rollout.version == row.version:
                await self._clear(row.name, status)
            self._rollouts[row.name] = Rollout.of(row, now_s)
            return True
        match next_step(row, rollout, status, now_s):
            case Step.PROBE:
                if not await asyncio.to_thread(self._answers, row) or not await self._report_ready(row):
                    return True
                self._rollouts[row.name] = rollout.came_up(now_s)
                return False
            case Step.FAIL:
                if await self._report("deployment_failed", row.name, row.version, reason_of(status)):
                    self._rollouts[row.name] = rollout.failed(now_s)
                return True
            case Step.RETRY:
                self._rollouts[row.name] = rollout.again(now_s)
                await self._clear(row.name, status)
                return True
            case Step.WAIT:
                return True
            case Step.NOTHING:
                return False

    async def _clear(self, name: str, status: ModelStatus | None) -> None:
        """Ends an app that failed, so that the next round hands it over afresh; one that still answers stays."""
        if status is not None and status.readiness == FAILED and not status.replicas:
            await asyncio.to_thread(_remove, name)

    def _rows(self) -> list[Deployment]:
        with self._reader.picture() as picture:
            rows: list[Deployment] = picture.rows("deployments", DEPLOYMENTS.c.state != DeploymentState.STOPPED)
        return rows

    async def _spec(self, row: Deployment, here: Standing | None) -> ServeSpec | None:
        """What Serve is told; None, reported, where the model's files are not there."""
        from .apps import ServeSpec

        try:
            folder = await asyncio.to_thread(self._folders.folder, row.digest)
        except (HeadwaterError, OSError) as error:
            await self._report("deployment_failed", row.name, row.version, str(error))
            return None
        return ServeSpec(
            name=row.name,
            version=str(row.version),
            digest=row.digest,
            folder=str(folder),
            min_replicas=row.replicas_min,
            max_replicas=row.replicas_max,
            seats=str(self._keepers.root / row.name) if here is not None else "",
            seated=len(here.ray_nodes) if here is not None else 0,
        )

    def _reconcile(self, specs: list[ServeSpec]) -> dict[str, ModelStatus]:
        from . import apps

        return apps.reconcile(specs, token=self._token(), version=_version())

    def _answers(self, row: Deployment) -> bool:
        """Whether that very version answers through the front door."""
        connection = http.client.HTTPConnection(LOOPBACK, self._wiring.serve_port, timeout=PROBE_WITHIN_S)
        try:
            connection.request("GET", f"/v2/models/{row.name}/versions/{row.version}/ready")
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    async def _report_ready(self, row: Deployment) -> bool:
        url = f"http://{LOOPBACK}:{self._wiring.serve_port}/v2/models/{row.name}"
        duration_us = max(0, time.time_ns() // 1_000 - row.requested_us)
        return await self._report("deployment_ready", row.name, row.version, url, duration_us)

    async def _report(self, method: str, *words: Any) -> bool:
        """Whether the Registry has taken it in; what it has not is said again in the next round."""
        try:
            await getattr(find("registry"), method).remote(*words)
        except (RayError, Unavailable):
            forget("registry")
            return False
        return True

    def _token(self) -> str:
        return (self._wiring.folder / "token").read_text().strip()


def _remove(name: str) -> None:
    from . import apps

    apps.remove_model(name)


def _version() -> str:
    try:
        return version("headwater")
    except PackageNotFoundError:
        return "0"
