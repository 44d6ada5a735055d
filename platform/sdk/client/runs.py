"""Runs: started, watched, asked for their result, cancelled."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from typing import TYPE_CHECKING, Literal, TypeVar, overload
from urllib.parse import quote, urlencode

import msgspec

from ...errors import HeadwaterError, Unavailable
from ...wire.api.artifacts import LogText
from ...wire.api.commands import CommandView
from ...wire.api.runs import CancelRun, RunDetail, RunSummary, Started, StartRun
from ...wire.api.steps import StepView
from ...wire.calls import Progress
from ...wire.labels import checked as checked_labels
from ...wire.terms import JSON, Failure
from ...wire.types import Entry
from .call import Call, Program, checked, get, in_json, listing, post
from .ids import new_id
from .logs import LogWatch
from .orders import order
from .steps import AsyncStep, Step
from .subscription import Subscription
from .watch import Watch, entries, is_entry

if TYPE_CHECKING:
    from .async_link import AsyncLink
    from .async_subscription import AsyncSubscription
    from .link import Link

S = TypeVar("S", Step, AsyncStep)


class RunFailed(HeadwaterError):
    """A run ended without success: `state` says how, `failure` why."""

    def __init__(self, run_id: str, state: str, failure: Failure | None) -> None:
        cause = f": {failure.cause_type} {failure.message}".replace(":  ", ": ") if failure else ""
        super().__init__(f"Run {run_id} ended {state}{cause}", remedy=f"See `headwater run logs {run_id}`.")
        self.run_id, self.state, self.failure = run_id, state, failure

    def __reduce__(self) -> tuple[object, ...]:
        return RunFailed, (self.run_id, self.state, self.failure)


class Run:
    """One run, by its id."""

    def __init__(self, link: Link, run_id: str) -> None:
        self._link, self.id = link, run_id

    def __repr__(self) -> str:
        return f"Run({self.id!r})"

    def detail(self) -> RunDetail:
        """What it is, with its first 1,000 steps; `steps` has them all."""
        return self._link.do(run(self.id))

    @property
    def state(self) -> str:
        return self.detail().state

    @property
    def steps(self) -> dict[str, list[Step]]:
        """The steps by name, in the order they were called."""
        detail = self._link.do(whole(self.id))
        return by_name([Step(self._link, detail, view) for view in detail.steps])

    def watch(self, *, since: str = "") -> Generator[Entry, None, None]:
        """Every entry of the run, in order, without gap or repeat, until it has ended."""
        return entries(self.follow(since=since))

    def follow(self, *, since: str = "") -> Generator[Entry | Progress, None, None]:
        """Like `watch`, with the progress of running steps in between."""
        return self._link.told(self._watch(since))

    def on_change(self, callback: Callable[[Entry], object], *, since: str = "") -> Subscription:
        """Calls back for each entry, in a thread of its own, until the run has ended, for which `.wait()` waits."""
        return Subscription(self._link, self._watch(since), callback)

    def result(self, timeout: float | None = None) -> JSON:
        """What the flow gave back, once it has ended; raises RunFailed, or Unavailable after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        for _ in self._link.told(self._watch(""), deadline):
            pass
        return self._link.do(result(self.id))

    def cancel(self, reason: str = "") -> None:
        self._link.do(cancel(self.id, reason))

    def resume(self, *, same_code: bool = False) -> Run:
        """A new run that reuses what this one has finished, where code and input are the same."""
        return Run(self._link, self._link.do(resume(self.id, same_code=same_code)))

    def accept(self, value: JSON | None = None, step: str = "") -> None:
        """For a run that needs attention: the lost attempt did its work, and this is what it gave."""
        self._link.do(say("run.accept", self.id, step, value=value))

    def retry(self, step: str = "", *, force: bool = False) -> Run:
        """The run in which the step, by name or key, is tried again: this one where it needs attention (`force` where
        the lost process may still live). One that failed or was cancelled is resumed with the same code instead, and
        does that step again however it had ended."""
        return Run(self._link, self._link.do(retry(self.id, step, force=force)))

    def fail(self, reason: str = "", step: str = "") -> None:
        """For a run that needs attention: the step has failed."""
        self._link.do(say("run.fail", self.id, step, reason=reason))

    @overload
    def logs(self, step: str | None = None, *, follow: Literal[False] = False) -> str: ...
    @overload
    def logs(self, step: str | None = None, *, follow: Literal[True]) -> Generator[LogText, None, None]: ...
    def logs(self, step: str | None = None, *, follow: bool = False) -> str | Generator[LogText, None, None]:
        """What the flow and its steps wrote; `step` narrows to the steps of one name. With `follow` text by text as it
        is written, until the run has ended."""
        return self._link.told(LogWatch(log_path(self.id, step, follow="true"))) if follow else self._text(step)

    def _text(self, step: str | None) -> str:
        return self._link.do(logs(self.id, step))

    def _watch(self, since: str) -> Watch:
        return Watch(f"{run_path(self.id)}/events", since=since)


class AsyncRun:
    def __init__(self, link: AsyncLink, run_id: str) -> None:
        self._link, self.id = link, run_id

    def detail(self) -> Awaitable[RunDetail]:
        return self._link.do(run(self.id))

    async def steps(self) -> dict[str, list[AsyncStep]]:
        detail = await self._link.do(whole(self.id))
        return by_name([AsyncStep(self._link, detail, view) for view in detail.steps])

    async def watch(self, *, since: str = "") -> AsyncIterator[Entry]:
        async for told in self.follow(since=since):
            if is_entry(told):
                yield told

    def follow(self, *, since: str = "") -> AsyncIterator[Entry | Progress]:
        return self._link.told(self._watch(since))

    def on_change(self, callback: Callable[[Entry], object], *, since: str = "") -> AsyncSubscription:
        """Calls back, or awaits, for each entry, in a task of its own, until the run has ended, for which `.wait()`
        waits."""

        async def opened() -> Watch:
            return self._watch(since)

        from .async_subscription import AsyncSubscription  # asyncio: only who awaits pays for it

        return AsyncSubscription(self._link, opened, callback)

    async def result(self, timeout: float | None = None) -> JSON:
        deadline = None if timeout is None else time.monotonic() + timeout
        async for _ in self._link.told(self._watch(""), deadline):
            pass
        return await self._link.do(result(self.id))

    async def cancel(self, reason: str = "") -> None:
        await self._link.do(cancel(self.id, reason))

    async def resume(self, *, same_code: bool = False) -> AsyncRun:
        return AsyncRun(self._link, await self._link.do(resume(self.id, same_code=same_code)))

    async def accept(self, value: JSON | None = None, step: str = "") -> None:
        await self._link.do(say("run.accept", self.id, step, value=value))

    async def retry(self, step: str = "", *, force: bool = False) -> AsyncRun:
        return AsyncRun(self._link, await self._link.do(retry(self.id, step, force=force)))

    async def fail(self, reason: str = "", step: str = "") -> None:
        await self._link.do(say("run.fail", self.id, step, reason=reason))

    @overload
    def logs(self, step: str | None = None, *, follow: Literal[False] = False) -> Awaitable[str]: ...
    @overload
    def logs(self, step: str | None = None, *, follow: Literal[True]) -> AsyncIterator[LogText]: ...
    def logs(self, step: str | None = None, *, follow: bool = False) -> Awaitable[str] | AsyncIterator[LogText]:
        if follow:
            return self._link.told(LogWatch(log_path(self.id, step, follow="true")))
        return self._link.do(logs(self.id, step))

    def _watch(self, since: str) -> Watch:
        return Watch(f"{run_path(self.id)}/events", since=since)


def start(asked: StartRun) -> Program[str]:
    """The id of the run. Asking again with its key gives the same run."""
    reply = yield Call("POST", "/v1/runs", {"Content-Type": "application/json"}, msgspec.json.encode(asked))
    body = checked(reply)
    if reply.status != 202:
        return msgspec.json.decode(body, type=Started).run_id
    command = msgspec.json.decode(body, type=CommandView)
    what = f"The platform has not started '{asked.flow}' yet (command {command.id})"
    raise Unavailable(what, remedy="Ask again with the same key: it starts one run.")


def start_of(
    flow: str, parameters: Mapping[str, JSON] | None, key: str | None, labels: Mapping[str, str] | None = None
) -> StartRun:
    project, _, name = flow.rpartition("/")
    given = dict(parameters or {})
    for parameter, value in given.items():
        in_json(value, place=f"Parameter {parameter!r} of {flow}")
    return StartRun(
        flow=name,
        project=project or None,
        parameters=given,
        key=key or new_id(),
        labels=checked_labels(labels),
    )


def runs(labels: Mapping[str, str] | None = None, **filters: object) -> Program[list[RunSummary]]:
    if labels:
        filters["label"] = [f"{name}={text}" for name, text in checked_labels(labels).items()]
    return listing("/v1/runs", RunSummary, **filters)


def run(run_id: str) -> Program[RunDetail]:
    return get(run_path(run_id), RunDetail)


def whole(run_id: str) -> Program[RunDetail]:
    """The run with all its steps, page by page."""
    detail: RunDetail = yield from run(run_id)
    if detail.steps_total <= len(detail.steps):
        return detail
    steps = yield from listing(f"{run_path(run_id)}/steps", StepView)
    return msgspec.structs.replace(detail, steps=tuple(steps))


def run_path(run_id: str) -> str:
    return f"/v1/runs/{quote(run_id, safe='')}"


def cancel(run_id: str, reason: str) -> Program[CommandView]:
    return post(f"{run_path(run_id)}/cancel", CancelRun(reason=reason), CommandView)


def say(kind: str, run_id: str, step: str, **more: JSON) -> Program[CommandView]:
    """A person's word about a run that needs attention."""
    return order(kind, {"run_id": run_id, "step": step, **more})


def retry(run_id: str, step: str, *, force: bool) -> Program[str]:
    """The id of the run in which it is tried again."""
    return _led_to((yield from say("run.retry", run_id, step, force=force)), run_id)


def resume(run_id: str, *, same_code: bool) -> Program[str]:
    """The id of the new run."""
    return _led_to(
        (yield from order("run.resume", {"run_id": run_id, "code": "same" if same_code else "newest"})), run_id
    )


def _led_to(view: CommandView, run_id: str) -> str:
    if not isinstance(view.result, dict):
        raise Unavailable(f"Run {run_id} does not go on yet (command {view.id})", remedy="See `headwater runs`.")
    return str(view.result["run_id"])


def logs(run_id: str, step: str | None) -> Program[str]:
    reply = yield Call("GET", log_path(run_id, step))
    return checked(reply).decode(errors="replace")


def log_path(run_id: str, step: str | None, **more: str) -> str:
    query = urlencode({**({"step": step} if step else {}), **more})
    return f"{run_path(run_id)}/logs?{query}"


def result(run_id: str) -> Program[JSON]:
    """What a run that ended gave back; raises RunFailed where it did not succeed."""
    detail: RunDetail = yield from run(run_id)
    if detail.state != "SUCCEEDED":
        raise RunFailed(run_id, detail.state, detail.failure)
    return detail.result


def by_name(steps: list[S]) -> dict[str, list[S]]:
    found: dict[str, list[S]] = {}
    for step in steps:
        found.setdefault(step.name, []).append(step)
    return found
