"""Several nodes: steps run where they were placed, and a node that goes takes no result with it."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scenes.cluster import NEW, OLD, Cluster, cluster_of, node_of, until
from scenes.evidence import evidence_of
from scenes.gate import Gate
from scenes.oracle import judged
from scenes.seats import replicas_of

from headwater.actors.devices.node_agent import processes_of
from headwater.artifacts.files import Files
from headwater.core.attempt_mark import mark_of
from headwater.errors import HeadwaterError
from headwater.sdk import Client
from headwater.sdk.client.runs import Run
from headwater.store.engine import sqlite_url
from headwater.wire.api.steps import StepView

FLOWS = Path(__file__).parent / "node_flows"
pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with cluster_of("n2", "n3", "n4") as one:
        yield one


@pytest.fixture(scope="module")
def hw(cluster: Cluster) -> Iterator[Client]:
    with Client(cluster.place.url, cluster.place.token) as client:
        client.deploy(FLOWS)
        yield client


@pytest.fixture
def whole(cluster: Cluster) -> Cluster:
    """The cluster with all its nodes in service."""
    cluster.join_again()
    return cluster


def test_each_step_runs_on_the_node_that_it_was_granted(whole: Cluster, hw: Client, gate: Gate) -> None:
    run = hw.run("eta/side_by_side", {"gate": gate.port, "model": NEW, "count": 2})
    pids = [gate.guest().pid, gate.guest().pid]
    assert sorted(name for name in ("n2", "n3", "n4") for pid in pids if whole.lives_on(name, pid)) == ["n3", "n4"]
    for guest in gate.guests:
        guest.let_go()
    run.result(100)
    leased = {step.attempts[0].node: step.attempts[0].devices for step in run.steps["stand"]}
    assert leased == {"n3": ("n3/0", "n3/1"), "n4": ("n4/0", "n4/1")}


def test_a_nodes_death_runs_no_finished_step_again(whole: Cluster, hw: Client, gate: Gate) -> None:
    run = hw.run("eta/one_after_another", {"gate": gate.port, "first": OLD, "then": NEW})
    guest = gate.guest()
    until(lambda: run.steps["make"][0].state == "SUCCEEDED")
    whole.die("n2")
    guest.let_go()
    assert run.result(100) == sum(range(400_000))
    (made,) = run.steps["make"]
    assert [(attempt.node, attempt.state) for attempt in made.attempts] == [("n2", "SUCCEEDED")]
    (added,) = run.steps["add_up"]
    assert [attempt.node for attempt in added.attempts] in (["n3"], ["n4"])


def test_what_ran_on_a_node_that_died_runs_on_another(whole: Cluster, hw: Client, gate: Gate) -> None:
    run = hw.run("eta/side_by_side", {"gate": gate.port, "model": NEW, "count": 1})
    first = gate.guest()
    (there,) = [name for name in ("n3", "n4") if whole.lives_on(name, first.pid)]
    whole.die(there)
    second = gate.guest()
    assert second.attempt == 2
    second.let_go()
    run.result(100)
    (step,) = run.steps["stand"]
    assert [attempt.state for attempt in step.attempts] == ["LOST", "SUCCEEDED"]
    assert step.attempts[0].node == there != step.attempts[1].node
    assert step.attempts[0].failure is not None
    assert step.attempts[0].failure.kind == "lost"


def test_an_attempt_that_was_cut_off_and_ends_late_changes_nothing(whole: Cluster, hw: Client, gate: Gate) -> None:
    files = Files(whole.place.home / "artifacts")
    run = hw.run("eta/make_twice", {"gate": gate.port, "model": NEW})
    first = gate.guest()
    (there,) = [name for name in ("n3", "n4") if whole.lives_on(name, first.pid)]
    whole.cut_off(there)
    second = gate.guest()
    second.let_go()
    assert run.result(100) == 200_000.0
    told, steps, known = list(run.watch()), views_of(run), digests(files)
    os.kill(first.pid, signal.SIGCONT)
    first.let_go()
    until(lambda: digests(files) > known)
    assert first.is_gone()
    whole.die(there)
    (orphan,) = digests(files) - known
    assert np.array_equal(np.load(files.path(orphan)), np.full(100_000, 1.0))
    os.utime(files.path(orphan), (0, 0))
    assert orphan in hw.collect_artifacts().largest
    assert digests(files) <= known
    assert (list(run.watch()), views_of(run)) == (told, steps)
    assert [attempt.state for attempt in steps[0].attempts] == ["LOST", "SUCCEEDED"]
    assert judged(evidence_of(sqlite_url(whole.place.home / "store.db"), whole.place.bootstrap)) == []


def test_a_gang_over_two_nodes_goes_on_with_fewer_ranks_when_one_dies(whole: Cluster, hw: Client, gate: Gate) -> None:
    run = hw.run("eta/hand_in_hand", {"gate": gate.port, "model": NEW})
    first = gate.guest()
    here, there = sorted(("n3", "n4"), key=lambda name: not whole.lives_on(name, first.pid))
    whole.die(there)
    second = gate.guest()
    assert whole.lives_on(here, second.pid)
    second.let_go()
    assert run.result(100) == ["rank 0", "rank 1"]
    (step,) = run.steps["join_hands"]
    assert [attempt.state for attempt in step.attempts] == ["LOST", "SUCCEEDED"]
    assert [len(attempt.devices) for attempt in step.attempts] == [4, 2]


def test_a_node_that_leaves_lets_its_steps_end_and_gets_no_new_one(whole: Cluster, hw: Client, gate: Gate) -> None:
    run = hw.run("eta/side_by_side", {"gate": gate.port, "model": NEW, "count": 1})
    guest = gate.guest()
    (there,) = [name for name in ("n3", "n4") if whole.lives_on(name, guest.pid)]
    whole.leave(there)
    until(lambda: node_of(hw, there).state == "DRAINED")
    other = hw.run("eta/side_by_side", {"gate": gate.port, "model": NEW, "count": 1})
    elsewhere = gate.guest()
    assert not whole.lives_on(there, elsewhere.pid)
    elsewhere.let_go()
    guest.let_go()
    other.result(100), run.result(100)
    assert [attempt.state for step in run.steps["stand"] for attempt in step.attempts] == ["SUCCEEDED"]
    whole.left(there)
    until(lambda: node_of(hw, there).state == "LEFT")


# Sharing. Of the seven GPUs eta owns three and flights four; what is waited for comes within seconds.


@pytest.fixture
def sharing(whole: Cluster, hw: Client) -> Iterator[Client]:
    before = hw.quota().tree
    policy = {"grow_after_s": 2, "move_after_s": 12, "grace_s": 3, "settle_s": 0}
    projects = {"eta": {"gpu": 3}, "flights": {"gpu": 4}}
    hw.order("quota.apply", {"tree": {"cohort": {"local": {"projects": projects}}, "policy": policy}})
    yield hw
    hw.order("quota.apply", {"tree": before})


def test_an_elastic_gang_grows_into_idle_room_and_gives_it_back_to_its_owner(sharing: Client, gate: Gate) -> None:
    busy = sharing.run("eta/side_by_side", {"gate": gate.port, "model": NEW, "count": 1})
    first = gate.guest()
    run = sharing.run("eta/hand_in_hand", {"gate": gate.port, "model": NEW})
    assert gate.guest().attempt == 1
    first.let_go()
    busy.result(100)
    assert gate.guest().attempt == 2  # with all four ranks
    owner = sharing.run("flights/take_back", {"gate": gate.port, "model": NEW})
    later = [gate.guest(), gate.guest()]  # flights' step, and the gang with the two ranks that are left
    for guest in later:
        guest.let_go()
    assert run.result(100) == ["rank 0", "rank 1"]
    owner.result(100)
    (step,) = run.steps["join_hands"]
    assert [attempt.state for attempt in step.attempts] == ["PREEMPTED", "PREEMPTED", "SUCCEEDED"]
    assert [len(attempt.devices) for attempt in step.attempts] == [2, 4, 2]
    why = [attempt.failure.message for attempt in step.attempts if attempt.failure is not None]
    assert why[0].startswith("Begins again with 4 ranks in place of 2")
    assert why[1].startswith("Ended for step stand of project flights")


def test_a_small_job_is_moved_so_that_a_large_one_has_a_whole_node(whole: Cluster, sharing: Client, gate: Gate) -> None:
    small = sharing.run("eta/small_ones", {"gate": gate.port, "model": NEW, "count": 3})
    guests = [gate.guest() for _ in range(3)]
    on_n3 = [guest for guest in guests if whole.lives_on("n3", guest.pid)]
    packed = on_n3 if len(on_n3) == 2 else [guest for guest in guests if guest not in on_n3]
    packed[0].let_go()  # each node has one left, and one free GPU
    until(lambda: [step.state for step in small.steps["stand_anywhere"]].count("SUCCEEDED") == 1)
    large = sharing.run("eta/side_by_side", {"gate": gate.port, "model": NEW, "count": 1})
    for guest in (gate.guest(), gate.guest(), *(each for each in guests if each is not packed[0])):
        with contextlib.suppress(OSError):  # one of those that were there was moved: it came again
            guest.let_go()
    large.result(100), small.result(100)
    attempts = [step.attempts for step in small.steps["stand_anywhere"] if len(step.attempts) == 2]
    ((before, after),) = attempts
    assert (before.state, after.state) == ("PREEMPTED", "SUCCEEDED")
    assert before.node != after.node
    assert before.failure is not None
    assert before.failure.message.startswith("Moved so that step stand of project eta fits on node")


def test_a_borrowers_gang_goes_on_from_its_checkpoint_and_ends_with_the_same_model(sharing: Client, gate: Gate) -> None:
    sharing.run("eta/dots").result(100)
    undisturbed = sharing.run("eta/learn_together", {"gate": 0, "model": NEW}).result(100)
    run = sharing.run("eta/learn_together", {"gate": gate.port, "model": NEW})
    gate.guest()  # it has all four, of which eta owns three, and stands on its way
    owner = sharing.run("flights/take_back", {"gate": gate.port, "model": NEW})
    gate.guest().let_go()
    owner.result(100)
    disturbed = run.result(100)
    assert 0 < disturbed["began"] < disturbed["rows"] == undisturbed["rows"] == 2_000
    assert undisturbed["began"] == 0
    assert disturbed["weights"] == undisturbed["weights"]
    assert disturbed["order"] == undisturbed["order"]  # each rank saw the same rows in the same order, none twice
    (step,) = run.steps["fit_together"]
    assert [attempt.state for attempt in step.attempts] == ["PREEMPTED", "SUCCEEDED"]


def test_a_device_on_which_a_process_was_left_is_lent_again_when_it_is_empty(
    whole: Cluster, hw: Client, gate: Gate
) -> None:
    run = hw.run("eta/leave_behind", {"gate": gate.port, "model": OLD})
    first = gate.guest()
    os.kill(first.pid, signal.SIGKILL)
    second = gate.guest()
    second.let_go()
    assert run.result(100) == 2
    (step,) = run.steps["stand_with_child"]
    had, has = (attempt.devices[0] for attempt in step.attempts)
    assert had != has
    until(lambda: states_of(hw, "n2")[had] == "QUARANTINED")
    wide = hw.run("eta/side_by_side", {"gate": gate.port, "model": OLD, "count": 1})
    until(lambda: [each.run_id for each in hw.quota().waiting] == [wide.id])
    (left,) = processes_of(mark_of(f"{run.id}/0", step.attempts[0].fence))
    os.kill(left, signal.SIGKILL)
    gate.guest().let_go()
    wide.result(100)
    assert states_of(hw, "n2")[had] == "READY"


def test_replicas_stand_on_the_nodes_of_their_leases_and_outlive_one_of_them(whole: Cluster, hw: Client) -> None:
    name, asked = "adder_on_nodes", {"left": [1.0], "right": [2.0]}
    hw.run("eta/serve_on", {"model": NEW, "name": name, "replicas": 2}).result(100)
    until(lambda: len(replicas_of(whole.place, name)) == 2)
    pids = [replica.pid for replica in replicas_of(whole.place, name)]
    assert sorted(node for node in ("n2", "n3", "n4") for pid in pids if whole.lives_on(node, pid)) == ["n3", "n4"]
    until(lambda: [row.state for row in hw.deployments() if row.name == name] == ["READY"])
    whole.die("n3")
    until(lambda: [held.devices for held in hw.quota().held if held.project == "eta"] == [("n4/0", "n4/1")])
    until(lambda: answered(hw, name, asked) == [3.0])
    hw.models[name].unserve()
    until(lambda: not hw.quota().held)


def answered(hw: Client, name: str, asked: dict[str, list[float]]) -> list[float]:
    """Nothing while the front door still sends to the replica that has died."""
    with contextlib.suppress(HeadwaterError):
        return list(hw.models[name].predict(asked)["sum"])
    return []


def digests(files: Files) -> set[str]:
    return {one.digest for one in files.there()}


def views_of(run: Run) -> list[StepView]:
    return [step.view for step in run.steps["make_at"]]


def states_of(hw: Client, node: str) -> dict[str, str]:
    return {device.id: device.state for device in node_of(hw, node).devices}
