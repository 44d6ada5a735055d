"""A grant is refused from rows, with the reason, where they say otherwise than it supposes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from headwater.core.inventory import DeviceRow, Node, QuotaTree
from headwater.core.records.attempts import Attempt, AttemptState
from headwater.core.records.leases import Lease, LeaseState
from headwater.core.records.steps import Step, StepState
from headwater.core.turn import GrantGuard, ReclaimGuard
from headwater.store.engine import create, open_engine, sqlite_url
from headwater.store.guards import guard_of
from headwater.store.writer import CommitFailed, Objected, Writer
from headwater.wire.calls import Payload
from headwater.wire.terms import Demand

GRANT = GrantGuard(scheduler_epoch=1, tree_version=2, step_id="r/0", devices=("n1/0",), milli=1000)
STEP = Step(
    id="r/0",
    run_id="r",
    ordinal=0,
    project="eta",
    name="fit",
    function="flow:fit",
    code_version="v1",
    state=StepState.WAITING,
    demand=Demand(gpus_milli=1000),
    arguments=Payload(),
    created_us=1,
)
NODE = Node(id="n1", ray_node="x", cpus_milli=1000, memory_bytes=1, labels={}, joined_us=1, seen_us=1)
DEVICE = DeviceRow(id="n1/0", node="n1", model="A100", memory_bytes=1)
LEASE = Lease(fence=1, device="n1/0", node="n1", milli=500, run_id="q", step_id="q/0", project="eta", since_us=1)
ATTEMPT = Attempt(
    fence=7,
    step_id="r/0",
    run_id="r",
    number=1,
    state=AttemptState.RUNNING,
    node="n1",
    demand=Demand(gpus_milli=1000),
    leased_us=1,
)
RECLAIM = ReclaimGuard(scheduler_epoch=1, tree_version=2, fence=7)
TREES = {version: QuotaTree(version=version, tree={}, principal="me", applied_us=1) for version in (1, 2)}


class Desk:
    """A store in which GRANT may pass."""

    def __init__(self, engine: sa.Engine) -> None:
        self.writer = Writer(engine, "conductor")
        self.writer.take_epoch()
        Writer(engine, "scheduler").take_epoch()
        self.put(quota_trees=TREES, steps={"r/0": STEP}, nodes={"n1": NODE}, devices={"n1/0": DEVICE})

    def put(self, **rows: Mapping[Any, msgspec.Struct | None]) -> None:
        self.writer.commit(rows)

    def ask(self, **changes: Any) -> str:
        """The objection to GRANT, or to GRANT with changes."""
        return self.objection(msgspec.structs.replace(GRANT, **changes))

    def objection(self, guard: GrantGuard | ReclaimGuard) -> str:
        try:
            self.writer.commit({}, [], [guard_of(guard)])
        except Objected as objected:
            return objected.reason
        return ""


@pytest.fixture
def desk(engine: sa.Engine) -> Desk:
    return Desk(engine)


def test_a_grant_that_agrees_with_the_rows_passes(desk: Desk) -> None:
    assert desk.ask() == ""


def test_a_scheduler_that_was_taken_over_grants_nothing(desk: Desk) -> None:
    assert desk.ask(scheduler_epoch=0) == "scheduler_epoch: 0 proposed, 1 leads"


def test_a_grant_decided_on_an_older_tree_is_refused(desk: Desk) -> None:
    assert desk.ask(tree_version=1) == "tree_version: decided on 1, the tree is 2"


@pytest.mark.parametrize("state", [state for state in StepState if state is not StepState.WAITING])
def test_a_step_that_does_not_wait_is_not_granted(desk: Desk, state: StepState) -> None:
    desk.put(steps={"r/0": msgspec.structs.replace(STEP, state=state)})
    assert desk.ask() == "step_not_waiting"


def test_a_step_that_begins_to_wait_in_this_transaction_is_granted(desk: Desk) -> None:
    desk.put(steps={"r/0": None})
    assert desk.ask() == ""


@pytest.mark.parametrize("state", ["QUARANTINED", "LEFT"])
def test_a_device_out_of_service_is_not_granted(desk: Desk, state: str) -> None:
    desk.put(devices={"n1/0": msgspec.structs.replace(DEVICE, state=state)})
    assert desk.ask() == "device_out_of_service: of n1/0"


@pytest.mark.parametrize("state", ["DRAINED", "LEFT"])
def test_a_device_of_a_node_out_of_service_is_not_granted(desk: Desk, state: str) -> None:
    desk.put(nodes={"n1": msgspec.structs.replace(NODE, state=state)})
    assert desk.ask() == "device_out_of_service: of n1/0"


def test_a_device_that_nobody_knows_is_not_granted(desk: Desk) -> None:
    assert desk.ask(devices=("n1/0", "n1/9")).startswith("device_out_of_service")


@pytest.mark.parametrize("state", [LeaseState.HELD, LeaseState.RELEASING, LeaseState.QUARANTINED])
def test_a_device_under_a_live_lease_is_not_granted(desk: Desk, state: LeaseState) -> None:
    desk.put(leases={(1, "n1/0"): msgspec.structs.replace(LEASE, state=state)})
    assert desk.ask() == "device_held: n1/0"
    assert desk.ask(milli=501) == "device_held: n1/0"


def test_the_rest_of_a_shared_device_is_granted(desk: Desk) -> None:
    desk.put(leases={(1, "n1/0"): LEASE})
    assert desk.ask(milli=500) == ""


def test_a_freed_device_is_granted(desk: Desk) -> None:
    desk.put(leases={(1, "n1/0"): msgspec.structs.replace(LEASE, state=LeaseState.FREE)})
    assert desk.ask() == ""


def test_a_grant_does_not_look_through_the_leases_that_are_over(tmp_path: Path) -> None:
    create(sqlite_url(tmp_path / "store.db"), store_epoch="s")
    engine = open_engine(sqlite_url(tmp_path / "store.db"))
    desk = Desk(engine)
    few = instructions_of(engine)
    over = [msgspec.structs.replace(LEASE, fence=fence, state=LeaseState.FREE) for fence in range(100)]
    desk.put(leases={(lease.fence, lease.device): lease for lease in over})
    assert instructions_of(engine) == few
    engine.dispose()


def instructions_of(engine: sa.Engine) -> int:
    """How many steps of SQLite's machine the guard of GRANT takes."""
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.set_progress_handler(step, 1)
        assert guard_of(GRANT)(connection) == ""
        driver.set_progress_handler(None, 1)
    return count


def test_a_step_without_devices_asks_for_none(desk: Desk) -> None:
    desk.put(devices={"n1/0": None}, nodes={"n1": None})
    assert desk.ask(devices=(), milli=0) == ""


def test_the_index_behind_the_guard_lends_a_whole_device_once(desk: Desk) -> None:
    whole = msgspec.structs.replace(LEASE, milli=1000)
    desk.put(leases={(1, "n1/0"): whole})
    with pytest.raises(CommitFailed):
        desk.put(leases={(2, "n1/0"): msgspec.structs.replace(whole, fence=2)})
    assert not desk.writer.landed()


@pytest.mark.parametrize("state", list(AttemptState))
def test_a_reclaim_passes_while_the_attempt_lives(desk: Desk, state: AttemptState) -> None:
    desk.put(attempts={7: msgspec.structs.replace(ATTEMPT, state=state)})
    assert desk.objection(RECLAIM) == ("" if state.live else f"over: attempt 7 is {state}")


@pytest.mark.parametrize(
    ("change", "code"), [({"scheduler_epoch": 0}, "scheduler_epoch"), ({"tree_version": 1}, "tree")]
)
def test_a_reclaim_of_another_time_is_refused(desk: Desk, change: dict[str, int], code: str) -> None:
    desk.put(attempts={7: ATTEMPT})
    assert desk.objection(msgspec.structs.replace(RECLAIM, **change)).startswith(code)
