"""Watching runs: every transition, in order, pushed, without gap or repeat, to the end."""

from __future__ import annotations

from pathlib import Path

import httpx
from scenes.gate import Gate
from scenes.hearing import Ear

from headwater.cli.demo import Place
from headwater.sdk import Client
from headwater.wire.entries.runs import RunAccepted, RunSucceeded
from headwater.wire.entries.steps import StepLeased, StepSucceeded

LIFE = ["run.accepted", "run.started", "step.waiting", "step.leased", "step.succeeded", "run.succeeded"]
UNSURE = ("step.held", "step.started")  # a step that goes at once is not held; a quick one starts and ends in one word


def test_a_subscriber_sees_every_transition_in_order_and_the_end(hw: Client) -> None:
    told = list(hw.run("eta/double", {"n": 3}).watch())
    assert [entry.seq for entry in told] == list(range(1, len(told) + 1))
    assert [entry.type for entry in told if entry.type not in UNSURE] == LIFE
    assert [entry.position for entry in told] == sorted({entry.position for entry in told})
    last = told[-1].body
    assert isinstance(last, RunSucceeded)
    assert last.result == 6


def test_what_happens_is_pushed_while_it_happens(hw: Client, gate: Gate, tmp_path: Path) -> None:
    run = hw.run("eta/wait_at", {"gate": gate.port, "notes": str(tmp_path / "notes")})
    entries = run.watch()
    guest = gate.guest()
    for entry in entries:
        if isinstance(entry.body, StepLeased) and entry.body.name == "stand_at":
            break
    assert run.state == "RUNNING"
    guest.let_go()
    assert [entry.type for entry in entries][-1] == "run.succeeded"


def test_a_watch_resumes_after_any_entry_without_gap_or_repeat(hw: Client, platform: Place) -> None:
    run = hw.run("eta/double", {"n": 3})
    whole = list(run.watch())
    epoch = hw.status().store_epoch
    for seen in range(1, len(whole)):
        rest = list(run.watch(since=f"{epoch}:{whole[seen - 1].position}"))
        assert rest == whole[seen:]
    headers = {"authorization": f"Bearer {platform.token}", "last-event-id": f"{epoch}:{whole[-2].position}"}
    stream = httpx.get(f"{platform.url}/v1/runs/{run.id}/events", headers=headers, timeout=30).text
    assert stream.count("event: run.") == 1
    assert "event: end" in stream


def test_a_project_is_watched_apart_from_the_others(hw: Client) -> None:
    of_eta, of_all = Ear(hw, "eta"), Ear(hw)
    elsewhere, here = hw.run("flights/surroundings"), hw.run("eta/double", {"n": 1})
    assert of_eta.next(RunAccepted)[0].run_id == here.id
    assert of_all.next(RunAccepted)[0].run_id == elsewhere.id
    elsewhere.result(100)
    here.result(100)


def test_a_worker_knows_the_platform_module_and_its_device_was_leased(hw: Client) -> None:
    run = hw.run("flights/surroundings")
    told = [entry.body for entry in run.watch()]
    seen = run.result()
    assert seen["system"] == "Linux"
    assert seen["step"] == "look_around"
    leased = next(body for body in told if isinstance(body, StepLeased))
    succeeded = next(body for body in told if isinstance(body, StepSucceeded))
    assert len(leased.devices) == 1
    assert succeeded.devices == leased.devices


def test_an_event_that_a_flow_publishes_starts_the_flow_that_listens(hw: Client) -> None:
    ear = Ear(hw, "eta")
    hw.publish("word.said", {"word": "hello"})
    _, heard = ear.next(RunAccepted, lambda body: body.flow == "hear")
    assert heard.parameters == {"word": "hello"}
    assert heard.depth == 1
    _, ended = ear.next(RunSucceeded, lambda body: body.flow == "hear")
    assert ended.result == "HELLO"


def test_a_cancel_reaches_a_running_step(hw: Client, gate: Gate, tmp_path: Path) -> None:
    run = hw.run("eta/wait_at", {"gate": gate.port, "notes": str(tmp_path / "notes")})
    guest = gate.guest()
    run.cancel("changed my mind")
    assert guest.is_gone()
    last = list(run.watch())[-1]
    assert last.type == "run.cancelled"
    assert run.detail().cancel_reason == "changed my mind"


def test_a_key_that_was_used_gives_the_same_run(hw: Client) -> None:
    first = hw.run("eta/double", {"n": 1}, key="one-and-the-same")
    assert hw.run("eta/double", {"n": 1}, key="one-and-the-same").id == first.id


def test_a_flow_runs_as_soon_as_its_deploy_has_been_answered(hw: Client, tmp_path: Path) -> None:
    for number in range(5):
        code = f"@flow(project='eta')\ndef newest{number}() -> int:\n    return {number}\n"
        (tmp_path / "flow.py").write_text(f"from headwater.sdk import flow\n\n\n{code}")
        hw.deploy(tmp_path)
        assert hw.run(f"eta/newest{number}").result(60) == number
