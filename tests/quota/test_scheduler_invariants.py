"""Any sequence of events keeps the promises of the Scheduler."""

from __future__ import annotations

import random

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from headwater.quota.messages import (
    AttemptCheckpointed,
    AttemptLeased,
    AttemptLeaving,
    AttemptReleased,
    Demand,
    DeviceFreed,
    DeviceQuarantined,
    DeviceRestored,
    DeviceSpec,
    Effect,
    Event,
    Grant,
    GrantRefused,
    NodeDrained,
    NodeJoined,
    NodeLeft,
    NodeSpec,
    PlaceLeft,
    Reclaim,
    ReclaimRefused,
    StepGone,
    StepWaiting,
    Ticked,
    TreeChanged,
)
from headwater.quota.placement.inventory import Holder
from headwater.quota.scheduler import Scheduler
from headwater.quota.tree import parse_tree

from .promises import (
    begun_anew,
    dates_are_kept,
    dates_of,
    grants_stay_within_every_bound,
    held_and_free_are_the_total_of_every_device,
    no_date_is_later,
    picture,
    the_gang_is_placed_whole,
    use_is_what_is_granted_live_or_kept,
    victims_may_be_ended,
)
from .scene import lease

S = 1_000_000

PROJECTS = ("x", "y", "z")
POLICY = {
    "half_life_s": 600,
    "return_s": 60,
    "evictions_per_hour": 3,
    "settle_s": 5,
    "grow_after_s": 20,
    "move_after_s": 10,
}
TREES = [
    parse_tree({"gpu_models": ["A100"], "cohort": {"all": written}, "policy": POLICY})
    for written in (
        {
            "teams": {"t": {"gpu": 3, "projects": {"x": {"gpu": {"nominal": 1, "lend_limit": 0.5}}, "y": {"gpu": 1}}}},
            "projects": {"z": {"gpu": 2, "A100": 2, "cpu": 8, "tier": 1}},
        },
        {"projects": {"x": {"gpu": 1}, "y": {"gpu": {"nominal": 1, "borrow_limit": 1}}, "z": {"gpu": 1}}},
        {"projects": {"x": {"cpu": 6, "gpu": 8}, "y": {"cpu": {"nominal": 2, "borrow_limit": 0}}}},
        {
            "gpu": 6,
            "projects": {
                "x": {"gpu": 1, "windows": [{"gpu": 2, "from": "00:01", "to": "12:00"}]},
                "y": {"gpu": {"nominal": 1, "weight": 2, "lend_limit": 0}, "tier": 4},
                "z": {"gpu": {"nominal": 0, "borrow_limit": 3}},
            },
        },
    )
]
TREE = st.sampled_from(range(len(TREES)))
DEMANDS = st.builds(
    Demand,
    gpus_milli=st.sampled_from([0, 0, 300, 500, 1000, 2000]),
    gpu_model=st.sampled_from([None, None, "L4", "A100"]),
    cpus_milli=st.sampled_from([0, 500, 1000]),
    memory_bytes=st.sampled_from([0, 100]),
    ranks=st.sampled_from([1, 1, 1, 2, 3]),
)


COUNTED: dict[Demand, int] = {Demand(500): 3, Demand(1000, "L4", 500): 2, Demand(2000, "A100"): 1}
TRIED = st.one_of(
    st.builds(
        lambda name, gpus, model: NodeJoined(a_node(name, gpus, model, 4)),
        st.sampled_from("de"),
        st.integers(1, 3),
        st.sampled_from(["L4", "A100", "T4"]),
    ),
    st.sampled_from([NodeLeft, NodeDrained]).flatmap(lambda event: st.sampled_from("abc").map(event)),
    st.integers(0, 30).map(AttemptReleased),
    st.integers(0, 30).map(lambda number: StepGone(f"s{number}")),
    TREE.map(lambda number: TreeChanged(TREES[number], 1000)),
    st.builds(
        lambda project, demand: StepWaiting("if", "r", project, "fit", demand, 0), st.sampled_from(PROJECTS), DEMANDS
    ),
)


def a_node(name: str, gpus: int, model: str, cpus: int) -> NodeSpec:
    devices = tuple(DeviceSpec(f"{name}/{n}") for n in range(gpus))
    return NodeSpec(name, cpus * 1000, 1000, model if gpus else "", devices)


class Platform(RuleBasedStateMachine):
    """One Scheduler, its twin that is fed the same log with a rolled-back attempt before each event."""

    @initialize(tree=TREE, counted=st.booleans())
    def start(self, tree: int, counted: bool) -> None:
        self.one, self.twin = Scheduler(TREES[tree], 1), Scheduler(TREES[tree], 1)
        for machine in (self.one, self.twin) if counted else ():
            machine.workload.give(COUNTED)
            machine.workload._due = 10  # demands, until what was counted is used anew
        self.count = 0
        self.grants: dict[str, Grant] = {}
        self.demands: dict[str, Demand] = {}
        self.live: dict[int, tuple[str, ...]] = {}
        self.places: dict[int, int] = {}  # attempts that went along, by fence
        self.emptying: dict[int, tuple[str, ...]] = {}
        self.kept: set[int] = set()  # places whose attempts are over, on which the next may go on
        self.settled = True
        self.now_s = 0
        self.steps: dict[str, StepWaiting] = {}
        self.granted_us: dict[str, int] = {}
        self.told: dict[int, AttemptLeaving] = {}

    def feed(self, event: Event, *, at_s: int | None = None) -> list[Effect]:
        now_us = (self.now_s if at_s is None else at_s) * S
        self.twin.mark()
        before, dates = picture(self.twin), dates_of(self.one)
        leaving = {fence for fence, holding in self.one.holdings().items() if holding.leaving}
        tried = self.twin.decide(event, now_us)
        self.twin.rollback()
        assert picture(self.twin) == before
        effects = self.one.decide(event, now_us)
        assert tried == effects == self.twin.decide(event, now_us)
        assert picture(self.one) == picture(self.twin)
        assert self.one.wakes_us() == self.twin.wakes_us()
        self.check(effects, leaving)
        if isinstance(
            event, StepWaiting | Ticked | AttemptLeased | AttemptReleased | DeviceFreed | AttemptCheckpointed
        ):
            no_date_is_later(self.one, dates)
        self.settled = not isinstance(event, GrantRefused)
        return effects

    def check(self, effects: list[Effect], leaving: set[Holder]) -> None:
        now_us = self.now_s * S
        for effect in effects:
            if isinstance(effect, Grant):
                self.grants[effect.step_id], self.granted_us[effect.step_id] = effect, now_us
                the_gang_is_placed_whole(self.one, effect, self.steps[effect.step_id])
            elif isinstance(effect, Reclaim):
                due_us = now_us + effect.grace_s * S
                self.told[effect.fence] = AttemptLeaving(effect.fence, effect.for_step, effect.project, now_us, due_us)
        grants_stay_within_every_bound(self.one, effects)
        victims_may_be_ended(self.one, [e for e in effects if isinstance(e, Reclaim)], leaving, now_us)

    @rule(
        project=st.sampled_from(PROJECTS),
        demand=DEMANDS,
        priority=st.integers(0, 2),
        times=st.sampled_from([(None, 0), (None, 0), (100, 0), (50, 20), (20, 0)]),
        kind=st.sampled_from(["", "", "elastic", "once"]),
    )
    def wait(self, project: str, demand: Demand, priority: int, times: tuple[int | None, int], kind: str) -> None:
        step_id = f"s{self.count}"
        self.count += 1
        self.demands[step_id] = demand
        step = StepWaiting(step_id, "r", project, "fit", demand, self.count, priority, *times)
        step = msgspec.structs.replace(step, once=kind == "once", ranks_min=int(kind == "elastic"))
        self.steps[step_id] = step
        self.feed(step)

    @rule(events=st.lists(TRIED, min_size=1, max_size=3), tried=st.booleans())
    def try_and_take_back(self, events: list[Event], tried: bool) -> None:
        """What would happen if: afterwards the machine goes on like the one that was not asked."""
        before = picture(self.twin)
        if tried:
            with self.twin.tried():
                for event in events:
                    self.twin.decide(event, self.now_s * S)
        else:
            self.twin.mark()
            self.twin.decide_all(events, self.now_s * S)
            self.twin.rollback()
        assert picture(self.twin) == before

    @precondition(lambda self: self.one._queues.steps)
    @rule(which=st.integers(0, 50), demand=DEMANDS)
    def ask_for_other(self, which: int, demand: Demand) -> None:
        """A step that waits asks for something else, and keeps its turn."""
        step_id = sorted(self.one._queues.steps)[which % len(self.one._queues.steps)]
        self.steps[step_id] = msgspec.structs.replace(self.steps[step_id], demand=demand, ranks_min=0)
        self.demands[step_id] = demand
        self.feed(self.steps[step_id])

    @rule(seconds=st.integers(1, 60))
    def time_goes_on(self, seconds: int) -> None:
        self.now_s += seconds
        self.feed(Ticked(self.count))

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0, 50))
    def save(self, which: int) -> None:
        fence = sorted(self.live)[which % len(self.live)]
        self.feed(AttemptCheckpointed(fence, self.now_s * 1_000_000))

    @precondition(lambda self: self.one._holdings.going)
    @rule(which=st.integers(0, 50), comes_back=st.booleans())
    def end_a_victim(self, which: int, comes_back: bool) -> None:
        leaving = sorted(f for f in self.one._holdings.going if f in self.live)
        if not leaving:
            return
        fence = leaving[which % len(leaving)]
        if not comes_back:
            self.told.pop(fence, None)
            self.feed(ReclaimRefused(fence, "no"))
            return
        step = self.one._holdings.all[fence].step
        self.emptying[fence] = self.live.pop(fence)
        self.feed(AttemptReleased(fence))
        step = msgspec.structs.replace(step, evictions=step.evictions + 1)
        self.steps[step.step_id] = step
        self.feed(step)

    @precondition(lambda self: self.one._holdings.going)
    @rule(which=st.integers(0, 50))
    def the_log_tells_of_a_victim(self, which: int) -> None:
        """What the machine has proposed itself changes nothing when it is heard of."""
        leaving = sorted(f for f in self.one._holdings.going if f in self.live)
        if leaving:
            fence = leaving[which % len(leaving)]
            step, now_us = self.one._holdings.all[fence].step, self.now_s * 1_000_000
            before = dict(self.one._evicted)
            self.feed(AttemptLeaving(fence, "another", step.project, now_us, now_us))
            assert self.one._evicted == before

    @rule(which=st.integers(0, 50))
    def cancel(self, which: int) -> None:
        self.grants.pop(f"s{which}", None)
        self.feed(StepGone(f"s{which}"))

    @precondition(lambda self: self.grants)
    @rule(which=st.integers(0, 50))
    def accept(self, which: int) -> None:
        grant = self.grants.pop(sorted(self.grants)[which % len(self.grants)])
        self.count += 1
        settled = self.settled and self.one.wakes_us() is None
        effects = self.feed(lease(grant, self.count, self.demands[grant.step_id], now_us=self.now_s * 1_000_000))
        assert not (settled and effects)
        self.live[self.count] = tuple(device for devices in grant.devices for device in devices)

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0, 50), other=st.integers(0, 50))
    def go_along(self, which: int, other: int) -> None:
        """Another step goes with an attempt that holds no devices, or on where one was: it waits, or was just granted
        a place."""
        bare = [fence for fence in sorted({*self.live, *self.kept}) if not self.live.get(fence)]
        waiting = sorted({*self.one._queues.steps, *self.grants})
        if not bare or not waiting:
            return
        fence, step_id = bare[which % len(bare)], waiting[other % len(waiting)]
        self.grants.pop(step_id, None)
        self.count += 1
        place = self.places.get(fence, fence)
        self.feed(AttemptLeased(step_id, self.count, "a", (), self.demands[step_id], place=place))
        self.places[self.count], self.live[self.count] = place, ()
        self.kept.discard(place)

    @precondition(lambda self: self.grants)
    @rule(which=st.integers(0, 50), reason=st.sampled_from(["device not free", "step_not_waiting"]))
    def refuse(self, which: int, reason: str) -> None:
        step_id = sorted(self.grants)[which % len(self.grants)]
        del self.grants[step_id]
        self.feed(GrantRefused(step_id, reason))

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0, 50), kept=st.booleans())
    def release(self, which: int, kept: bool) -> None:
        fence = sorted(self.live)[which % len(self.live)]
        place = self.places.get(fence, fence)
        kept = kept and not self.live[fence]
        self.emptying[fence] = self.live.pop(fence)
        self.feed(AttemptReleased(fence, kept))
        if kept and place not in {self.places.get(live, live) for live in self.live}:
            self.kept.add(place)
            assert place in self.one._holdings.all

    @precondition(lambda self: self.kept)
    @rule(which=st.integers(0, 50), of_all=st.booleans())
    def leave_what_was_kept(self, which: int, of_all: bool) -> None:
        place = sorted(self.kept)[which % len(self.kept)]
        self.kept = set() if of_all else self.kept - {place}
        self.feed(PlaceLeft(0 if of_all else place))

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0, 50))
    def fail(self, which: int) -> None:
        """The attempt ends badly, and its step is tried again."""
        fence = sorted(self.live)[which % len(self.live)]
        if fence in self.places or fence not in self.one.holdings():
            return
        step = self.one.holdings()[fence].step
        self.emptying[fence] = self.live.pop(fence)
        self.feed(AttemptReleased(fence))
        self.feed(step)

    @precondition(lambda self: self.one._queues.steps)
    @rule(which=st.integers(0, 50), priority=st.integers(0, 3))
    def prioritise(self, which: int, priority: int) -> None:
        step_id = sorted(self.one._queues.steps)[which % len(self.one._queues.steps)]
        self.steps[step_id] = msgspec.structs.replace(self.steps[step_id], priority=priority)
        self.feed(self.steps[step_id])

    @rule(seconds=st.sampled_from([1, 600, 86_400]))
    def the_clock_steps_back(self, seconds: int) -> None:
        """Time only goes on: nothing is decided that would not have been."""
        was = self.one._now_us
        self.feed(Ticked(self.count), at_s=max(0, self.now_s - seconds))
        assert self.one._now_us == was

    @rule()
    def the_clock_jumps_on(self) -> None:
        self.now_s += 86_400
        self.feed(Ticked(self.count))

    @precondition(lambda self: not self.kept and not self.places.keys() & self.live.keys())
    @rule(mixed=st.randoms(use_true_random=False))
    def restart(self, mixed: random.Random) -> None:
        """Both begin anew from what the rows have, the twin from rows in another order; what was proposed and not
        leased waits again.
        """
        before, version = dict(self.one.holdings()), self.one.tree_version
        told = [each for each in self.told.values() if each.fence in self.live or each.for_step not in before]
        told = [each for each in told if each.at_us > (self.now_s - 3600) * S]
        shuffled = lambda rows: mixed.sample(rows, len(rows))  # noqa: E731
        self.one, self.twin = begun_anew(self.one, told, version), begun_anew(self.one, told, version, shuffled)
        self.grants.clear()
        after = self.one.holdings()
        held = {fence: holding for fence, holding in before.items() if isinstance(fence, int)}
        assert {fence: holding.seats for fence, holding in after.items()} == {f: h.seats for f, h in held.items()}
        assert all(after[fence].released == holding.released for fence, holding in held.items())
        self.feed(Ticked(self.count))

    @precondition(lambda self: self.emptying)
    @rule(which=st.integers(0, 50))
    def see_empty(self, which: int) -> None:
        fence = sorted(self.emptying)[which % len(self.emptying)]
        self.feed(DeviceFreed(self.emptying.pop(fence), fence))

    @rule(
        name=st.sampled_from("abc"),
        gpus=st.integers(0, 3),
        model=st.sampled_from(["L4", "A100"]),
        cpus=st.integers(0, 4),
    )
    def join(self, name: str, gpus: int, model: str, cpus: int) -> None:
        known = self.one._inventory.nodes.get(name)
        model = known.spec.gpu_model if known and known.spec.gpu_model else model
        self.feed(NodeJoined(a_node(name, gpus, model, cpus)))

    @rule(name=st.sampled_from("abc"), event=st.sampled_from([NodeLeft, NodeDrained]))
    def lose(self, name: str, event: type[NodeLeft] | type[NodeDrained]) -> None:
        self.feed(event(name))

    @rule(name=st.sampled_from("abc"), n=st.integers(0, 2), event=st.sampled_from([DeviceQuarantined, DeviceRestored]))
    def suspect(self, name: str, n: int, event: type[DeviceQuarantined] | type[DeviceRestored]) -> None:
        self.feed(event((f"{name}/{n}",)))

    @precondition(lambda self: self.one._queues.steps)
    @rule(which=st.integers(0, 50))
    def ask_when_one_should_go(self, which: int) -> None:
        """Only the one is asked, and both decide alike from then on."""
        waiting, before = sorted(self.one._queues.steps), picture(self.one)
        said = self.one.explained(waiting[which % len(waiting)])
        assert said is not None
        assert said.eta is None or said.eta.at_us >= self.one._now_us
        assert picture(self.one) == before

    @rule(tree=TREE)
    def change_tree(self, tree: int) -> None:
        self.count += 1
        self.feed(TreeChanged(TREES[tree], self.count))

    @rule()
    def tick(self) -> None:
        self.feed(Ticked(self.count))
        assert self.settled

    @invariant()
    def what_is_held_granted_and_dated_adds_up(self) -> None:
        held_and_free_are_the_total_of_every_device(self.one)
        use_is_what_is_granted_live_or_kept(self.one)
        dates_are_kept(self.one, self.granted_us)

    @invariant()
    def a_place_is_held_while_one_that_shares_it_lives(self) -> None:
        held = {fence: holding for fence, holding in self.one._holdings.all.items() if isinstance(fence, int)}
        for fence in self.live:
            place = self.places.get(fence, fence)
            assert place in held
            assert not held[place].released
        in_use = {self.places.get(fence, fence) for fence in [*self.live, *self.emptying]}
        assert set(held) <= in_use | self.kept

    @invariant()
    def nothing_waits_that_fits_and_may_go(self) -> None:
        if not self.settled:
            return
        admission, order = self.one._admission, self.one._order
        for project, shape in self.one._queues.lines:
            if self.one._queues.first_free((project, shape)) is not None:
                assert admission.causes(project, shape, admission.options(shape))
            if shape in order.contests:
                order._refresh(order.contests[shape])

    @invariant()
    def every_waiting_step_can_say_why(self) -> None:
        for step_id in list(self.one._queues.steps)[:5]:
            assert self.one.explain(step_id) is not None
            assert self.one.explained(step_id) == self.twin.explained(step_id)


Platform.TestCase.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestAnySequenceOfEventsKeepsThePromises = Platform.TestCase
