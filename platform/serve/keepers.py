"""The runs that keep places for replicas: started, ended and read for the Deployer.

The flow is the platform's own (`keeping.py`), deployed to each project whose deployments lease devices.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from ray.exceptions import RayError

from ..actors.names import find, forget
from ..artifacts.files import Files
from ..core.inventory import Deployment
from ..core.records.attempts import Attempt, AttemptState
from ..core.records.runs import Run, RunState
from ..core.records.steps import Step, StepState
from ..core.registry.deploys import Code
from ..errors import Unavailable
from ..sdk.deploying.bundle import bundle_of, code_version
from ..sdk.deploying.manifest import manifest_of
from ..store.reader import Picture, Reader
from ..store.schema import ATTEMPTS, FLOWS, NODES, RUNS, STEPS
from ..wire.calls import Order
from .keeping import FLOW, MODULE, code_for
from .seating import Wish, change, last_failure, place_of, wishes

SOURCE: Final = "headwater/deployer"
PRINCIPAL: Final = "headwater"
FORGET_AFTER_S: Final = 60.0
SEATS: Final = "HEADWATER_SEATS"  # the folder in which Serve's controller reads where replicas may go

log = logging.getLogger("headwater.deployer")


class Standing(NamedTuple):
    """The places of a deployment: the Ray nodes of those that are kept now, and why the others are not."""

    ray_nodes: tuple[str, ...] = ()
    reason: str = ""


class Keepers:
    def __init__(self, reader: Reader, home: Path) -> None:
        self._reader, self._home = reader, home
        self._deployed: set[str] = set()  # projects that have the flow

    @property
    def root(self) -> Path:
        return self._home / "serving"

    async def settle(self, rows: Sequence[Deployment]) -> dict[str, Standing]:
        """Asks for what is missing and ends what is not wanted; how each deployment with leases stands, by name."""
        wanted = wishes(rows, str(self.root))
        seen = await asyncio.to_thread(self._look, wanted)
        if not wanted and not seen.runs:
            return {}
        changes = change(wanted, seen.runs, time.time_ns() // 1_000)
        for run in changes.end:
            await self._order("run.cancel", run.project, {"run_id": run.id, "reason": "its replica is not wanted"})
        refused = {wish.model: why for wish in changes.start if (why := await self._start(wish))}
        standing = _standing(wanted, seen, refused)
        await asyncio.to_thread(tell_controller, standing)
        await asyncio.to_thread(self._forget_seats, seen.fences)
        return standing

    def _forget_seats(self, fences: frozenset[int]) -> None:
        """Files of attempts that have died: no replica takes them, and nobody else clears them away."""
        before_s = time.time() - FORGET_AFTER_S
        for path in self.root.glob("*/*.*"):
            if path.stem.isdigit() and int(path.stem) not in fences:
                with suppress(FileNotFoundError):  # its keeper clears it away itself
                    if path.stat().st_mtime < before_s:
                        path.unlink()

    async def _start(self, wish: Wish) -> str:
        """Why it is not started; empty where it is."""
        if refused := await self._deploy(wish.project):
            return refused
        data = {"flow": f"{wish.project}/{FLOW}", "parameters": msgspec.to_builtins(wish.place)}
        return await self._order("run.start", wish.project, data | {"labels": {"model": wish.model}})

    async def _order(self, kind: str, project: str, data: dict[str, Any], *, to: str = "conductor") -> str:
        """Why the owner refuses; empty where it does as it is told."""
        order = Order(source=SOURCE, id=uuid.uuid4().hex, kind=kind, principal=PRINCIPAL, project=project, data=data)
        try:
            answer: dict[str, Any] = await find(to).order.remote(order)
        except RayError as error:
            forget(to)
            raise Unavailable(f"The {to} does not answer: {error}", remedy="It is asked again.") from error
        refused = str(answer["refused"]["reason"]) if "refused" in answer else ""
        if refused:
            log.warning("%s was refused: %s", kind, refused)
        return refused

    # The flow itself.

    async def _deploy(self, project: str) -> str:
        """The flow in that project, in the version that this release brings; why it cannot be there, or nothing."""
        if project in self._deployed:
            return ""
        code = await asyncio.to_thread(self._packed, project)
        if code is not None:
            refused = await self._order("code.deploy", project, msgspec.to_builtins(code), to="registry")
            if refused:
                return refused
            await find("conductor").catch_up.remote()
        self._deployed.add(project)
        return ""

    def _packed(self, project: str) -> Code | None:
        """None where it is deployed already."""
        with tempfile.TemporaryDirectory(prefix="headwater-serving-") as name:
            folder = Path(name) / "code"
            folder.mkdir()
            (folder / MODULE).write_text(code_for(project))
            bundle = bundle_of(folder)
            version = code_version(bundle)
            with self._reader.picture() as picture:
                there = picture.rows("flows", (FLOWS.c.project == project) & (FLOWS.c.name == FLOW))
            if any(flow.code_version == version for flow in there):
                return None
            files = Files(self._home / "artifacts")
            digest = files.put_tree(bundle.folder, bundle.names)
            return Code(version, digest, manifest_of(folder))

    # What there is.

    def _look(self, wanted: Sequence[Wish]) -> _Seen:
        since_us = min((wish.since_us for wish in wanted), default=time.time_ns() // 1_000)
        with self._reader.picture() as picture:
            recent = (RUNS.c.state == RunState.FAILED) & (RUNS.c.created_us >= since_us)
            living = RUNS.c.ended_us.is_(None)
            runs: list[Run] = picture.rows("runs", (RUNS.c.flow == FLOW) & (living | recent))
            of = [run.id for run in runs if not run.state.ended]
            attempts: list[Attempt] = picture.rows(
                "attempts", ATTEMPTS.c.run_id.in_(of) & ATTEMPTS.c.ended_us.is_(None)
            )
            fences = frozenset(attempt.fence for attempt in attempts)
            return _Seen(runs, _kept(picture, attempts), _held(picture, of), fences)


class _Seen(NamedTuple):
    """Runs of the flow; by run the Ray node on which its place is kept, or why it waits."""

    runs: list[Run]
    kept: dict[str, str]
    held: dict[str, str]
    fences: frozenset[int]


def _kept(picture: Picture, attempts: Sequence[Attempt]) -> dict[str, str]:
    ray_nodes = {node.id: node.ray_node for node in picture.rows("nodes", NODES.c.state != "LEFT")}
    staying = [one for one in attempts if one.state is AttemptState.RUNNING and one.preemption is None]
    return {attempt.run_id: ray_nodes[attempt.node] for attempt in staying if attempt.node in ray_nodes}


def _held(picture: Picture, run_ids: list[str]) -> dict[str, str]:
    steps: list[Step] = picture.rows("steps", STEPS.c.run_id.in_(run_ids) & (STEPS.c.state == StepState.WAITING))
    return {step.run_id: step.held_reason for step in steps}


def _standing(wanted: Sequence[Wish], seen: _Seen, refused: Mapping[str, str]) -> dict[str, Standing]:
    run_of = {(run.project, place_of(run.parameters)): run.id for run in seen.runs if not run.state.ended}
    found: dict[str, Standing] = {}
    for wish in wanted:
        before = found.get(wish.model, Standing())
        run_id = run_of.get((wish.project, wish.place), "")
        node = seen.kept.get(run_id)
        if node is not None:
            found[wish.model] = before._replace(ray_nodes=(*before.ray_nodes, node))
        else:
            reason = seen.held.get(run_id) or last_failure(wish, seen.runs) or refused.get(wish.model, before.reason)
            found[wish.model] = before._replace(reason=reason)
    return found


def tell_controller(standing: Mapping[str, Standing]) -> None:
    """Where Serve may place replicas that lease devices: a file for each deployment, read by its controller."""
    if SEATS not in os.environ:
        return
    folder = Path(os.environ[SEATS])
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in folder.iterdir():
        if path.name not in standing:
            path.unlink(missing_ok=True)
    for name, here in standing.items():
        text = "".join(f"{node} {count}\n" for node, count in sorted(Counter(here.ray_nodes).items()))
        path = folder / name
        if not path.exists() or path.read_text() != text:
            draft = folder / f".{name}"
            draft.write_text(text)
            draft.rename(path)
