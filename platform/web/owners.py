"""The owners over Ray: orders, appends, and how each actor is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

import msgspec
import pyarrow as pa
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError

from ..actors.names import find, forget, living
from ..data.write import WrittenFile, discard, write_files
from ..errors import Conflict, HeadwaterError, InvalidInput, Unavailable
from ..wire.api.quota import Simulated, StepExplained
from ..wire.api.status import ActorView, FlowMetrics
from ..wire.api.tables import Appended
from ..wire.calls import Order
from ..wire.terms import JSON
from .seams import Append, Done, Refused

NEEDED: Final = ("conductor", "scheduler", "gpu_pool", "registry")
ALIVE: Final = "alive"
DESCRIBE_TIMEOUT_S: Final = 2.0
APPEND_TIMEOUT_S: Final = 300.0
SCHEDULER_TIMEOUT_S: Final = 30.0
AGAIN_AFTER_S: Final = (0.2, 0.5, 1.0, 2.0, 3.0)  # an owner that died is back after four or five seconds


CONDUCTOR: Final = "conductor"
CATCH_UP_WITHIN_S: Final = 2.0


class Gone(Unavailable):
    """The actor went away while it was asked; it may have heard."""


class RayOwners:
    """An `Owners` on the named actors of this cluster."""

    async def order(self, owner: str, order: Order) -> Done | Refused:
        """Asked again where the owner goes away meanwhile: the same order is obeyed once, and answered the same."""
        answer = await _ordered(owner, order)
        if owner != CONDUCTOR:
            await _heard_by_the_conductor()
        refused = answer.get("refused")
        return msgspec.convert(refused, Refused) if refused is not None else Done(result=answer.get("done"))

    async def append(self, append: Append) -> Appended | Refused:
        """Writes the data files here and has the TableWriter commit them."""
        try:
            async with asyncio.timeout(APPEND_TIMEOUT_S):
                said = await _appended(append)
        except TimeoutError:
            what = f"The append to {append.table} was not committed within {APPEND_TIMEOUT_S:g} s"
            raise Unavailable(what, remedy="Ask again with the same key: it makes one commit.") from None
        return msgspec.convert({**said, "commit_key": append.key}, Appended)

    async def artifacts_gone(self, digests: list[str]) -> int:
        count: int = await ask(CONDUCTOR, "artifacts_gone", digests)
        return count

    async def logs_counted(self, size_bytes: dict[str, int]) -> None:
        await ask(CONDUCTOR, "logs_counted", size_bytes)

    async def describe(self) -> list[ActorView]:
        names = await asyncio.to_thread(living, "")
        return list(await asyncio.gather(*map(_view, names)))

    async def ready(self) -> dict[str, str]:
        views = await asyncio.gather(*map(_view, NEEDED))
        return {view.name: "ok" if view.state == ALIVE else view.state for view in views}

    async def flow_metrics(self) -> list[FlowMetrics]:
        return msgspec.convert(await ask("views", "flow_metrics"), list[FlowMetrics])

    async def explain_step(self, step_id: str) -> StepExplained | None:
        said = await ask("scheduler", "explain", step_id, within_s=SCHEDULER_TIMEOUT_S)
        return msgspec.convert(said, StepExplained) if said else None

    async def simulate_quota(self, scenario: dict[str, JSON]) -> Simulated:
        return msgspec.convert(await ask("scheduler", "simulate", scenario, within_s=SCHEDULER_TIMEOUT_S), Simulated)


async def ask(actor: str, method: str, *words: Any, within_s: float | None = None) -> Any:
    """The actor's answer; our own errors as it raised them, Unavailable where none came."""
    handle = await asyncio.to_thread(find, actor)
    try:
        async with asyncio.timeout(within_s):
            return await getattr(handle, method).remote(*words)
    except RayTaskError as error:
        if isinstance(error.cause, HeadwaterError):
            raise error.cause from None
        raise
    except (RayActorError, GetTimeoutError) as error:
        forget(actor)
        remedy = "Try again in a moment; `headwater actors` shows how it is."
        raise Gone(f"The actor {actor!r} does not answer now ({type(error).__name__})", remedy=remedy) from None


async def _heard_by_the_conductor() -> None:
    """So that whoever deploys and then publishes finds the new triggers at work. Where it is away, it reads the log."""
    with suppress(Unavailable, RayError, TimeoutError):
        await ask(CONDUCTOR, "catch_up", within_s=CATCH_UP_WITHIN_S)


async def _ordered(owner: str, order: Order) -> dict[str, Any]:
    answer: dict[str, Any]
    for pause_s in AGAIN_AFTER_S:
        try:
            answer = await ask(owner, "order", order)
        except Gone:
            await asyncio.sleep(pause_s)
        else:
            return answer
    answer = await ask(owner, "order", order)
    return answer


async def _view(name: str) -> ActorView:
    try:
        said = await ask(name, "describe", within_s=DESCRIBE_TIMEOUT_S)
    except TimeoutError:
        return ActorView(name=name, state=f"no answer within {DESCRIBE_TIMEOUT_S:g} s")
    except Unavailable as error:
        return ActorView(name=name, state=error.what)
    except RayError:
        return ActorView(name=name, state="starting")
    return msgspec.convert({**said, "state": said.get("trouble") or ALIVE}, ActorView, strict=False)


async def _appended(append: Append) -> dict[str, Any]:
    with await asyncio.to_thread(pa.memory_map, append.path) as source:
        stream = await asyncio.to_thread(_opened, source)
        target = await ask("table_writer", "prepare", append.table, stream.schema, append.project, append.key)
        files = await asyncio.to_thread(_write, target, stream)
    author = (append.key, append.project, append.principal)
    try:
        said: dict[str, Any] = await ask("table_writer", "append", append.table, files, *author)
    except Conflict:  # refused: no snapshot has them
        await asyncio.to_thread(discard, files)
        raise
    return said


def _opened(source: pa.MemoryMappedFile) -> pa.RecordBatchStreamReader:
    try:
        return pa.ipc.open_stream(source)
    except pa.ArrowInvalid as error:
        what = f"The body is no Arrow IPC stream: {error}"
        raise InvalidInput(what, remedy="Write it with pa.ipc.new_stream.") from None


def _write(target: Any, stream: pa.RecordBatchStreamReader) -> list[WrittenFile]:
    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from stream
        except pa.ArrowInvalid as error:
            raise InvalidInput(f"The Arrow IPC stream breaks off: {error}", remedy="Send it whole.") from None

    return list(write_files(target, batches()))
