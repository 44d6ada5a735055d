"""What the Scheduler reads of steps that wait and of attempts that hold a place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headwater.actors.sharing.quota_rows import Held, Rows
from headwater.core.inventory import QuotaNote
from headwater.core.records.attempts import Attempt, AttemptState, Member
from headwater.core.records.leases import Lease, LeaseState
from headwater.core.records.runs import Run, RunState
from headwater.core.records.steps import Step, StepState
from headwater.quota import messages as q
from headwater.store.engine import create, open_engine, sqlite_url
from headwater.store.reader import Reader
from headwater.store.writer import Changes, Writer
from headwater.wire import calls
from headwater.wire.terms import Demand

GANG = Demand(gpus_milli=2000, cpus_milli=0, ranks=3, required_level="rack")
RUN = Run(
    id="run", project="eta", flow="train", code_version="v", state=RunState.RUNNING, idempotency_key="k",
    principal="me", root_id="run", created_us=1,
)  # fmt: skip


def a_step(number: int, state: StepState, **facts: Any) -> Step:
    return Step(
        id=f"run/{number}", run_id="run", ordinal=number, project="eta", name="fit", function="f:f", code_version="v",
        state=state, demand=GANG, arguments=calls.Payload(inline=b"x"), created_us=number, **facts,
    )  # fmt: skip


def a_gang(fence: int, state: AttemptState) -> Attempt:
    """Elastic: given two of its three ranks."""
    devices = tuple(f"n{n}/{gpu}" for n in (1, 2) for gpu in (0, 1))
    members = tuple(Member(rank=n - 1, node=f"n{n}", devices=devices[2 * n - 2 : 2 * n]) for n in (1, 2))
    return Attempt(
        fence=fence, step_id=f"run/{fence}", run_id="run", number=1, state=state, node="n1", devices=devices,
        demand=Demand(gpus_milli=2000, cpus_milli=0, ranks=2, required_level="rack"), leased_us=7, members=members,
    )  # fmt: skip


def a_lease(fence: int, device: str, state: LeaseState) -> Lease:
    return Lease(
        fence=fence, device=device, node="n1", milli=1000, state=state, run_id="run", step_id=f"run/{fence}",
        project="eta", since_us=1,
    )  # fmt: skip


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """Steps 1 and 2 run or have ended, 3 and 4 wait."""
    url = sqlite_url(tmp_path / "store.db")
    create(url, store_epoch="e")
    writer = Writer(open_engine(url), "conductor")
    writer.take_epoch()
    steps = [
        a_step(1, StepState.RUNNING, ranks_min=2, evictions=1, checkpoint_us=9, max_runtime_s=60.5),
        a_step(2, StepState.FAILED, priority=3),
        a_step(3, StepState.WAITING, waiting_us=30, priority=5, min_runtime_s=0.5, effect="once"),
        a_step(4, StepState.WAITING),
    ]
    attempts = [a_gang(1, AttemptState.RUNNING), a_gang(2, AttemptState.FAILED)]
    leases = [
        a_lease(2, "n1/0", LeaseState.FREE),
        a_lease(2, "n1/1", LeaseState.RELEASING),
        a_lease(2, "n2/0", LeaseState.FREE),
    ]
    changes: Changes = {
        "runs": {"run": RUN},
        "steps": {step.id: step for step in steps},
        "attempts": {attempt.fence: attempt for attempt in attempts},
        "leases": {(lease.fence, lease.device): lease for lease in leases},
    }
    writer.commit(changes)
    with Reader(open_engine(url, read_only=True)).picture() as picture:
        yield Rows(picture)


def demand() -> q.Demand:
    return q.Demand(gpus_milli=2000, ranks=3, required_level="rack")


def test_a_step_waits_with_the_priority_that_it_was_given_since(rows: Rows) -> None:
    note = QuotaNote(name="priority/run/4", note=50, principal="me", noted_us=1)
    first, second = rows.waiting({"priority/run/4": note})
    assert first == q.StepWaiting("run/3", "run", "eta", "fit", demand(), 30, 5, None, 1, once=True, flow="train")
    assert second == q.StepWaiting("run/4", "run", "eta", "fit", demand(), 4, 50, flow="train")


def test_a_gang_is_leased_with_the_demand_of_its_step_and_the_devices_of_the_ranks_that_it_has(rows: Rows) -> None:
    gang, ended = rows.held()
    ranks = (("n1/0", "n1/1"), ("n2/0", "n2/1"))
    leased = q.AttemptLeased(
        "run/1", 1, "n1", ranks, demand(), ("n1", "n2"), 7, "eta", "run", "fit", 61, ranks_min=2, evictions=1,
        flow="train",
    )  # fmt: skip
    assert gang == Held(leased, True, 9)
    assert (ended.leased.fence, ended.leased.priority, ended.live, ended.checkpoint_us) == (2, 3, False, None)


def test_of_what_is_being_emptied_those_devices_are_known_that_are_free_already(rows: Rows) -> None:
    assert rows.freed() == {2: ("n1/0", "n2/0")}
