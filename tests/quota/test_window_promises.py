"""Whoever has a window gets what it guarantees: at once, or after the reclaim's grace, whatever was started before."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headwater.quota.messages import (
    AttemptReleased,
    DeviceFreed,
    Effect,
    Event,
    Grant,
    NodeJoined,
    Reclaim,
    StepWaiting,
    Ticked,
)
from headwater.quota.scheduler import Scheduler
from headwater.quota.tree import parse_tree

from .promises import held_and_free_are_the_total_of_every_device, nobody_waits_within_a_guarantee
from .scene import a_node, a_step, lease

S = 1_000_000
GRACE_S = 30
HOUR = 3600
POLICY = {
    "grace_s": GRACE_S,
    "urgent_grace_s": GRACE_S,
    "evictions_per_hour": 10_000,
    "settle_s": 0,
    "move_after_s": 10**8,
}
MORNING = {"gpu": 2, "from": "02:00", "to": "04:00"}
NOON = {"gpu": 2, "from": "04:00", "to": "05:00"}
LATE = {"gpu": 1, "from": "03:00", "to": "06:00", "zone": "Africa/Abidjan"}
KEPT = {"nominal": 1, "lend_limit": 0}
Z = {"z": {"gpu": 1}}
TREES = [
    parse_tree({"cohort": {"all": cohort}, "policy": POLICY})
    for cohort in (
        {"gpu": 6, "projects": {"x": {"gpu": 1, "windows": [MORNING, LATE]}, "y": {"gpu": 1}, "z": {"gpu": 0}}},
        {"gpu": 6, "projects": {"x": {"gpu": 1, "windows": [MORNING]}, "y": {"gpu": 1, "windows": [NOON]}, **Z}},
        {
            "gpu": 6,
            "teams": {
                "t": {"gpu": 4, "projects": {"x": {"gpu": 1, "windows": [MORNING]}, "y": {"gpu": 1}}},
                "u": {"gpu": 0, "windows": [NOON], "projects": {"z": {"gpu": 0}}},
            },
        },
        {
            "gpu": 4,
            "windows": [{**MORNING, "to": "06:00"}],
            "projects": {"x": {"gpu": KEPT, "windows": [LATE, MORNING]}, "y": {"gpu": 1}, "z": {"gpu": 0}},
        },
    )
]  # fmt: skip


class Peaks(RuleBasedStateMachine):
    """Steps of one GPU; whoever is told to make way ends when its grace is over, and waits again."""

    @initialize(tree=st.sampled_from(TREES))
    def start(self, tree: object) -> None:
        self.scheduler = Scheduler(tree, 1)  # type: ignore[arg-type]
        self.now_s = self.count = 0
        self.live: dict[int, Grant] = {}
        self.steps: dict[str, StepWaiting] = {}
        self.due_s: dict[int, int] = {}
        self.feed(NodeJoined(a_node("n0", gpus=6, cpus=64)))

    def feed(self, event: Event) -> None:
        effects = self.scheduler.decide(event, self.now_s * S)
        while effects:
            effects = [more for effect in effects for more in self.carried_out(effect)]

    def carried_out(self, effect: Effect) -> list[Effect]:
        if isinstance(effect, Reclaim):
            self.due_s[effect.fence] = self.now_s + effect.grace_s
        if not isinstance(effect, Grant):
            return []
        self.count += 1
        self.live[self.count] = effect
        demand = self.steps[effect.step_id].demand
        return self.scheduler.decide(lease(effect, self.count, demand, now_us=self.now_s * S), self.now_s * S)

    def end(self, fence: int) -> None:
        grant = self.live.pop(fence)
        self.due_s.pop(fence, None)
        self.feed(AttemptReleased(fence))
        self.feed(DeviceFreed(grant.devices[0], fence))

    def pass_to(self, at_s: int) -> None:
        """With all that ends, and all that the clock alone decides, by then."""
        for _ in range(10_000):
            due_s = min(self.due_s.values(), default=at_s)
            wakes_us = self.scheduler.wakes_us()
            next_s = min(at_s, due_s, at_s if wakes_us is None else max(self.now_s, -(-wakes_us // S)))
            over = [fence for fence in self.live if self.over_s(fence) <= next_s]
            next_s = min([next_s, *(self.over_s(fence) for fence in over)])
            self.now_s = max(self.now_s, next_s)
            for fence in [each for each in self.live if self.over_s(each) <= self.now_s]:
                self.end(fence)
            for fence in [each for each, at in self.due_s.items() if at <= self.now_s and each in self.live]:
                step = self.steps[self.live[fence].step_id]
                self.end(fence)
                self.feed(step)
            self.feed(Ticked(self.now_s))
            if self.now_s >= at_s:
                return
        raise AssertionError("the clock has something to decide for ever")

    def over_s(self, fence: int) -> int:
        holding, step = self.scheduler.holdings()[fence], self.steps[self.live[fence].step_id]
        return holding.leased_us // S + (10**9 if step.max_runtime_s is None else step.max_runtime_s)

    @rule(
        project=st.sampled_from("xyz"),
        count=st.integers(1, 4),
        declared=st.sampled_from([None, None, 1800, 2 * HOUR, 9 * HOUR]),
        once=st.booleans(),
    )
    def wait(self, project: str, count: int, declared: int | None, once: bool) -> None:
        for _ in range(count):
            self.count += 1
            step = a_step(f"s{self.count}", project, since=self.count, max_runtime_s=declared, once=once)
            self.steps[step.step_id] = step
            self.feed(step)

    @rule(minutes=st.sampled_from([1, 20, 60, 90, 120]))
    def time_goes_on(self, minutes: int) -> None:
        self.pass_to(self.now_s + minutes * 60)

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0, 20))
    def finish(self, which: int) -> None:
        self.end(sorted(self.live)[which % len(self.live)])

    @rule()
    def a_grace_goes_by(self) -> None:
        """What was told to make way has, so everybody who waits within what it is guaranteed now has its place."""
        self.pass_to(self.now_s + GRACE_S)
        self.pass_to(self.now_s + GRACE_S)
        nobody_waits_within_a_guarantee(self.scheduler, (self.now_s - 2 * GRACE_S) * S)

    @invariant()
    def held_and_free_add_up(self) -> None:
        held_and_free_are_the_total_of_every_device(self.scheduler)


Peaks.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestAWindowIsHadWhateverWasStartedBefore = Peaks.TestCase
