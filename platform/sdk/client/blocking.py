"""The client: publish events, run flows and watch them, append to tables, predict. HTTP only; needs no Ray.

    hw = Client()                                  # finds the platform of this folder, or Client(url, token)
    run = hw.run("train_delay", {"month": 10})
    for entry in run.watch():                      # pushed, in order, ends when the run does
        print(entry.type)
    hw.models["delay"].predict({"distance": [1400.0]})

`Client` and `AsyncClient` (awaiting.py) are two faces of one core: the programs in the nouns' modules say what is
asked, `watch` what a subscription has seen, and a link carries both.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
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
from .link import Link
from .models import ModelHandle
from .noun import Noun
from .runs import Run
from .steps import Artifact
from .subscription import Subscription
from .tables import TableHandle
from .watch import Watch, cursor_of, entries, watch_path


class Client:
    """Safe for several threads. Every error is a HeadwaterError with the platform's own words and remedy."""

    def __init__(self, url: str | None = None, token: str | None = None) -> None:
        link = self._link = Link(find(url, token))
        self.runs = Noun(lambda **chosen: link.do(runs.runs(**chosen)), lambda run_id: Run(link, run_id))
        self.artifacts = Noun(
            lambda **chosen: link.do(steps.artifacts(**chosen)),
            lambda digest: Artifact(link, link.do(steps.artifact(digest))),
        )
        self.models = Noun(lambda: link.do(inventory.models()), lambda name: ModelHandle(link, name))
        self.tables = Noun(lambda: link.do(inventory.tables()), lambda name: TableHandle(link, name))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._link.close()

    def publish(self, event_type: str, data: JSON | None = None, **attributes: str | None) -> str:
        """The event's id, once it is durable. `id`, `source`, `subject` and others are CloudEvents attributes."""
        return self._link.do(events.publish(events.event_of(event_type, data, attributes)))

    def run(
        self,
        flow: str,
        parameters: Mapping[str, JSON] | None = None,
        *,
        key: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Run:
        """A run of `flow` (or `project/flow`), to be found by its `labels`. The same key again gives the same run."""
        return Run(self._link, self._link.do(runs.start(runs.start_of(flow, parameters, key, labels))))

    def watch(
        self,
        project: str | None = None,
        *,
        flow: str | None = None,
        state: str | Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        since: str | None = None,
    ) -> Generator[Entry, None, None]:
        """Every new entry of a project, or of all: from now on, or after the cursor `since`. Does not end.

        `flow` narrows to the runs of that name, `labels` to those that carry all of them, `state` to the entries that
        say that a run came into one of these.
        """
        return entries(self.follow(project, flow=flow, state=state, labels=labels, since=since))

    def follow(
        self,
        project: str | None = None,
        *,
        flow: str | None = None,
        state: str | Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        since: str | None = None,
    ) -> Generator[Entry | Progress, None, None]:
        """Like `watch`, with the progress of running steps in between."""
        return self._link.told(self._watch(watch_path(project, flow, state, labels), since))

    def on_change(
        self,
        callback: Callable[[Entry], object],
        *,
        project: str | None = None,
        flow: str | None = None,
        state: str | Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
        since: str | None = None,
    ) -> Subscription:
        """Calls back for each entry that `watch` would give, in a thread of its own; `.close()` ends it."""
        return Subscription(self._link, self._watch(watch_path(project, flow, state, labels), since), callback)

    def _watch(self, path: str, since: str | None) -> Watch:
        return Watch(path, since=since or cursor_of(self._link.do(inventory.status())))

    def flows(self) -> list[FlowView]:
        return self._link.do(inventory.flows())

    def deployments(self) -> list[DeploymentView]:
        return self._link.do(inventory.deployments())

    def event_types(self) -> list[EventType]:
        return self._link.do(events.event_types())

    def dlq(self) -> list[DeadLetterSummary]:
        return self._link.do(events.dead_letters())

    def dead_letter(self, letter_id: str) -> DeadLetterDetail:
        return self._link.do(events.dead_letter(letter_id))

    def replay(self, *letter_ids: str) -> Resolved:
        """Takes dead letters up again, as the triggers are deployed now; what does not fit stays.

        The platform gives the pace.
        """
        return self._link.do(triggers.resolve(letter_ids, "replay"))

    def discard(self, *letter_ids: str) -> Resolved:
        """Puts dead letters away for good."""
        return self._link.do(triggers.resolve(letter_ids, "discard"))

    def replay_events(self, flow: str, replay: str, **chosen: Any) -> Replayed:
        """Kept events once more to `project/flow`: `ids`, or `type` with `since` and `until` (microseconds UTC).

        One `replay` id starts one run for an event, however often it is asked; `dry_run` only counts.
        """
        return self._link.do(triggers.replay_events(ReplayEvents(flow=flow, replay=replay, **chosen)))

    def triggers(self) -> list[TriggerDetail]:
        return self._link.do(triggers.triggers())

    def pause(self, trigger: str) -> CommandView:
        """From now on nothing that happens starts a run by this trigger, named project/flow/name."""
        return self._link.do(triggers.set_trigger(trigger, "pause"))

    def resume(self, trigger: str) -> CommandView:
        """The trigger starts runs again."""
        return self._link.do(triggers.set_trigger(trigger, "resume"))

    def explain(self, event_id: str, *, source: str | None = None) -> list[Explanation]:
        """What became of the event: of that id and source, or of each source that used the id."""
        return self._link.do(triggers.explain(event_id, source))

    def nodes(self) -> list[NodeView]:
        """The machines that are or were nodes, with their devices."""
        return self._link.do(inventory.nodes())

    def actors(self) -> list[ActorView]:
        return self._link.do(inventory.actors())

    def collect_artifacts(self, *, dry_run: bool = False) -> Collected:
        """What nothing needed any more and is gone now, or would go."""
        return self._link.do(steps.collect(str(dry_run).lower()))

    def quota(self) -> QuotaView:
        return self._link.do(quota.quota())

    def explain_step(self, step_id: str) -> StepExplained:
        """Why a step waits: what it lacks, who is ahead, what is kept for it. Raises NotFound where it does not."""
        return self._link.do(quota.explain_step(step_id))

    def simulate_quota(self, scenario: Mapping[str, Any]) -> Simulated:
        """What the scenario (docs/quota.md) would lead to now; nothing is changed."""
        return self._link.do(quota.simulate(scenario))

    def quota_usage(
        self,
        *,
        from_us: int | None = None,
        to_us: int | None = None,
        bucket_s: int | None = None,
        project: str | None = None,
    ) -> UsageView:
        """What each project had of the devices, and how much lay idle: of the last day, unless said otherwise."""
        return self._link.do(quota.usage(from_us, to_us, bucket_s, project))

    def order(self, kind: str, data: JSON | None = None) -> CommandView:
        """What became of a command to one of the owners, `quota.apply` for instance."""
        return self._link.do(orders.order(kind, data))

    def ready(self) -> Readiness:
        """Whether the parts that are needed answer, and what is wrong with those that do not."""
        return self._link.do(inventory.ready())

    def status(self) -> Status:
        return self._link.do(inventory.status())

    def deploy(self, path: str | Path) -> Deployed:
        """The code version of the folder or file, in use from now on; InvalidInput with file and line if refused."""
        return self._link.do(orders.deploy(path))
