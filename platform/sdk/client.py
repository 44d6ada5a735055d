"""The client: publish events, run flows and watch them, append to tables, predict. HTTP only; needs no Ray.

    hw = Client()                                  # finds the platform of this folder, or Client(url, token)
    run = hw.run("train_delay", {"month": 10})
    for entry in run.watch():                      # pushed, in order, ends when the run does
        print(entry.type)
    hw.models["delay"].predict({"distance": [1400.0]})

`Client` and `AsyncClient` are two faces of one core: the programs of `client_calls` say what is asked,
`client_stream` what a watch has seen. What they need is imported at first use, so that importing
this costs nothing.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeGuard, TypeVar

if TYPE_CHECKING:
    from pathlib import Path

    from ..wire import api
    from ..wire.calls import Progress
    from ..wire.types import JSON, Entry
    from . import bundle as code
    from . import client_asyncio, client_calls, client_data, client_home, client_http, client_stream
    from .client_calls import Program
    from .client_data import Array, Features, Rows
else:

    class _Deferred:
        """A module that is imported when its first name is asked for."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, name: str) -> Any:
            return getattr(importlib.import_module(self._name, __package__), name)

    api = _Deferred("..wire.api")
    code = _Deferred(".bundle")
    client_asyncio = _Deferred(".client_asyncio")
    client_calls = _Deferred(".client_calls")
    client_data = _Deferred(".client_data")
    client_home = _Deferred(".client_home")
    client_http = _Deferred(".client_http")
    client_stream = _Deferred(".client_stream")

T = TypeVar("T")
L = TypeVar("L")
H = TypeVar("H")

SOURCE = "/headwater/client"
STREAM_SILENCE_S = 60.0  # longer than several heartbeats: a stream that silent is dead


class Noun(Generic[L, H]):
    """`client.models()` lists them, `client.models["delay"]` is the one of that name."""

    def __init__(self, listing: Callable[..., L], handle: Callable[[str], H]) -> None:
        self._listing, self._handle = listing, handle

    def __call__(self, **filters: Any) -> L:
        return self._listing(**filters)

    def __getitem__(self, name: str) -> H:
        return self._handle(name)


# The face that blocks


class Client:
    """Safe for several threads. Every error is a HeadwaterError with the platform's own words and remedy."""

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        self._link = client_http.Link(client_home.find(url, token))
        self.runs = Noun(lambda **chosen: self._do(client_calls.runs(**chosen)), lambda run_id: Run(self, run_id))
        self.models = Noun(lambda: self._do(client_calls.models()), lambda name: ModelHandle(self, name))
        self.tables = Noun(lambda: self._do(client_calls.tables()), lambda name: TableHandle(self, name))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._link.close()

    def publish(self, event_type: str, data: JSON | None = None, **attributes: str | None) -> str:
        """The event's id, once it is durable. `id`, `source`, `subject` and others are CloudEvents attributes."""
        return self._do(client_calls.publish(event_of(event_type, data, attributes)))

    def run(self, flow: str, parameters: Mapping[str, JSON] | None = None, *, key: str | None = None) -> Run:
        """A run of `flow` (or `project/flow`). The same key again gives the same run."""
        return Run(self, self._do(client_calls.start(start_of(flow, parameters, key))))

    def watch(self, project: str | None = None, *, since: str | None = None) -> Generator[Entry, None, None]:
        """Every new entry of a project, or of all: from now on, or after the cursor `since`. Does not end."""
        return _entries(self.follow(project, since=since))

    def follow(
        self, project: str | None = None, *, since: str | None = None
    ) -> Generator[Entry | Progress, None, None]:
        """Like `watch`, with the progress of running steps in between."""
        since = since or cursor_of(self._do(client_calls.status()))
        return self._told(client_stream.Watch(watch_path(project), since=since))

    def flows(self) -> list[api.FlowView]:
        return self._do(client_calls.flows())

    def deployments(self) -> list[api.DeploymentView]:
        return self._do(client_calls.deployments())

    def event_types(self) -> list[api.EventType]:
        return self._do(client_calls.event_types())

    def dlq(self) -> list[api.DeadLetterSummary]:
        return self._do(client_calls.dead_letters())

    def dead_letter(self, letter_id: str) -> api.DeadLetterDetail:
        return self._do(client_calls.dead_letter(letter_id))

    def quota(self) -> api.QuotaView:
        return self._do(client_calls.quota())

    def order(self, kind: str, data: JSON | None = None) -> api.CommandView:
        """What became of a command to one of the owners, `quota.apply` for instance."""
        return self._do(client_calls.order(api.PostOrder(kind=kind, data=data, id=new_id())))

    def ready(self) -> api.Readiness:
        """Whether the parts that are needed answer, and what is wrong with those that do not."""
        return self._do(client_calls.ready())

    def status(self) -> api.Status:
        return self._do(client_calls.status())

    def deploy(self, path: str | Path) -> api.Deployed:
        """The code version of the folder or file, in use from now on; InvalidInput with file and line if refused."""
        return self._do(client_calls.deploy(packed(path)))

    def _do(self, program: Program[T]) -> T:
        reply: Any = None
        while True:
            try:
                call = program.send(reply)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            reply = self._link.ask(call)

    def _told(
        self, watch: client_stream.Watch, deadline: float | None = None
    ) -> Generator[Entry | Progress, None, None]:
        while not watch.ended:
            patience = _patience(deadline)
            patience()
            call = client_calls.Call("GET", watch.path, watch.connect())
            for chunk in self._link.stream(call, patience):
                yield from watch.feed(chunk)
                if watch.ended:
                    return
            time.sleep(watch.lost())


class Run:
    """One run, by its id."""

    def __init__(self, client: Client, run_id: str) -> None:
        self._client, self.id = client, run_id

    def __repr__(self) -> str:
        return f"Run({self.id!r})"

    def detail(self) -> api.RunDetail:
        return self._client._do(client_calls.run(self.id))

    @property
    def state(self) -> str:
        return self.detail().state

    @property
    def steps(self) -> dict[str, list[api.StepView]]:
        """The steps by name, in the order they were called."""
        return steps_of(self.detail())

    def watch(self, *, since: str = "") -> Generator[Entry, None, None]:
        """Every entry of the run, in order, without gap or repeat, until it has ended."""
        return _entries(self.follow(since=since))

    def follow(self, *, since: str = "") -> Generator[Entry | Progress, None, None]:
        """Like `watch`, with the progress of running steps in between."""
        return self._client._told(self._watch(since))

    def result(self, timeout: float | None = None) -> JSON:
        """What the flow gave back, once it has ended; raises RunFailed, or Unavailable after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        for _ in self._client._told(self._watch(""), deadline):
            pass
        return self._client._do(client_calls.result(self.id))

    def cancel(self, reason: str = "") -> None:
        self._client._do(client_calls.cancel(self.id, reason))

    def logs(self, step: str | None = None) -> str:
        """What the flow and its steps wrote; `step` narrows to the steps of one name."""
        return self._client._do(client_calls.logs(self.id, step))

    def _watch(self, since: str) -> client_stream.Watch:
        return client_stream.Watch(f"{client_calls.run_path(self.id)}/events", since=since)


class ModelHandle:
    def __init__(self, client: Client, name: str) -> None:
        self._client, self.name = client, name

    def predict(self, features: Features) -> dict[str, Array]:
        """The outputs by name. Features are a pa.Table, a dict of columns, or an array with a column per input."""
        return self._client._do(client_data.predict(self.name, features))


class TableHandle:
    def __init__(self, client: Client, name: str) -> None:
        self._client, self.name = client, name

    def append(self, rows: Rows, *, key: str | None = None, project: str = "") -> api.Appended:
        """One commit of the rows, streamed. The same key again makes no second commit."""
        stream = client_data.arrow_stream(rows)
        return self._client._do(client_calls.append(self.name, stream, key=key or new_id(), project=project))


# The face that awaits


class AsyncClient:
    """The same for asyncio: what blocks there is awaited here."""

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        self._link = client_asyncio.AsyncLink(client_home.find(url, token))
        self.runs = Noun(lambda **chosen: self._do(client_calls.runs(**chosen)), lambda run_id: AsyncRun(self, run_id))
        self.models = Noun(lambda: self._do(client_calls.models()), lambda name: AsyncModelHandle(self, name))
        self.tables = Noun(lambda: self._do(client_calls.tables()), lambda name: AsyncTableHandle(self, name))

    async def publish(self, event_type: str, data: JSON | None = None, **attributes: str | None) -> str:
        return await self._do(client_calls.publish(event_of(event_type, data, attributes)))

    async def run(self, flow: str, parameters: Mapping[str, JSON] | None = None, *, key: str | None = None) -> AsyncRun:
        return AsyncRun(self, await self._do(client_calls.start(start_of(flow, parameters, key))))

    async def watch(self, project: str | None = None, *, since: str | None = None) -> AsyncIterator[Entry]:
        """As of the first `anext`, or after the cursor `since`."""
        async for told in self.follow(project, since=since):
            if is_entry(told):
                yield told

    async def follow(self, project: str | None = None, *, since: str | None = None) -> AsyncIterator[Entry | Progress]:
        since = since or cursor_of(await self._do(client_calls.status()))
        async for told in self._told(client_stream.Watch(watch_path(project), since=since)):
            yield told

    def flows(self) -> Awaitable[list[api.FlowView]]:
        return self._do(client_calls.flows())

    def deployments(self) -> Awaitable[list[api.DeploymentView]]:
        return self._do(client_calls.deployments())

    def event_types(self) -> Awaitable[list[api.EventType]]:
        return self._do(client_calls.event_types())

    def dlq(self) -> Awaitable[list[api.DeadLetterSummary]]:
        return self._do(client_calls.dead_letters())

    def dead_letter(self, letter_id: str) -> Awaitable[api.DeadLetterDetail]:
        return self._do(client_calls.dead_letter(letter_id))

    def quota(self) -> Awaitable[api.QuotaView]:
        return self._do(client_calls.quota())

    def order(self, kind: str, data: JSON | None = None) -> Awaitable[api.CommandView]:
        return self._do(client_calls.order(api.PostOrder(kind=kind, data=data, id=new_id())))

    def ready(self) -> Awaitable[api.Readiness]:
        return self._do(client_calls.ready())

    def status(self) -> Awaitable[api.Status]:
        return self._do(client_calls.status())

    def deploy(self, path: str | Path) -> Awaitable[api.Deployed]:
        return self._do(client_calls.deploy(packed(path)))

    async def _do(self, program: Program[T]) -> T:
        reply: Any = None
        while True:
            try:
                call = program.send(reply)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            reply = await self._link.ask(call)

    async def _told(self, watch: client_stream.Watch, deadline: float | None = None) -> AsyncIterator[Entry | Progress]:
        import asyncio

        while not watch.ended:
            patience = _patience(deadline)
            patience()
            call = client_calls.Call("GET", watch.path, watch.connect())
            async with contextlib.aclosing(self._link.stream(call, patience)) as chunks:
                async for chunk in chunks:
                    for told in watch.feed(chunk):
                        yield told
                    if watch.ended:
                        return
            await asyncio.sleep(watch.lost())


class AsyncRun:
    def __init__(self, client: AsyncClient, run_id: str) -> None:
        self._client, self.id = client, run_id

    def detail(self) -> Awaitable[api.RunDetail]:
        return self._client._do(client_calls.run(self.id))

    async def watch(self, *, since: str = "") -> AsyncIterator[Entry]:
        async for told in self.follow(since=since):
            if is_entry(told):
                yield told

    def follow(self, *, since: str = "") -> AsyncIterator[Entry | Progress]:
        return self._client._told(self._watch(since))

    async def result(self, timeout: float | None = None) -> JSON:
        deadline = None if timeout is None else time.monotonic() + timeout
        async for _ in self._client._told(self._watch(""), deadline):
            pass
        return await self._client._do(client_calls.result(self.id))

    async def cancel(self, reason: str = "") -> None:
        await self._client._do(client_calls.cancel(self.id, reason))

    def logs(self, step: str | None = None) -> Awaitable[str]:
        return self._client._do(client_calls.logs(self.id, step))

    def _watch(self, since: str) -> client_stream.Watch:
        return client_stream.Watch(f"{client_calls.run_path(self.id)}/events", since=since)


class AsyncModelHandle:
    def __init__(self, client: AsyncClient, name: str) -> None:
        self._client, self.name = client, name

    def predict(self, features: Features) -> Awaitable[dict[str, Array]]:
        return self._client._do(client_data.predict(self.name, features))


class AsyncTableHandle:
    def __init__(self, client: AsyncClient, name: str) -> None:
        self._client, self.name = client, name

    def append(self, rows: Rows, *, key: str | None = None, project: str = "") -> Awaitable[api.Appended]:
        stream = client_data.arrow_stream(rows)
        return self._client._do(client_calls.append(self.name, stream, key=key or new_id(), project=project))


# What both say


def event_of(event_type: str, data: JSON, attributes: Mapping[str, str | None]) -> dict[str, JSON]:
    """A CloudEvent with an id and a source, made here where the caller gave none."""
    given = {name: text for name, text in attributes.items() if text is not None}
    ours = {"id": new_id(), "source": SOURCE, "datacontenttype": "application/json"}
    return {**ours, **given, "type": event_type, "data": data}


def start_of(flow: str, parameters: Mapping[str, JSON] | None, key: str | None) -> api.StartRun:
    project, _, name = flow.rpartition("/")
    return api.StartRun(flow=name, project=project or None, parameters=dict(parameters or {}), key=key or new_id())


def cursor_of(status: api.Status) -> str:
    return f"{status.store_epoch}:{status.position}"


def watch_path(project: str | None) -> str:
    from urllib.parse import quote

    return f"/v1/watch?project={quote(project, safe='')}" if project else "/v1/watch"


def packed(path: str | Path) -> bytes:
    from pathlib import Path

    return code.pack(code.bundle_of(Path(path)))


def steps_of(detail: api.RunDetail) -> dict[str, list[api.StepView]]:
    steps: dict[str, list[api.StepView]] = {}
    for step in detail.steps:
        steps.setdefault(step.name, []).append(step)
    return steps


def is_entry(told: Entry | Progress) -> TypeGuard[Entry]:
    return hasattr(told, "body")


def new_id() -> str:
    from ..wire.ids import uuid7

    return uuid7(time.time_ns() // 1000, os.urandom(10))


def _entries(told: Generator[Entry | Progress, None, None]) -> Generator[Entry, None, None]:
    with contextlib.closing(told):
        for one in told:
            if is_entry(one):
                yield one


def _patience(deadline: float | None) -> Callable[[], float]:
    """How long to wait for the next word; raises Unavailable once the deadline has passed."""

    def patience_s() -> float:
        if deadline is None:
            return STREAM_SILENCE_S
        left = deadline - time.monotonic()
        if left <= 0:
            from ..errors import Unavailable

            raise Unavailable("The run has not ended in the time given", remedy="Wait longer, or watch it.")
        return min(left, STREAM_SILENCE_S)

    return patience_s
