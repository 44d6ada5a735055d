"""The processes that run user code, as the Conductor's shell sees them: started, spoken to, seen to die.

FlowHosts and workers are detached actors on a node, asking Ray for no resources. Each is watched by one
call that never returns: when it fails, the process is gone. Word to one process keeps its order.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from .. import crash
from ..core.conductor import messages as m
from ..core.records.storage import StoredArtifact
from ..errors import HeadwaterError, Unavailable
from ..wire import calls
from ..wire.terms import Failure
from .environments import folder_of
from .foretold import Foretold
from .lines.directory import Directory
from .lines.line import Line
from .names import NAMESPACE, living
from .wiring import Wiring
from .work.ground import spare_log
from .work.post_mortem import cause_of, come_to, ended_for_memory

START_S: Final = 60.0
HELLO_S: Final = 10.0
ASK_AGAIN_S: Final = 0.2
DIE_WITHIN_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Begun:
    """A worker that is to start: its name, where, and with which packages in which folder."""

    name: str
    placed: Any = None
    env: tuple[str, ...] = ()
    packages: Path | None = None


log = logging.getLogger("headwater.crew")


class Crew:
    """Handles of living hosts and workers. What happens to them is told as events of the Conductor's machine."""

    def __init__(
        self,
        wiring: Wiring,
        tell: Callable[[m.Event], None],
        lines: Directory,
        *,
        ray_node_of: Callable[[str], str],
        charged: Callable[[list[calls.Report]], Awaitable[tuple[StoredArtifact, ...]]],
    ) -> None:
        self._charged = charged
        self._wiring, self._tell, self._lines, self._ray_node_of = wiring, tell, lines, ray_node_of
        self._hosts: dict[str, Line] = {}
        self._workers: dict[str, Line] = {}
        self._handles: dict[str, Any] = {}  # of workers
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_work: dict[str, list[calls.AttemptOrder]] = {}
        self._foretold = Foretold()
        self._out_of_memory = ended_for_memory()
        self._starting_hosts = 0
        self._starting_blank: set[str] = set()

    # What a restart finds.

    async def reconcile(self) -> list[m.WorkerJoined]:
        """Ends FlowHosts of an earlier life; the workers that lived on, with what they say of themselves."""
        for name in living("host:"):
            _kill(ray.get_actor(name, namespace=NAMESPACE))
        found: list[m.WorkerJoined] = []
        self._clear_spares(living("worker:"))
        for name in living("worker:"):
            handle = ray.get_actor(name, namespace=NAMESPACE)
            try:
                worker: str = await asyncio.wait_for(handle.hello.remote(), HELLO_S)
                described: dict[str, Any] = await asyncio.wait_for(handle.describe.remote(), HELLO_S)
            except (RayError, TimeoutError):
                _kill(handle)
                continue
            self._keep_worker(worker, name, handle)
            found.append(
                m.WorkerJoined(worker, name.split(":")[1], None, described["code_version"], tuple(described["env"]))
            )
        return found

    def _clear_spares(self, workers: list[str]) -> None:
        """Files that workers of an earlier life had kept ready."""
        kept = {spare_log(self._wiring.folder, name) for name in workers}
        for spare in (self._wiring.folder / "logs" / "spare").glob("*.log"):
            if spare not in kept:
                spare.unlink(missing_ok=True)

    # Hosts.

    def start_host(self) -> None:
        """A blank FlowHost, unless one is on its way already."""
        if not self._starting_hosts:
            self._starting_hosts += 1
            self._spawn(self._start_host())

    async def _start_host(self) -> None:
        from .roster import flow_host

        host = uuid.uuid4().hex[:12]
        handle, line = flow_host(self._wiring, host), self._lines.line(f"host:{host}")
        try:
            await asyncio.wait_for(handle.ready.remote(), START_S)
            lost = (await line.open()).lost
        except (RayError, TimeoutError, Unavailable) as error:
            log.error("A FlowHost did not start: %s", error)
            self._lines.drop(f"host:{host}")
            _kill(handle)
            self._starting_hosts -= 1
            await asyncio.sleep(1.0)
            self.start_host()
            return
        self._starting_hosts -= 1
        self._hosts[host] = line
        self._tell(m.HostJoined(host))
        self._spawn(self._watch_host(host, handle, lost))

    async def _watch_host(self, host: str, handle: Any, lost: asyncio.Future[None]) -> None:
        """A host that is alive while its line is lost is ended: words to it may be lost as well."""
        watch = asyncio.ensure_future(handle.watch.remote())
        await asyncio.wait((watch, lost), return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait((watch,), timeout=DIE_WITHIN_S)
        try:
            if not watch.done():
                _kill(handle)
            await watch
        except RayError as error:
            self._hosts.pop(host, None)
            self._lines.drop(f"host:{host}")
            self._tell(m.HostLost(host, _cause(error)))

    def end_host(self, host: str) -> None:
        handle = self._hosts.pop(host, None)
        if handle is not None:
            _kill(handle)

    def execute(self, host: str, order: calls.RunOrder) -> None:
        self._to_host(host, "execute", order)

    def deliver(self, host: str, answers: list[calls.Answer]) -> None:
        self._to_host(host, "deliver", answers)

    def close_run(self, host: str, run_id: str, fence: int, reason: str) -> None:
        self._to_host(host, "close", run_id, fence, reason)

    def _to_host(self, host: str, method: str, *words: Any) -> None:
        line = self._hosts.get(host)
        if line is not None:  # a host that is gone is told of by its watch
            line.tell(method, *words)

    # Workers.

    def start_worker(self, node: str, fence: int | None, env: tuple[str, ...] = ()) -> None:
        """A worker for that attempt, with the packages that its step asks for; without a fence a blank one."""
        if fence is None:
            if node in self._starting_blank:
                return
            self._starting_blank.add(node)
        self._spawn(self._start_worker(node, fence, env))

    async def _start_worker(self, node: str, fence: int | None, env: tuple[str, ...]) -> None:
        from .roster import worker

        name = f"{node}:{uuid.uuid4().hex[:12]}"
        try:
            packages = await asyncio.to_thread(folder_of, self._wiring.folder, env) if env else None
            handle = worker(self._wiring, Begun(name, self._place(node), env, packages))
            incarnation: str = await asyncio.wait_for(handle.hello.remote(), START_S)
        except HeadwaterError as error:
            if fence is not None:
                cause = Failure(kind="bad_environment", message=str(error))
                self._tell(m.WorkerNotStarted(fence, str(error), cause))
            return
        except (RayError, TimeoutError) as error:
            log.error("A worker did not start on %s: %s", node, error)
            if fence is not None:
                self._tell(m.WorkerNotStarted(fence, f"no worker started on node {node}: {_cause(error)}"))
            return
        finally:
            if fence is None:
                self._starting_blank.discard(node)
        self._keep_worker(incarnation, f"worker:{name}", handle)
        self._tell(m.WorkerJoined(incarnation, node, fence, env=env))

    def _place(self, node: str) -> Any:
        ray_node = self._ray_node_of(node)
        return NodeAffinitySchedulingStrategy(ray_node, soft=False) if ray_node else None

    def _keep_worker(self, worker: str, name: str, handle: Any) -> None:
        self._workers[worker] = self._lines.line(name)
        self._handles[worker] = handle
        self._spawn(self._watch_worker(worker, name, handle))

    async def _watch_worker(self, worker: str, name: str, handle: Any) -> None:
        try:
            await handle.watch.remote()
        except RayError as error:
            self._workers.pop(worker, None)
            self._handles.pop(worker, None)
            self._lines.drop(name)
            cause = await asyncio.to_thread(self._examine, name, self._at_work.pop(worker, []))
            self._tell(m.WorkerLost(worker, _cause(error), cause))

    def _examine(self, worker: str, orders: list[calls.AttemptOrder]) -> Failure | None:
        """What the one attempt that the process was busy with has died of, where that can be told. A last word that
        passed by us may still lie in the file that was kept ready."""
        before, self._out_of_memory = self._out_of_memory, ended_for_memory()
        spare = spare_log(self._wiring.folder, worker)
        if len(orders) != 1:
            spare.unlink(missing_ok=True)
            return None
        order = orders[0]
        log_file = self._wiring.folder / "logs" / "runs" / order.run_id / f"{order.ordinal}.{order.attempt}.log"
        come_to(spare, log_file)
        return cause_of(log_file, order.name, no_memory=self._out_of_memory > before)

    def foretell(self, worker: str, orders: list[calls.AttemptOrder]) -> None:
        """To be got ready while the lease is being written: one order, by a worker that knows its code."""
        line = self._workers.get(worker)
        if len(orders) == 1 and line is not None and worker in self._at_work:
            self._foretold.say(worker, line, orders[0])

    def dispatch(self, worker: str, orders: list[calls.AttemptOrder]) -> None:
        """To be run one after the other."""
        line = self._workers.get(worker)
        if orders and line is not None:  # a worker that is gone is told of by its watch
            self._at_work[worker] = orders
            asked = self._foretold.begin(worker, line, orders) or line.ask("run", orders)
            self._spawn(self._run(worker, orders, asked))

    async def _run(self, worker: str, orders: list[calls.AttemptOrder], asked: Awaitable[list[calls.Report]]) -> None:
        """Asks for what has no report yet, also over a line that was lost: a worker runs a fence once, and gives its
        report again."""
        while True:
            try:
                orders = await self._heard(worker, orders, await asked)
            except Unavailable:
                await asyncio.sleep(ASK_AGAIN_S)
            line = self._workers.get(worker)
            if not orders or line is None:
                return
            asked = line.ask("run", orders)

    async def _heard(
        self, worker: str, orders: list[calls.AttemptOrder], reports: list[calls.Report]
    ) -> list[calls.AttemptOrder]:
        """Tells what was reported; the orders that are left."""
        crash.at("dispatch.answer")
        reported = {report.fence for report in reports}
        left = [order for order in orders if order.fence not in reported]
        if self._at_work.get(worker) is orders:
            self._at_work[worker] = left
        self._tell(m.Reported(tuple(reports), await self._charged(reports)))
        return left

    def cancel(self, worker: str, fence: int, grace_s: float) -> None:
        line = self._workers.get(worker)
        if line is not None:
            line.tell("cancel", fence, grace_s)

    def preempt(self, worker: str, fence: int, grace_s: float) -> None:
        line = self._workers.get(worker)
        if line is not None:
            line.tell("preempt", fence, grace_s)

    def begin(self, worker: str, fence: int, address: str) -> None:
        line = self._workers.get(worker)
        if line is not None:
            line.tell("begin", fence, address)

    def end_worker(self, worker: str) -> None:
        """One that did not end as it was told; its watch tells of the death."""
        handle = self._handles.get(worker)
        if handle is not None:
            _kill(handle)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("crew: %s", error, exc_info=error)


def _kill(handle: Any) -> None:
    ray.kill(handle, no_restart=True)


def _cause(error: BaseException) -> str:
    """The first line of what Ray says of a death."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
