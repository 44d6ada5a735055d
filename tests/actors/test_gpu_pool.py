"""What GpuPool and Scheduler read from a real store when they start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headwater.actors.devices.emptied import released_in
from headwater.actors.devices.node_agent import logical_devices, node_name, usable_cpus, usable_memory_bytes
from headwater.actors.loop import wall_clock_us
from headwater.actors.sharing.quota_desk import Followed, Propose, Ticked
from headwater.actors.sharing.quota_picture import load_desk
from headwater.core.gpu_messages import Released
from headwater.core.inventory import DeviceRow, Node, QuotaTree
from headwater.core.node_offer import Offer
from headwater.core.records.attempts import Attempt, AttemptState
from headwater.core.records.leases import Lease, LeaseState
from headwater.core.records.runs import Run, RunState
from headwater.core.records.steps import Step, StepState
from headwater.store.engine import create, open_engine, sqlite_url
from headwater.store.reader import Picture, Reader
from headwater.store.writer import Writer
from headwater.wire import calls
from headwater.wire.entries.nodes import Device, NodeJoined
from headwater.wire.entries.steps import StepSucceeded
from headwater.wire.terms import Demand
from headwater.wire.types import Entry, Said

GPU = Demand(gpus_milli=1000, cpus_milli=0)
SEED = {"cohort": {"local": {"projects": {"eta": {"gpu": 4}}}}}

A_RUN = Run(
    id="run", project="eta", flow="train", code_version="v", state=RunState.RUNNING, idempotency_key="k",
    principal="me", root_id="run", created_us=1,
)  # fmt: skip


def a_step(number: int, state: StepState = StepState.RUNNING) -> Step:
    facts = {"run_id": "run", "project": "eta", "name": "fit", "function": "f:f", "code_version": "v", "created_us": 1}
    ids = {"id": f"run/{number}", "ordinal": number, "arguments": calls.Payload()}
    return msgspec.convert({**facts, **ids, "state": state, "demand": GPU, "waiting_us": number}, Step)


def an_attempt(fence: int, state: AttemptState) -> Attempt:
    return Attempt(
        fence=fence,
        step_id=f"run/{fence}",
        run_id="run",
        number=1,
        state=state,
        node="n",
        devices=(f"n/{fence}",),
        demand=GPU,
        worker=f"w{fence}",
        leased_us=1,
        ended_us=None if state.live else 50,
    )


def a_lease(fence: int, state: LeaseState) -> Lease:
    facts: dict[str, Any] = {"run_id": "run", "step_id": f"run/{fence}", "project": "eta", "since_us": 1}
    return Lease(fence=fence, device=f"n/{fence}", node="n", milli=1000, state=state, released_us=100 + fence, **facts)


def succeeded(fence: int) -> Said:
    body = StepSucceeded(
        step_id=f"run/{fence}", name="fit", attempt=1, fence=fence, duration_us=1, devices=("n/1",), seen_empty=True
    )
    return Said(body=body, subject="run", project="eta", principal="p", time_us=100 + fence)


@pytest.fixture
def picture(tmp_path: Path) -> Iterator[Picture]:
    """Device n/0 free, n/1 and n/2 being emptied (of 2 nobody said how it ended), n/3 held; run/9 waits."""
    url = sqlite_url(tmp_path / "store.db")
    create(url, store_epoch="e")
    ended, live = AttemptState.SUCCEEDED, AttemptState.RUNNING
    attempts = [an_attempt(1, ended), an_attempt(2, ended), an_attempt(3, live)]
    releasing, held = LeaseState.RELEASING, LeaseState.HELD
    leases = [a_lease(1, releasing), a_lease(2, releasing), a_lease(3, held)]
    steps = [a_step(1), a_step(2), a_step(3), a_step(9, StepState.WAITING)]
    node = Node(id="n", ray_node="ray", cpus_milli=8000, memory_bytes=1, labels={}, joined_us=1, seen_us=1)
    writer = Writer(open_engine(url), "conductor")
    writer.take_epoch()
    writer.commit(
        {
            "runs": {"run": A_RUN},
            "steps": {step.id: step for step in steps},
            "attempts": {attempt.fence: attempt for attempt in attempts},
            "leases": {(lease.fence, lease.device): lease for lease in leases},
            "nodes": {"n": node},
            "devices": {f"n/{n}": DeviceRow(id=f"n/{n}", node="n", model="logical", memory_bytes=0) for n in range(4)},
            "quota_trees": {3: QuotaTree(version=3, tree=SEED, principal="me", applied_us=1)},
        },
        [succeeded(1)],
    )
    with Reader(open_engine(url, read_only=True)).picture() as picture:
        yield picture


def test_what_is_being_emptied_comes_with_what_the_log_said_of_it(picture: Picture) -> None:
    assert [(one.fence, one.worker, one.seen_empty) for one in released_in(picture)] == [
        (1, "w1", True),
        (2, "w2", False),
    ]


def test_an_end_that_was_just_heard_needs_no_look_at_the_log(picture: Picture) -> None:
    assert released_in(picture, {2: True, 3: True}) == [Released(2, "w2", True, (a_lease(2, LeaseState.RELEASING),))]


def test_only_what_began_long_ago_counts_as_unheard(picture: Picture) -> None:
    assert [one.fence for one in released_in(picture, before_us=102)] == [1]


def test_a_scheduler_begins_with_what_the_rows_hold(picture: Picture) -> None:
    desk = load_desk(picture, {}, {"ray"})
    assert desk.engine.tree_version == 3
    eta = next(node for node in desk.engine.usage() if node.name == "eta")
    assert (eta.flavours["gpu"].used, eta.waiting_steps) == (1000, 1)
    (proposal,) = [effect for effect in desk.decide(Ticked(), 1).effects if isinstance(effect, Propose)]
    assert [(grant.step_id, grant.devices) for grant in proposal.grants] == [("run/9", ("n/0",))]


def test_what_attempts_took_is_counted_from_the_rows(picture: Picture) -> None:
    desk = load_desk(picture, {}, {"ray"})
    assert {kind: desk.runtimes[kind] for kind in desk.runtimes} == {("eta", "train", "fit"): (49, 49)}
    assert desk.engine.holdings()[3].step.flow == "train"


def test_a_node_of_an_earlier_life_takes_nothing_until_it_joins_again(picture: Picture) -> None:
    desk = load_desk(picture, {}, {"another"})
    assert not [effect for effect in desk.decide(Ticked(), 1).effects if isinstance(effect, Propose)]
    assert desk.engine.wakes_us() == pytest.approx(wall_clock_us() + 600_000_000, abs=60_000_000)  # given up then
    devices = tuple(Device(id=f"n/{n}", model="logical") for n in range(4))
    joined = NodeJoined(node="n", cpus_milli=8000, memory_bytes=1, devices=devices, ray_node="another")
    entry = Entry(position=9, body=joined, subject="n", project="p", principal="p", time_us=1)
    (proposal,) = [effect for effect in desk.decide(Followed((entry,)), 1).effects if isinstance(effect, Propose)]
    assert proposal.grants[0].devices == ("n/0",)


def test_a_node_says_what_it_has() -> None:
    assert [device.id for device in logical_devices(Offer(name="n", gpus=2))] == ["n/0", "n/1"]
    assert usable_cpus() >= 1
    assert usable_memory_bytes() > 0
    assert node_name("mine") == "mine"
    assert node_name("") == node_name("")
