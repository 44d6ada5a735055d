"""A noisy neighbour: many events and eight devices, and a quiet project beside it; and a device that falls ill.

`EVENTS_A_MINUTE` says how many are sent, for a machine that cannot take in as many; one in forty or so asks for a
device. The test prints how many were really taken in, and how long the quiet project's steps waited for their start.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

import psutil
import pytest
from aiokafka import AIOKafkaProducer
from scenes.cluster import until
from scenes.evidence import Evidence
from scenes.harm import title_of
from scenes.kafka import STRUCTURED, event
from scenes.life import headwater, homes, processes_of, up
from scenes.settling import Hurt

from headwater.core.records.inbox import InboxRow
from headwater.sdk import Client
from headwater.store.engine import sqlite_url
from headwater.wire.api.nodes import DeviceView
from headwater.wire.entries.nodes import DevicesFreed
from headwater.wire.entries.steps import StepFailed, StepLeased, StepSucceeded

pytestmark = pytest.mark.faults
FLOWS = Path(__file__).parent / "neighbour_flows"
WITHIN_S = 120.0
EVENTS_A_MINUTE = int(os.environ.get("EVENTS_A_MINUTE", "50000"))
NOISE_S = 10.0
NOISY_RUNS = 200
HOLD_S = 0.2
ASKED = 40  # of the quiet project, idle and beside the noise
PARTITIONS = 4
AT_ONCE_MAX = 200  # as many as the batches of all partitions hold
TOGETHER_S = 0.02  # what is due within it is sent together: the sender is not what is measured
CAPS = {"noisy": 6, "quiet": 4}  # guaranteed and borrowed together
GROWS_MAX_BYTES = 200 << 20
OWNERS = ("Conductor", "Scheduler", "GpuPool", "Web")
TREE = {
    "cohort": {
        "lab": {
            "gpu": 8,
            "projects": {
                "noisy": {"gpu": {"nominal": 4, "borrow_limit": 2}},
                "quiet": {"gpu": {"nominal": 2, "borrow_limit": 2}},
            },
        }
    }
}


@pytest.fixture(scope="module")
def shared() -> Iterator[Hurt]:
    with homes() as folder:
        place = up(folder / "home", {"HEADWATER_GPUS": "8", "HEADWATER_LEASES__LEASE_LIFETIME_S": "9"})
        with Client(place.url, place.token) as hw:
            hw.order("quota.apply", {"tree": TREE})
            hw.deploy(FLOWS)
            (folder / "points").mkdir()
            yield Hurt(place, hw, folder / "points", sqlite_url(place.home / "store.db"))


def test_a_noisy_neighbour_takes_its_part_and_nothing_of_what_is_anothers(shared: Hurt) -> None:
    asked_alone(shared)  # the first has to wait for its processes
    idle = [asked_alone(shared) for _ in range(ASKED)]
    before = memory_of(shared)
    sent, beside = asyncio.run(noise(shared))
    for run_id in beside:
        shared.hw.runs[run_id].result(WITHIN_S)
    until(lambda: not shared.hw.runs(project="noisy", state=["PENDING", "RUNNING"], limit=1))
    seen = shared.at_rest()  # and the oracle has nothing to say of it
    took_s = (max(row.received_us for row in of_noise(seen)) - min(row.received_us for row in of_noise(seen))) / 1e6
    assert len(of_noise(seen)) == sent  # none was dropped
    assert sum(run.flow == "crunch" for run in seen.runs) == NOISY_RUNS
    most = most_held(seen)
    assert all(most[project] <= cap for project, cap in CAPS.items())
    assert most["noisy"] == CAPS["noisy"]  # otherwise it was no noise
    grown = {name: memory_of(shared)[name] - size_bytes for name, size_bytes in before.items()}
    assert max(grown.values()) < GROWS_MAX_BYTES
    alone = waits_s(seen, idle)
    crowded = waits_s(seen, beside)
    print(f"{sent} events sent, taken in at {sent / took_s * 60:,.0f} a minute; most devices held: {dict(most)}")
    for which, idly, beside_it in (("half", median(alone), median(crowded)), ("the slowest", max(alone), max(crowded))):
        times = beside_it / idly
        print(f"quiet starts, {which} of {ASKED}: idle {idly:.3f} s, beside it {beside_it:.3f} s, {times:.1f} times")
    print("memory grown: " + ", ".join(f"{name} {size / 2**20:.0f} MiB" for name, size in grown.items()))


def test_an_ill_device_is_lent_no_more_until_a_person_takes_it_back(shared: Hurt) -> None:
    hw, home = shared.hw, shared.place.home
    (node,) = [node for node in hw.nodes() if node.state == "READY"]
    ill = node.devices[0].id
    mark = home / "devices" / node.id / f"{ill.rpartition('/')[2]}.json"
    mark.parent.mkdir(parents=True)
    mark.write_text('{"ecc_uncorrected": 2}')
    until(lambda: device_of(shared, ill).state == "QUARANTINED")
    assert device_of(shared, ill).illness == "ecc"
    said = headwater("doctor", home=home)
    assert said.code == 1
    assert f"headwater node restore {node.id} --device {ill}" in said.out
    runs = [hw.run("quiet/ask") for _ in range(8)]
    for run in runs:
        run.result(WITHIN_S)
    assert ill not in {device for run in runs for one in run.steps["look"] for device in one.attempts[0].devices}
    assert headwater("node", "restore", node.id, "--device", ill, home=home).code == 0
    assert device_of(shared, ill).state == "READY"
    (told,) = [run for run in hw.runs(flow="see_to") if run.state == "SUCCEEDED"]
    assert hw.runs[told.id].result(WITHIN_S) == f"{ill}: 2 memory errors (ECC) could not be corrected"


def device_of(shared: Hurt, device: str) -> DeviceView:
    return next(each for node in shared.hw.nodes() for each in node.devices if each.id == device)


def asked_alone(shared: Hurt) -> str:
    run = shared.hw.run("quiet/ask")
    run.result(WITHIN_S)
    return run.id


async def noise(shared: Hurt) -> tuple[int, list[str]]:
    """How many events were sent, and the runs that the quiet project asked for meanwhile."""
    producer = AIOKafkaProducer(bootstrap_servers=shared.place.bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        count = max(NOISY_RUNS, int(EVENTS_A_MINUTE * NOISE_S / 60))
        began, sent, pending = time.monotonic(), 0, list[asyncio.Future[object]]()
        asking = asyncio.create_task(asked_beside(shared))
        while sent < count:
            await asyncio.sleep(TOGETHER_S)
            due = min(count, sent + AT_ONCE_MAX, int(EVENTS_A_MINUTE / 60 * (time.monotonic() - began)))
            for partition in range(min(PARTITIONS, due - sent)):
                pending.append(await together(producer, partition, range(sent + partition, due, PARTITIONS), count))
            sent = due
        await asyncio.gather(*pending)
        return count, await asking
    finally:
        await producer.stop()


async def asked_beside(shared: Hurt) -> list[str]:
    """The runs that the quiet project asks for, evenly over the time of the noise."""
    asked = []
    for _ in range(ASKED):
        asked.append((await asyncio.to_thread(shared.hw.run, "quiet/ask")).id)
        await asyncio.sleep(NOISE_S / ASKED)
    return asked


async def together(producer: AIOKafkaProducer, partition: int, numbers: range, count: int) -> asyncio.Future[object]:
    batch = producer.create_batch()
    for number in numbers:
        asks = (number + 1) * NOISY_RUNS // count > number * NOISY_RUNS // count
        value = event("noise.made", {"asks": asks, "hold_s": HOLD_S}, id=f"noise {number}", project="noisy")
        assert batch.append(key=None, value=value, timestamp=None, headers=STRUCTURED)
    batch.close()
    sent: asyncio.Future[object] = await producer.send_batch(batch, "headwater.events", partition=partition)
    return sent


def of_noise(seen: Evidence) -> list[InboxRow]:
    return [row for row in seen.inbox if row.type == "noise.made"]


def most_held(seen: Evidence) -> Counter[str]:
    """The most devices that each project held at once, from the lease to the end, as the log tells it."""
    held, most, of = Counter[str](), Counter[str](), dict[int, tuple[str, int]]()
    lent: dict[str, int] = {}
    for entry in seen.entries:
        match entry.body:
            case StepLeased(fence=fence, devices=devices):
                assert not set(devices) & lent.keys(), f"{devices} are lent twice at {entry.position}"
                lent |= dict.fromkeys(devices, fence)
                of[fence] = (entry.project, len(devices))
                held[entry.project] += len(devices)
                most[entry.project] = max(most[entry.project], held[entry.project])
            case StepSucceeded(fence=fence) | StepFailed(fence=fence) if fence in of:
                project, count = of.pop(fence)
                held[project] -= count
            case DevicesFreed(devices=devices):
                for device in devices:
                    lent.pop(device, None)
    return most


def waits_s(seen: Evidence, runs: Sequence[str]) -> list[float]:
    """From asking for the run to the start of its step."""
    asked = {run.id: run.created_us for run in seen.runs}
    started = {attempt.run_id: attempt.started_us or 0 for attempt in seen.attempts}
    return sorted((started[run] - asked[run]) / 1e6 for run in runs)


def memory_of(shared: Hurt) -> dict[str, int]:
    """Bytes in memory of the processes that remember."""
    found: dict[str, int] = {}
    for process in processes_of(shared.place.home.parent):
        for name in OWNERS:
            if name in title_of(process):
                found[name] = psutil.Process(process.pid).memory_info().rss
    return found
