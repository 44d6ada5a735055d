import asyncio
import importlib.util
import logging
import os
import pickle
import sys
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from headwater.actors.work import latch
from headwater.actors.work.ground import ROOMY, Limits
from headwater.actors.work.worker import Worker
from headwater.wire.calls import GangSeat, Outcome, Report

_found = importlib.util.spec_from_file_location("worker_desk", Path(__file__).with_name("desk.py"))
assert _found is not None
assert _found.loader is not None
desk: ModuleType = importlib.util.module_from_spec(_found)
_found.loader.exec_module(desk)

pytestmark = pytest.mark.asyncio(loop_scope="session")

STEPS = """
import logging, os, sys, time
from headwater.sdk import current, step

@step
def add(a, b): return a + b

@step
def breaks(): raise ValueError("no")

@step
def leaves(): sys.exit(3)

@step
def talks():
    print("printed")
    print("complained", file=sys.stderr)
    os.system("echo from a child")
    logging.getLogger("mine").info("logged")
    import platform
    return platform.system()

@step
def counts(path):
    with open(path, "a") as file:
        file.write("x")

@step
def naps():
    while True:
        time.sleep(0.01)

@step
def where(): return (current().run_id, current().attempt, current().fence, current().idempotency_key)

@step
def tells():
    for done in range(1000):
        current().progress(done, 1000, note="on its way")

@step
def large():
    import random
    return random.Random(1).randbytes(100_000)

@step
def ranked():
    here = current()
    words = [os.environ[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")]
    return words, (here.rank, here.world_size, here.local_rank), here.master

@step
def keeps_as_rank_1():
    current().checkpoint("of rank 1")

@step
def saves():
    while not current().preempting:
        time.sleep(0.001)
    current().checkpoint("saved")
    time.sleep(60)

@step
def keeps(n):
    before = current().restored
    current().checkpoint({"done": n})
    return before

@step
def whispers(): return dict(current().secrets)

@step
def grows():
    held = []
    while True:
        held.append(b"x" * (1 << 20))
        time.sleep(0.005)

@step
def runs_out(): raise MemoryError("no more")

@step
def unsendable(): return {"deep": [lambda: 0]}
"""


class Place:
    def __init__(self, home: Path, bundle: str) -> None:
        self.home, self.bundle, self.desk, self.limits = home, bundle, desk.Desk(), ROOMY

    @cached_property
    def worker(self) -> Worker:  # made in the test itself: pytest gives each phase its own sys.stdout
        return Worker("worker:1", self.home, self.desk, self.limits)

    async def run(self, function: str, *arguments: object, **more: Any) -> Report:
        order = desk.attempt(self.bundle, f"worker_steps:{function}", *arguments, **more)
        (report,) = await asyncio.wait_for(self.worker.run([order]), 60)
        return report

    async def prepared(self, function: str, *arguments: object, **more: Any) -> asyncio.Task[list[Report]]:
        """What the worker will say of an order that it has and that is not leased."""
        order = desk.attempt(self.bundle, f"worker_steps:{function}", *arguments, **more)
        asked = asyncio.create_task(self.worker.prepare([order]))
        await asyncio.sleep(0)
        return asked


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(sys, "stdout", sys.stdout)
    monkeypatch.setattr(sys, "stderr", sys.stderr)
    monkeypatch.setattr(sys, "path", list(sys.path))
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    home = tmp_path / "home"
    yield Place(home, desk.bundled(home, tmp_path, "worker_steps", STEPS))
    root.handlers, root.level = handlers, level
    sys.modules.pop("worker_steps", None)


def value_of(outcome: Outcome) -> Any:
    assert outcome.failure is None, outcome.failure
    assert outcome.payload is not None
    assert outcome.payload.inline is not None
    return pickle.loads(outcome.payload.inline)


async def test_the_return_of_a_dispatch_is_the_completion(place: Place) -> None:
    report = await place.run("add", 1, 2)
    assert value_of(report.outcome) == 3
    assert report.worker == await place.worker.hello()
    assert report.ended_us >= report.started_us > 0
    assert report.peak_memory_bytes > 0


async def test_a_fence_runs_once_however_often_it_is_dispatched(place: Place, tmp_path: Path) -> None:
    path = str(tmp_path / "count")
    reports = await asyncio.gather(*(place.run("counts", path) for _ in range(3)))
    assert reports == [await place.run("counts", path)] * 3
    assert Path(path).read_text() == "x"


async def test_a_failure_carries_the_users_frames_alone(place: Place) -> None:
    failure = (await place.run("breaks")).outcome.failure
    assert failure is not None
    assert (failure.kind, failure.cause_type, failure.message) == ("exception", "ValueError", "no")
    assert "in breaks" in failure.frames
    assert "headwater" not in failure.frames.replace("headwater-", "")


async def test_a_step_that_exits_fails_and_leaves_the_worker_alive(place: Place) -> None:
    failure = (await place.run("leaves")).outcome.failure
    assert failure is not None
    assert failure.cause_type == "SystemExit"
    assert value_of((await place.run("add", 1, 2, fence=2)).outcome) == 3


async def test_all_that_a_step_prints_and_logs_is_in_its_log(place: Place) -> None:
    assert value_of((await place.run("talks")).outcome) == "Linux"
    lines = (place.home / "logs" / "runs" / "run" / "0.1.log").read_text().splitlines()
    assert lines[:3] == ["printed", "complained", "from a child"]
    assert lines[3].endswith("INFO mine: logged")


async def test_a_once_step_claims_before_its_code_begins(place: Place, tmp_path: Path) -> None:
    path = str(tmp_path / "count")
    await place.run("counts", path, fence=1, effect="once")
    place.desk.refusal = "claim_lost"
    refused = await place.run("counts", path, fence=2, effect="once")
    assert place.desk.claims == [1, 2]
    assert refused.outcome.failure is not None
    assert "claim_lost" in refused.outcome.failure.message
    assert Path(path).read_text() == "x"


async def test_a_step_over_its_time_is_stopped_with_the_frames_where_it_stood(place: Place) -> None:
    failure = (await place.run("naps", timeout_s=0.3)).outcome.failure
    assert failure is not None
    assert failure.kind == "timeout"
    assert "0.3 s" in failure.message
    assert "in naps" in failure.frames
    assert value_of((await place.run("add", 1, 2, fence=2)).outcome) == 3


async def test_a_cancelled_step_is_stopped(place: Place) -> None:
    running = asyncio.create_task(place.run("naps"))
    await asyncio.wait_for(place.desk.heard.get(), 60)  # its first word: it runs
    await place.worker.cancel(1, 10.0)
    failure = (await running).outcome.failure
    assert failure is not None
    assert failure.kind == "cancelled"


async def test_an_attempt_that_has_not_begun_is_called_back(place: Place, tmp_path: Path) -> None:
    running = asyncio.create_task(place.run("naps"))
    path = str(tmp_path / "count")
    waiting = asyncio.create_task(place.run("counts", path, fence=2))
    await asyncio.wait_for(place.desk.heard.get(), 60)
    await place.worker.cancel(2, 10.0)
    await place.worker.cancel(1, 10.0)
    failure = (await waiting).outcome.failure
    assert failure is not None
    assert failure.kind == "cancelled"
    await running
    assert not Path(path).exists()


async def test_code_knows_where_it_runs(place: Place) -> None:
    assert value_of((await place.run("where", fence=7)).outcome) == ("run", 7, 7, "run/0")


async def test_progress_is_thinned_and_its_last_word_arrives(place: Place) -> None:
    await place.run("tells")
    await asyncio.sleep(0)
    heard = [place.desk.heard.get_nowait() for _ in range(place.desk.heard.qsize())]
    assert 1 <= len(heard) <= 10
    assert (heard[-1].done, heard[-1].total, heard[-1].note) == (999, 1000, "on its way")


async def test_a_large_result_is_an_artifact(place: Place) -> None:
    payload = (await place.run("large")).outcome.payload
    assert payload is not None
    assert payload.inline is None
    assert payload.digest is not None


async def test_a_result_over_its_limit_fails_the_attempt_naming_the_limit(place: Place) -> None:
    place.limits = Limits(result_max_bytes=50_000, log_max_bytes=1 << 20)
    failure = (await place.run("large")).outcome.failure
    assert failure is not None
    assert "The step's result has 97.67 KiB, more than the limit of 48.83 KiB" in failure.message
    assert "artifacts.result_max_bytes" in failure.message


async def test_a_result_that_cannot_be_sent_names_its_path(place: Place) -> None:
    failure = (await place.run("unsendable")).outcome.failure
    assert failure is not None
    assert "['deep'][0]" in failure.message


async def test_another_code_version_is_refused(place: Place) -> None:
    await place.run("add", 1, 2)
    import msgspec

    order = msgspec.structs.replace(desk.attempt(place.bundle, "worker_steps:add", fence=2), code_version="w" * 64)
    (report,) = await place.worker.run([order])
    assert report.outcome.failure is not None
    assert "code version" in report.outcome.failure.message


async def test_a_cancel_that_overtakes_its_dispatch_counts(place: Place) -> None:
    await place.worker.cancel(1, 10.0)
    failure = (await place.run("naps")).outcome.failure
    assert failure is not None
    assert failure.kind == "cancelled"


def seat(rank: int) -> GangSeat:
    return GangSeat(rank=rank, world=4, local_rank=1, local_world=2, node="n")


async def test_a_rank_finds_its_place_and_its_master(place: Place) -> None:
    report = await place.run("ranked", gang=seat(3))
    words, place_in_gang, (host, port) = value_of(report.outcome)
    assert (words, place_in_gang) == (["3", "4", "1", "127.0.0.1", str(port)], (3, 4, 1))
    assert host == "127.0.0.1"
    assert "RANK" not in os.environ


async def test_the_checkpoint_of_a_gang_is_that_of_rank_0(place: Place) -> None:
    await place.run("keeps_as_rank_1", gang=seat(1))
    assert place.desk.checkpoints.empty()


async def test_a_rank_that_is_refused_does_not_begin(place: Place) -> None:
    place.desk.refusal = "another rank has ended"
    failure = (await place.run("ranked", gang=seat(0))).outcome.failure
    assert failure is not None
    assert (failure.kind, "another rank" in failure.message) == ("lost", True)


async def test_an_attempt_that_makes_way_ends_with_its_checkpoint(place: Place) -> None:
    running = asyncio.create_task(place.run("saves"))
    await place.desk.heard.get()
    await place.worker.preempt(1, 60.0)
    failure = (await running).outcome.failure
    assert failure is not None
    assert failure.kind == "preempted"
    assert pickle.loads(place.desk.checkpoints.get_nowait().inline or b"") == "saved"


async def test_an_attempt_that_saves_nothing_is_stopped_after_the_grace(place: Place) -> None:
    running = asyncio.create_task(place.run("naps"))
    await place.desk.heard.get()
    await place.worker.preempt(1, 0.01)
    report = await running
    assert report.outcome.failure is not None
    assert (report.outcome.failure.kind, report.seen_empty) == ("preempted", True)


async def test_an_attempt_that_has_not_begun_makes_way_at_once(place: Place) -> None:
    await place.worker.preempt(1, 60.0)
    failure = (await place.run("naps")).outcome.failure
    assert failure is not None
    assert failure.kind == "preempted"


async def test_a_checkpoint_is_durable_and_given_to_the_next_attempt(place: Place) -> None:
    first = await place.run("keeps", 3)
    assert value_of(first.outcome) is None
    kept = place.desk.checkpoints.get_nowait()
    assert pickle.loads(kept.inline) == {"done": 3}
    again = await place.run("keeps", 4, fence=2, checkpoint=kept)
    assert value_of(again.outcome) == {"done": 3}


async def test_a_checkpoint_of_an_attempt_that_was_given_up_raises(place: Place) -> None:
    place.desk.refusal = "given up"
    failure = (await place.run("keeps", 3)).outcome.failure
    assert failure is not None
    assert "given up" in failure.message


async def test_secrets_are_read_where_the_step_runs(place: Place) -> None:
    folder = place.home / "secrets" / "p"
    folder.mkdir(parents=True)
    (folder / "KEY").write_text("of the project\n")
    (place.home / "secrets" / "ALL").write_text("of everybody")
    (place.home / "secrets" / "KEY").write_text("shadowed")
    report = await place.run("whispers", secrets=("KEY", "ALL"))
    assert value_of(report.outcome) == {"KEY": "of the project", "ALL": "of everybody"}


async def test_a_secret_that_is_not_there_fails_the_step_naming_it_and_its_place(place: Place) -> None:
    failure = (await place.run("whispers", secrets=("GONE",))).outcome.failure
    assert failure is not None
    assert "'GONE' for project p" in failure.message
    assert str(place.home / "secrets" / "p" / "GONE") in failure.message


async def test_a_step_that_takes_more_memory_than_it_asked_for_is_stopped_with_its_peak(place: Place) -> None:
    report = await place.run("grows", memory_bytes=20 << 20)
    assert report.outcome.failure is not None
    assert report.outcome.failure.kind == "out_of_memory"
    assert "than the 20 MiB it asked for (peak" in report.outcome.failure.message
    assert report.peak_memory_bytes > 20 << 20


async def test_a_memory_error_is_told_as_such(place: Place) -> None:
    failure = (await place.run("runs_out")).outcome.failure
    assert failure is not None
    assert (failure.kind, failure.cause_type) == ("out_of_memory", "MemoryError")
    assert failure.bases[0] == "builtins.MemoryError"


async def test_several_orders_of_a_call_are_done_in_their_order(place: Place, tmp_path: Path) -> None:
    path = str(tmp_path / "count")
    orders = [desk.attempt(place.bundle, "worker_steps:counts", path, fence=fence) for fence in range(1, 21)]
    reports: dict[int, Report] = {}
    while left := [order for order in orders if order.fence not in reports]:
        reports |= {each.fence: each for each in await asyncio.wait_for(place.worker.run(left), 60)}
    ran = [reports[fence] for fence in range(1, 21) if reports[fence].begun]  # all, unless one took very long
    assert ran
    assert [each.started_us for each in ran] == sorted(each.started_us for each in ran)
    assert Path(path).read_text() == "x" * len(ran)


async def test_behind_one_that_takes_long_what_has_not_begun_is_given_back(place: Place, tmp_path: Path) -> None:
    path = str(tmp_path / "count")
    await place.run("counts", path, fence=1)
    orders = [
        desk.attempt(place.bundle, "worker_steps:naps", fence=2),
        desk.attempt(place.bundle, "worker_steps:counts", path, fence=3),
    ]
    (back,) = await asyncio.wait_for(place.worker.run(orders), 60)
    assert (back.fence, back.begun) == (3, False)
    asking = asyncio.create_task(place.worker.run(orders[:1]))
    await place.worker.cancel(2, 10.0)
    (ended,) = await asyncio.wait_for(asking, 60)
    assert ended.outcome.failure is not None
    assert ended.begun
    assert Path(path).read_text() == "x"


async def test_what_is_prepared_begins_when_it_is_leased(place: Place, tmp_path: Path) -> None:
    path = str(tmp_path / "count")
    prepared = await place.prepared("counts", path)
    await place.worker.leased([1])
    (report,) = await prepared
    assert value_of(report.outcome) is None
    assert Path(path).read_text() == "x"
    assert await place.run("counts", path) == report


async def test_what_is_not_leased_never_begins_and_leaves_at_the_next_order(place: Place, tmp_path: Path) -> None:
    path = str(tmp_path / "count")
    prepared = await place.prepared("counts", path)
    assert value_of((await place.run("add", 1, 2, fence=2)).outcome) == 3
    assert [report.begun for report in await prepared] == [False]
    await place.worker.leased([1])
    assert not Path(path).exists()


async def test_what_was_prepared_and_is_ordered_anew_runs_once(place: Place, tmp_path: Path) -> None:
    path = str(tmp_path / "count")
    prepared = await place.prepared("breaks")  # the same fence, of a life that was not written
    assert value_of((await place.run("counts", path)).outcome) is None
    assert [report.begun for report in await prepared] == [False]
    assert Path(path).read_text() == "x"


async def test_what_nobody_leases_is_given_back(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latch, "SPEAK_WITHIN_S", 0.01)
    (report,) = await (await place.prepared("add", 1, 2))
    assert report.begun is False
    assert value_of((await place.run("add", 1, 2)).outcome) == 3


async def test_the_time_of_what_is_prepared_counts_from_its_lease(place: Place) -> None:
    prepared = await place.prepared("naps", timeout_s=0.05)
    await asyncio.wait([prepared], timeout=0.1)
    assert not prepared.done()
    before_us = time.time_ns() // 1_000
    await place.worker.leased([1])
    (report,) = await prepared
    assert report.outcome.failure is not None
    assert report.outcome.failure.kind == "timeout"
    assert report.started_us >= before_us


async def test_an_attempt_that_prints_nothing_leaves_no_log(place: Place) -> None:
    await place.run("add", 1, 2)
    assert not (place.home / "logs" / "runs").exists()
    await place.run("talks", fence=2)
    assert len(list((place.home / "logs" / "runs" / "run").iterdir())) == 1
