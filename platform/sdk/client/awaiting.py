"""The client for asyncio: what `Client` blocks for is awaited here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...wire.api.artifacts import Collected
from ...wire.api.commands import CommandView
from ...wire.api.events import DeadLetterDetail, DeadLetterSummary, EventType
from ...wire.api.holdings import QuotaView
from ...wire.api.models import Deployed, DeploymentView, FlowView
from ...wire.api.nodes import NodeView
from ...wire.api.quota import Simulated, StepExplained, UsageView
from ...wire.api.status import ActorView, Readiness, Status
from ...wire.api.triggers import Explanation, Replayed, ReplayEvents, Resolved, TriggerDetail
from ...wire.calls import Progress
from ...wire.terms import JSON
from ...wire.types import Entry
from . import events, inventory, orders, quota, runs, steps, triggers
from .address import find
from .async_link import AsyncLink
from .async_subscription import AsyncSubscription
from .models import AsyncModelHandle
from .noun import Noun
from .runs import AsyncRun
from .steps import AsyncArtifact
from .tables import AsyncTableHandle
from .watch import Watch, cursor_of, is_entry, watch_path


class AsyncClient:
    """The same for asyncio: what blocks there is awaited here."""

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        link = self._link = AsyncLink(find(url, token))
        self.runs = Noun(lambda **chosen: link.do(runs.runs(**chosen)), lambda run_id: AsyncRun(link, run_id))
        self.artifacts = Noun(
            lambda **chosen: link.do(steps.artifacts(**chosen)), lambda digest: AsyncArtifact.of(link, digest)
        )
        self.models = Noun(lambda: link.do(inventory.models()), lambda name: AsyncModelHandle(link, name))
        self.tables = Noun(lambda: link.do(inventory.tables()), lambda name: AsyncTableHandle(link, name))

    async def publish(self, event_type: str, data: JSON | None = None, **attributes: str | None) -> str:
        return await self._link.do(events.publish(events.event_of(event_type, data, attributes)))

    async def run(
        self,
        flow: str,
        parameters: Mapping[str, JSON] | None = None,
        *,
        key: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> AsyncRun:
        return AsyncRun(self._link, await self._link.do(runs.start(runs.start_of(flow, parameters, key, labels))))

    async def watch(
        self,
        project: str | None = None,
        *,
        flow: str | None = None,
        state: str | Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        since: str | None = None,
    ) -> AsyncIterator[Entry]:
        """As of the first `anext`, or after the cursor `since`."""
        async for told in self.follow(project, flow=flow, state=state, labels=labels, since=since):
            if is_entry(told):
                yield told

    async def follow(
        self,
        project: str | None = None,
        *,
        flow: str | None = None,
        state: str | Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        since: str | None = None,
    ) -> AsyncIterator[Entry | Progress]:
        async for told in self._link.told(await self._watch(watch_path(project, flow, state, labels), since)):
            yield told

    def on_change(
        self,
        callback: Callable[[Entry], object],
        *,
        project: str | None = None,
        flow: str | None = None,
        state: str | Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        since: str | None = None,
    ) -> AsyncSubscription:
        """Calls back, or awaits, for each entry that `watch` would give, in a task of its own; `.close()` ends it."""
        path = watch_path(project, flow, state, labels)
        return AsyncSubscription(self._link, lambda: self._watch(path, since), callback)

    async def _watch(self, path: str, since: str | None) -> Watch:
        return Watch(path, since=since or cursor_of(await self._link.do(inventory.status())))

    def flows(self) -> Awaitable[list[FlowView]]:
        return self._link.do(inventory.flows())

    def deployments(self) -> Awaitable[list[DeploymentView]]:
        return self._link.do(inventory.deployments())

    def event_types(self) -> Awaitable[list[EventType]]:
        return self._link.do(events.event_types())

    def dlq(self) -> Awaitable[list[DeadLetterSummary]]:
        return self._link.do(events.dead_letters())

    def dead_letter(self, letter_id: str) -> Awaitable[DeadLetterDetail]:
        return self._link.do(events.dead_letter(letter_id))

    def replay(self, *letter_ids: str) -> Awaitable[Resolved]:
        return self._link.do(triggers.resolve(letter_ids, "replay"))

    def discard(self, *letter_ids: str) -> Awaitable[Resolved]:
        return self._link.do(triggers.resolve(letter_ids, "discard"))

    def replay_events(self, flow: str, replay: str, **chosen: Any) -> Awaitable[Replayed]:
        return self._link.do(triggers.replay_events(ReplayEvents(flow=flow, replay=replay, **chosen)))

    def triggers(self) -> Awaitable[list[TriggerDetail]]:
        return self._link.do(triggers.triggers())

    def pause(self, trigger: str) -> Awaitable[CommandView]:
        return self._link.do(triggers.set_trigger(trigger, "pause"))

    def resume(self, trigger: str) -> Awaitable[CommandView]:
        return self._link.do(triggers.set_trigger(trigger, "resume"))

    def explain(self, event_id: str, *, source: str | None = None) -> Awaitable[list[Explanation]]:
        return self._link.do(triggers.explain(event_id, source))

    def nodes(self) -> Awaitable[list[NodeView]]:
        return self._link.do(inventory.nodes())

    def actors(self) -> Awaitable[list[ActorView]]:
        return self._link.do(inventory.actors())

    def collect_artifacts(self, *, dry_run: bool = False) -> Awaitable[Collected]:

        return self._link.do(steps.collect(str(dry_run).lower()))

    def quota(self) -> Awaitable[QuotaView]:
        return self._link.do(quota.quota())

    def explain_step(self, step_id: str) -> Awaitable[StepExplained]:
        return self._link.do(quota.explain_step(step_id))

    def simulate_quota(self, scenario: Mapping[str, Any]) -> Awaitable[Simulated]:
        return self._link.do(quota.simulate(scenario))

    def quota_usage(
        self,
        *,
        from_us: int | None = None,
        to_us: int | None = None,
        bucket_s: int | None = None,
        project: str | None = None,
    ) -> Awaitable[UsageView]:
        return self._link.do(quota.usage(from_us, to_us, bucket_s, project))

    def order(self, kind: str, data: JSON | None = None) -> Awaitable[CommandView]:
        return self._link.do(orders.order(kind, data))

    def ready(self) -> Awaitable[Readiness]:
        return self._link.do(inventory.ready())

    def status(self) -> Awaitable[Status]:
        return self._link.do(inventory.status())

    def deploy(self, path: str | Path) -> Awaitable[Deployed]:
        return self._link.do(orders.deploy(path))
