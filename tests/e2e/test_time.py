"""Time that stands still for one, and time that jumps for all: stopped leaders, and the owners' clock that is set."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psutil
import pytest
from scenes.cluster import until
from scenes.evidence import rows_of
from scenes.hearing import Ear
from scenes.kafka import event, send
from scenes.rival import second_leader
from scenes.settling import Hurt, hurt

from headwater import crash
from headwater.config import load
from headwater.local.home import running
from headwater.store.engine import open_engine
from headwater.store.reader import Reader
from headwater.wire.entries.events import EventRejected, TriggerExpired
from headwater.wire.entries.runs import RunAccepted

pytestmark = pytest.mark.faults
FLOWS = Path(__file__).parent / "flows"
CONDUCTOR = "ray::ConductorActor"
SILENT_AFTER_S = 6.0
LOOKED_AT_WITHIN_S = 20.0  # `up` looks every few seconds, and the machine is busy; without the setting it takes 30 s
WITHIN_S = 100.0
HOUR_S = 3_600.0
NONE = timedelta()
DEPTH_MAX = load(environment={}).runs.depth_limit
CLOCKED = """
from headwater.sdk import flow, on

@flow(project="eta", on=on.cron("{cron}", tz="{zone}", catch_up="all(24)", name="clock"))
def {flow}(nominal: str) -> str:
    return nominal
"""


@pytest.fixture(scope="module")
def victim() -> Iterator[Hurt]:
    with hurt(FLOWS, more={"HEADWATER_OWNERS__SILENT_AFTER_S": str(SILENT_AFTER_S)}) as one:
        yield one


def stop_inside(victim: Hurt) -> int:
    """The Conductor's process, stopped while it holds the store's lock for what it takes in."""
    (leader,) = victim.kill(CONDUCTOR, signal.SIGCONT)
    victim.arm("t1.inside", f"1 {crash.STOP}")
    send(victim.place.bootstrap, event("number.came", {"n": 1}, id="held inside"))
    until(lambda: psutil.Process(leader).status() == psutil.STATUS_STOPPED)
    return leader


def stop_between(victim: Hurt) -> int:
    """The Conductor's process, stopped while nothing is on its way."""
    victim.at_rest()
    (leader,) = victim.kill(CONDUCTOR, signal.SIGSTOP)
    return leader


@pytest.mark.parametrize("stop", [stop_inside, stop_between])
def test_the_others_write_again_once_a_stopped_leader_was_silent_for_the_setting(
    victim: Hurt, stop: Callable[[Hurt], int]
) -> None:
    (node,) = [node.id for node in victim.hw.nodes()]
    ear = Ear(victim.hw)
    leader, began = stop(victim), time.monotonic()
    send(victim.place.bootstrap, event("number.came", {"n": 21}, id=f"during {stop.__name__}"))
    victim.hw.order("node.drain", {"node": node, "drained": False})  # the GpuPool writes
    assert time.monotonic() - began < SILENT_AFTER_S + LOOKED_AT_WITHIN_S
    assert victim.hw.runs[ear.run_of(f"during {stop.__name__}")].result(WITHIN_S) == 42
    assert not psutil.pid_exists(leader)
    victim.at_rest()


def test_a_leader_that_was_passed_by_writes_no_row_and_ends_itself(victim: Hurt) -> None:
    home, before = victim.place.home, victim.at_rest()
    (leader,), raylets = victim.kill(CONDUCTOR, signal.SIGCONT), victim.kill("raylet/raylet", signal.SIGCONT)
    with asleep(running(home).up.pid, leader), second_leader(home) as second:
        taken = epoch(victim)
        send(victim.place.bootstrap, event("number.came", {"n": 4}, id="of the second leader"))
        until(lambda: "of the second leader" in taken_in(victim))
        with asleep(*raylets):  # nobody starts the old one again
            os.kill(leader, signal.SIGCONT)
            until(lambda: has_ended(leader))
            assert epoch(victim) == taken
            assert second.poll() is None
    after = victim.at_rest()
    assert [run.event_id for run in after.runs if run not in before.runs] == ["of the second leader"]


@contextmanager
def asleep(*pids: int) -> Iterator[None]:
    """These processes are stopped meanwhile."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def has_ended(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def epoch(victim: Hurt) -> int:
    with Reader(open_engine(victim.store, read_only=True)).picture() as picture:
        return int(picture.head["conductor_epoch"])


def test_a_half_that_comes_just_inside_the_window_makes_one_run_and_one_outside_makes_none(victim: Hurt) -> None:
    ear, before = Ear(victim.hw), runs_of(victim, "join_two")
    first = victim.hw.publish("left.came", {"pair": "inside"})
    until(lambda: first in taken_in(victim))
    victim.jump(3_500)
    second = victim.hw.publish("right.came", {"pair": "inside"})
    assert victim.hw.runs[ear.run_of(second)].result(WITHIN_S) == "inside"
    alone = victim.hw.publish("left.came", {"pair": "outside"})
    until(lambda: alone in taken_in(victim))
    victim.jump(3_601)
    _, expired = ear.next(TriggerExpired)
    assert expired.trigger.startswith("eta/join_two/")
    assert [event_id.rpartition("/")[2] for event_id in expired.events] == [alone]
    late = victim.hw.publish("right.came", {"pair": "outside"})
    until(lambda: late in taken_in(victim))
    assert runs_of(victim, "join_two") == before + 1


def test_a_clock_that_jumps_to_and_fro_makes_one_run_for_each_nominal_time(victim: Hurt, tmp_path: Path) -> None:
    victim.jump(HOUR_S - victim.now_s() % HOUR_S + HOUR_S / 2)
    clocked(victim, tmp_path, "hourly", "0 * * * *", "UTC")
    for hours in (1, 2, -2, 1, 2):
        victim.jump(hours * HOUR_S)
    victim.kill("ray::ConductorActor")
    victim.jump(HOUR_S)
    victim.hw.pause("eta/hourly/clock")
    struck = nominals(victim, "hourly")
    assert struck == [struck[0] + timedelta(hours=number) for number in range(5)]


@pytest.mark.parametrize(("flow", "turns", "after_turn_s"), [("in_march", 1, 0.0), ("in_october", -1, -HOUR_S / 2)])
def test_where_summer_time_begins_or_ends_a_nominal_time_is_one_run(
    victim: Hurt, tmp_path: Path, flow: str, turns: int, after_turn_s: float
) -> None:
    """Half past two in Berlin: in March there is none, and it comes right after the jump; in October there are two."""
    turn_s = next_turn(victim.now_s(), turns)
    victim.jump(turn_s - victim.now_s() - 2 * HOUR_S)
    clocked(victim, tmp_path, flow, "30 2 * * *", "Europe/Berlin")
    ear = Ear(victim.hw)
    victim.jump(turn_s + after_turn_s - victim.now_s() - 2)
    _, accepted = ear.next(RunAccepted, lambda body: body.flow == flow)  # while the clock goes on as ever
    for _ in range(4):
        victim.jump(HOUR_S / 2)
    victim.hw.pause(f"eta/{flow}/clock")
    assert nominals(victim, flow) == [datetime.fromtimestamp(turn_s + after_turn_s, UTC)]
    assert accepted.event_id.startswith(f"eta/{flow}/clock@")


def test_a_flow_that_starts_itself_is_stopped(victim: Hurt) -> None:
    ear = Ear(victim.hw)
    victim.hw.publish("echo.heard", {"voice": "hello"}, id="hello")
    _, rejected = ear.next(EventRejected)
    assert rejected.code == "loop_detected"
    assert runs_of(victim, "echo") == DEPTH_MAX


def clocked(victim: Hurt, folder: Path, flow: str, cron: str, zone: str) -> None:
    """Deploys a flow of that name, which the clock starts."""
    file = folder / "flow.py"
    file.write_text(CLOCKED.format(flow=flow, cron=cron, zone=zone))
    victim.hw.deploy(file)


def nominals(victim: Hurt, flow: str) -> list[datetime]:
    ids = [run.event_id for run in victim.at_rest().runs if run.flow == flow]
    return sorted(datetime.fromisoformat(event_id.partition("@")[2]) for event_id in ids)


def next_turn(after_s: float, sign: int) -> float:
    """When the hour is next moved forward (1) or back (-1) in Berlin."""
    zone = ZoneInfo("Europe/Berlin")
    at = datetime.fromtimestamp(after_s - after_s % HOUR_S, UTC) + timedelta(days=1)
    while True:
        before, at = at, at + timedelta(hours=1)
        moved = (at.astimezone(zone).utcoffset() or NONE) - (before.astimezone(zone).utcoffset() or NONE)
        if moved == timedelta(hours=sign):
            return at.timestamp()


def taken_in(victim: Hurt) -> set[str]:
    return {row.id for row in rows_of(victim.store).inbox}


def runs_of(victim: Hurt, flow: str) -> int:
    return sum(run.flow == flow for run in victim.at_rest().runs)
