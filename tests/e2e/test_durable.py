"""Flows that outlive what executes them: parked runs, runs inside runs, async flows, on a real platform."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from scenes.hearing import Ear
from scenes.life import homes, up
from scenes.wheel import a_wheel

from headwater.cli.demo import Place
from headwater.sdk import Client
from headwater.sdk.client.runs import Run, RunFailed
from headwater.wire.entries.events import EventPublished
from headwater.wire.entries.runs import RunStarted
from headwater.wire.entries.steps import StepFailed, StepLeased, StepSucceeded

pytestmark = pytest.mark.faults

FLOWS = Path(__file__).parent / "durable_flows"
IMPATIENT = {"HEADWATER_RUNS__EVICT_AFTER_S": "0.3", "HEADWATER_RUNS__HOST_IDLE_S": "3"}


@pytest.fixture(scope="module")
def impatient() -> Iterator[Place]:
    """A platform that lets go of a waiting run at once."""
    with homes() as folder:
        yield up(folder / "home", IMPATIENT)


@pytest.fixture(scope="module")
def hw(impatient: Place) -> Iterator[Client]:
    with Client(impatient.url, impatient.token) as client:
        client.deploy(FLOWS)
        yield client


def test_a_run_that_waits_for_a_person_leaves_memory_and_goes_on_with_the_answer(hw: Client) -> None:
    ear = Ear(hw)
    run = hw.run("eta/approval", {"n": 4})
    ear.next(EventPublished, lambda body: body.event_type == "approval.asked")
    hw.publish("approval.given", {"n": 3, "by": "bob"})
    hw.publish("approval.given", {"n": 4, "by": "ann"})
    result = run.result(200)
    assert (result["by"], result["sum"], result["waited"]) == ("ann", 8, True)


def test_sleeps_pass_while_the_run_is_only_rows(hw: Client) -> None:
    assert hw.run("eta/naps", {"times": 3, "seconds": 1.5}).result(200) == 3


def test_flows_call_themselves_as_runs_of_their_own(hw: Client) -> None:
    run = hw.run("eta/fibonacci", {"n": 4})
    assert run.result(300) == 3
    inside = [each for each in hw.runs(flow="fibonacci", limit=50) if each.parent_id == run.id]
    assert len(inside) == 2


def test_an_async_flow_runs_on_the_platform(hw: Client) -> None:
    assert hw.run("eta/woven", {"n": 4}).result(200) == [0, 2, 4, 6]


def test_a_wait_that_nobody_answers_times_out(hw: Client) -> None:
    assert hw.run("eta/nobody_comes").result(100) == "timeout"


def test_a_lost_once_attempt_waits_for_a_persons_word(hw: Client) -> None:
    run = hw.run("eta/loses_once")
    assert [entry.type for entry in run.watch()][-1] == "run.needs_attention"
    run.accept("it was paid")
    assert run.result(200) == "it was paid"


def test_a_signal_is_told_from_other_deaths(hw: Client) -> None:
    run = hw.run("eta/segfaults")
    assert run.result(200) == "signal"
    failure = run.steps["crashes"][0].failure
    assert failure is not None
    assert "Segmentation fault" in failure.message
    assert "last words" in failure.last_words


def test_an_attempt_goes_on_from_the_checkpoint_of_the_one_before(hw: Client, tmp_path: Path) -> None:
    assert hw.run("eta/goes_on", {"folder": str(tmp_path)}).result(200) == 5


def test_a_resumed_run_does_only_what_was_not_done(hw: Client, tmp_path: Path) -> None:
    run = hw.run("eta/breaks", {"folder": str(tmp_path)})
    with pytest.raises(RunFailed, match="there"):
        run.result(200)
    (tmp_path / "there").touch()
    resumed = run.resume()
    assert resumed.result(200) == 5
    assert (tmp_path / "lines").read_text() == "x\n"


def test_only_the_failed_branches_run_again_here_and_in_the_runs_inside(hw: Client, tmp_path: Path) -> None:
    run = hw.run("eta/branches", {"folder": str(tmp_path)})
    with pytest.raises(RunFailed, match="odd"):
        run.result(200)
    (tmp_path / "there").touch()
    assert run.resume().result(200) == ["one", "odd", "three", ["inside even", "inside odd"]]
    ran = Counter((tmp_path / "lines").read_text().splitlines())
    assert ran == {"one": 1, "odd": 2, "three": 1, "inside even": 1, "inside odd": 2}


def test_one_step_of_a_failed_run_is_done_again_on_a_persons_word(hw: Client, tmp_path: Path) -> None:
    run = hw.run("eta/breaks", {"folder": str(tmp_path)})
    with pytest.raises(RunFailed):
        run.result(200)
    (tmp_path / "there").touch()
    again = run.retry("counted")
    assert (again.result(200), again.detail().resumed_from) == (5, run.id)
    assert (tmp_path / "lines").read_text() == "x\nx\n"


def test_a_run_that_kills_its_host_fails_alone(hw: Client) -> None:
    neighbour = hw.run("eta/naps", {"times": 4, "seconds": 0.2})
    run = hw.run("eta/kills_its_host")
    with pytest.raises(RunFailed, match="while it executed this run alone"):
        run.result(400)
    failure = run.detail().failure
    assert failure is not None
    assert failure.kind == "crash_loop"
    assert neighbour.result(200) == 6


def test_a_cancel_reaches_runs_inside_that_wait(hw: Client) -> None:
    ear = Ear(hw)
    run = hw.run("eta/waits_inside")
    ear.next(RunStarted, lambda body: body.flow == "nobody_answers")
    run.cancel("enough")
    assert [entry.type for entry in run.watch()][-1] == "run.cancelled"
    (inside,) = hw.runs(flow="nobody_answers", limit=1)
    assert (inside.parent_id, inside.state) == (run.id, "CANCELLED")


def test_two_steps_of_a_flow_use_two_versions_of_one_package(hw: Client, tmp_path: Path) -> None:
    packages = [a_wheel(tmp_path, "1.0"), a_wheel(tmp_path, "2.0")]
    assert hw.run("eta/two_versions", {"packages": packages}).result(300) == ["1.0", "2.0"]


def test_a_cached_result_serves_the_next_run(hw: Client, tmp_path: Path) -> None:
    file = str(tmp_path / "lines")
    assert [hw.run("eta/cached", {"file": file}).result(200) for _ in range(2)] == [7, 7]
    assert Path(file).read_text() == "x\n"


def test_a_run_tells_where_its_code_comes_from(hw: Client) -> None:
    provenance = hw.run("eta/naps", {"times": 1, "seconds": 0.1}).detail().provenance
    assert len(provenance["source"]["commit"]) == 40
    assert provenance["environment"]["packages"]["ray"]


RELEASED = """
from headwater.sdk import flow, step, wait_for

@step
def version_of_a_step() -> int:
    return {version}

@flow(project="eta")
def released() -> list[int]:
    wait_for("release.over", timeout="5m")
    return [{version}, version_of_a_step().result()]
"""


def test_a_run_keeps_its_code_over_a_deploy_and_new_ones_take_the_newest(hw: Client, tmp_path: Path) -> None:
    file, ear, runs = tmp_path / "flow.py", Ear(hw), list[Run]()
    for version in (1, 2):
        file.write_text(RELEASED.format(version=version))
        hw.deploy(file)
        runs.append(hw.run("eta/released"))
        ear.next(RunStarted)
    assert runs[0].detail().code_version != runs[1].detail().code_version
    hw.publish("release.over")
    assert [run.result(200) for run in runs] == [[1, 1], [2, 2]]


def test_attempts_that_died_together_come_back_alone_and_each_counts_once(hw: Client, tmp_path: Path) -> None:
    run = hw.run("eta/fan_out", {"count": 200, "folder": str(tmp_path)})
    assert run.result(200) == sum(range(200))
    told = list(run.watch())
    assert [entry.seq for entry in told] == list(range(1, len(told) + 1))
    won = [entry.body.step_id for entry in told if isinstance(entry.body, StepSucceeded)]
    assert len(won) == len(set(won)) == 205
    leased = [entry.body for entry in told if isinstance(entry.body, StepLeased)]
    lost = [entry.body.step_id for entry in told if isinstance(entry.body, StepFailed)]
    assert lost
    again = [body for body in leased if body.step_id in lost and body.attempt > 1]
    assert {body.step_id for body in again} == set(lost)
    if len(lost) > 1:  # they were together; a loaded machine may have sent the seventh alone
        assert all(body.place == 0 for body in again)
