"""Which runs keep the places of replicas: started, started again, ended."""

from __future__ import annotations

from typing import Any

import msgspec

from headwater.core.inventory import Deployment
from headwater.core.records.runs import Run, RunState
from headwater.serve.keeping import FLOW
from headwater.serve.seating import AGAIN_AFTER_S, Wish, change, last_failure, wishes
from headwater.wire.terms import Failure

S = 1_000_000


def a_deployment(replicas: int = 2, **changed: Any) -> Deployment:
    fields = {"name": "eta", "project": "flights", "version": 1, "digest": "d", "replicas_min": 1, "principal": "ann"}
    return Deployment(**{**fields, "replicas_max": replicas, "gpus_milli": 1000, "requested_us": 5, **changed})


def a_run(wish: Wish, number: int = 0, state: RunState = RunState.RUNNING, **changed: Any) -> Run:
    run = Run(
        id=f"r{number}",
        project=wish.project,
        flow=FLOW,
        code_version="v1",
        state=state,
        idempotency_key=f"k{number}",
        principal="headwater",
        parameters=msgspec.to_builtins(wish.place),
        root_id=f"r{number}",
        created_us=10,
    )
    return msgspec.structs.replace(run, **changed)


def test_each_replica_that_leases_devices_has_a_run_and_others_have_none() -> None:
    wanted = wishes([a_deployment(), a_deployment(name="small", gpus_milli=0)], "/home/serving")
    assert [(wish.model, wish.place.folder, wish.place.replica) for wish in wanted] == [
        ("eta", "/home/serving/eta", 0),
        ("eta", "/home/serving/eta", 1),
    ]
    assert change(wanted, [], 0).start == wanted
    runs = [a_run(wish, number) for number, wish in enumerate(wanted)]
    assert change(wanted, runs, 0) == ([], [])


def test_what_is_no_longer_wanted_ends() -> None:
    two, one = wishes([a_deployment()], "/s"), wishes([a_deployment(1)], "/s")
    runs = [a_run(wish, number) for number, wish in enumerate(two)]
    assert [run.id for run in change(one, runs, 0).end] == ["r1"]
    assert [run.id for run in change([], runs, 0).end] == ["r0", "r1"]


def test_other_devices_or_another_tier_are_other_places() -> None:
    before = wishes([a_deployment(1)], "/s")
    for changed in ({"gpus_milli": 500}, {"gpu_model": "H100"}, {"tier": 1}):
        after = wishes([a_deployment(1, **changed)], "/s")
        found = change(after, [a_run(before[0])], 0)
        assert (found.start, [run.id for run in found.end]) == (after, ["r0"])


def test_of_two_runs_for_one_place_the_younger_ends() -> None:
    wanted = wishes([a_deployment(1)], "/s")
    found = change(wanted, [a_run(wanted[0], 1), a_run(wanted[0], 0)], 0)
    assert (found.start, [run.id for run in found.end]) == ([], ["r1"])


def test_a_run_that_is_being_cancelled_is_not_ended_again_and_keeps_no_place() -> None:
    wanted = wishes([a_deployment(1)], "/s")
    found = change(wanted, [a_run(wanted[0], state=RunState.CANCELLING)], 0)
    assert found == (wanted, [])


def test_a_run_that_failed_is_started_again_after_a_pause_that_doubles() -> None:
    wanted = wishes([a_deployment(1)], "/s")
    failed = [a_run(wanted[0], n, RunState.FAILED, ended_us=20 * S) for n in range(2)]
    pause_s = 2 * AGAIN_AFTER_S
    assert change(wanted, failed, (20 + pause_s) * S - 1).start == []
    assert change(wanted, failed, (20 + pause_s) * S).start == wanted
    anew = wishes([a_deployment(1, requested_us=11)], "/s")
    assert change(anew, failed, 20 * S).start == anew  # somebody has asked again since


def test_the_newest_failure_says_why_there_is_no_place() -> None:
    [wish] = wishes([a_deployment(1)], "/s")
    old = a_run(wish, 0, RunState.FAILED, failure=Failure(kind="impossible", message="old"), created_us=10)
    new = a_run(wish, 1, RunState.FAILED, failure=Failure(kind="impossible", message="no H100"), created_us=20)
    assert last_failure(wish, [new, old]) == "no H100"
    assert last_failure(wish, [a_run(wish)]) == ""
