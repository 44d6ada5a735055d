"""A quiet project's events while another sends 50,000 a minute: from just before the send to the step's first line.

Eight devices, of which the noisy project may hold six; one of its events in forty or so asks for one, for 0.2 s. The
quiet project sends one event at a time: with the platform to itself (idle), beside the noise, and beside as much
foreign work on the CPUs as the noise costs (what the platform, its broker and the sender use more of), which says how
much of the ratio any neighbour on the machine would cause. The stretches between are from the log.
Goal: the p99 beside the noise at most 2x the idle one.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import multiprocessing
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
from lab import p50, p99, platform, verdict
from speed import loop_s

from headwater.sdk import Client
from headwater.wire.types import RunAccepted, RunFailed, RunSucceeded, StepLeased, StepWaiting

SAMPLES = int(sys.argv[1]) if len(sys.argv) > 1 else 250
EVENTS_A_MINUTE = 50_000
ASK_A_S = 20  # noisy runs
HOLD_S = 0.2
WARM = 10
REST_S = 0.03
LEAD_IN_S = 3.0
LINGER_S = 0.02
AT_ONCE_MAX = 200  # as many as the batches of all partitions hold
NEIGHBOURS = Path(__file__).parent / "neighbours"
HEADERS = [("content-type", b"application/cloudevents+json")]
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
PARTS = ("taken in", "step asked for", "leased", "first line")


class Start(NamedTuple):
    """Milliseconds from the send, and the stretches that they are made of."""

    step: float
    parts: tuple[float, ...]


def main() -> None:
    with platform(gpus=8) as (supervisor, hw):
        hw.order("quota.apply", {"tree": TREE})
        hw.deploy(NEIGHBOURS)
        asked = Asked(supervisor.bootstrap, hw)
        idle, idle_cores = with_cores(lambda: asked.starts(SAMPLES))
        with beside(noise, supervisor.bootstrap):
            time.sleep(LEAD_IN_S)
            loud, loud_cores = with_cores(lambda: asked.starts(SAMPLES))
        wait_until_calm(hw)
        with beside(burn, loud_cores - idle_cores):
            foreign, _ = with_cores(lambda: asked.starts(SAMPLES))
    print(f"loop of 10 M additions {loop_s():.2f} s; {SAMPLES} quiet events each; {EVENTS_A_MINUTE:,} noisy a minute")
    print(f"{'ms':24}{'p50':>9}{'p99':>9}{'x idle':>9}  p50 and p99 of " + ", ".join(PARTS))
    for name, starts in (("idle", idle), ("beside the noise", loud), ("beside foreign work", foreign)):
        print(row(name, starts, idle))
    print(f"cores at work: idle {idle_cores:.2f}, beside the noise {loud_cores:.2f}")
    before, beside_noise = p99(steps(idle)), p99(steps(loud))
    verdict(
        "noisy_neighbour",
        value=beside_noise,
        unit="ms",
        floor=before,
        goal=2,
        holds=beside_noise <= 2 * before,
        p50_ratio=round(p50(steps(loud)) / p50(steps(idle)), 3),
        foreign_ratio=round(p99(steps(foreign)) / before, 3),
    )


def row(name: str, starts: list[Start], idle: list[Start]) -> str:
    parts = [[start.parts[index] for start in starts] for index in range(len(PARTS))]
    told = ", ".join(f"{p50(part):.1f}/{p99(part):.1f}" for part in parts)
    taken = steps(starts)
    return f"{name:24}{p50(taken):9.1f}{p99(taken):9.1f}{p99(taken) / p99(steps(idle)):9.2f}  {told}"


def steps(starts: list[Start]) -> list[float]:
    return [start.step for start in starts]


class Asked:
    """The quiet project's events, one after another."""

    def __init__(self, bootstrap: str, hw: Client) -> None:
        self._bootstrap, self._told, self._count = bootstrap, hw.watch("quiet"), 0

    def starts(self, count: int) -> list[Start]:
        return asyncio.run(self._starts(count))

    async def _starts(self, count: int) -> list[Start]:
        from aiokafka import AIOKafkaProducer

        producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, acks="all", enable_idempotence=True)
        await producer.start()
        try:
            starts = []
            for _ in range(WARM + count):
                self._count += 1
                value = body("quiet.asked", f"quiet {self._count}", "quiet")
                sent_ns = time.time_ns()
                sending = asyncio.create_task(producer.send_and_wait("headwater.events", value, headers=HEADERS))
                starts.append(await asyncio.to_thread(self._next, sent_ns))
                await sending
                await asyncio.sleep(REST_S)
            return starts[WARM:]
        finally:
            await producer.stop()

    def _next(self, sent_ns: int) -> Start:
        marks = [sent_ns]
        for entry in self._told:
            match entry.body:
                case RunAccepted() | StepWaiting() | StepLeased():
                    marks.append(entry.time_us * 1000)
                case RunFailed(failure=failure):
                    raise RuntimeError(failure.message)
                case RunSucceeded(result=result):
                    marks.append(result["step"])
                    parts = [(end - begin) / 1e6 for begin, end in itertools.pairwise(marks)]
                    return Start((result["step"] - sent_ns) / 1e6, tuple(parts))
        raise RuntimeError("the stream ended")


def body(kind: str, number: str, project: str, **data: object) -> bytes:
    event = {"specversion": "1.0", "source": "/bench", "type": kind, "id": number, "project": project, "data": data}
    return json.dumps(event).encode()


def noise(stopping: threading.Event, bootstrap: str) -> None:
    asyncio.run(_noise(stopping, bootstrap))


async def _noise(stopping: threading.Event, bootstrap: str) -> None:
    """As cheap as a sender can be: what is due is encoded and sent together."""
    from aiokafka import AIOKafkaProducer

    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
    await producer.start()
    a_second, sent, began, mark = EVENTS_A_MINUTE / 60, 0, time.monotonic(), time.time_ns()
    sending: set[asyncio.Future[object]] = set()
    while not stopping.is_set():
        await asyncio.sleep(LINGER_S)
        due = min(sent + AT_ONCE_MAX, int((time.monotonic() - began) * a_second))
        for partition in range(min(4, due - sent)):
            batch = producer.create_batch()
            for number in range(sent + partition, due, 4):
                asks = int((number + 1) * ASK_A_S / a_second) > int(number * ASK_A_S / a_second)
                value = body("noise.made", f"{mark} {number}", "noisy", asks=asks, hold_s=HOLD_S)
                assert batch.append(key=None, value=value, timestamp=None, headers=HEADERS)
            batch.close()
            sending.add(await producer.send_batch(batch, "headwater.events", partition=partition))
        sent = due
        sending = {each for each in sending if not each.done()}
    await asyncio.gather(*sending)
    await producer.stop()


def burn(stopping: threading.Event, cores: float) -> None:
    """That many cores' worth of work, in slices of some milliseconds."""
    slice_s = 0.005
    while not stopping.is_set():
        until = time.thread_time() + slice_s * cores
        while time.thread_time() < until:
            pass
        time.sleep(slice_s * max(0.1, 1 - cores))


@contextmanager
def beside(work: Callable[..., None], told: object) -> Iterator[None]:
    """While a process of its own does that work; two share what is more than one core's."""
    spawning = multiprocessing.get_context("spawn")
    stopping = spawning.Event()
    shares = [told / 2, told / 2] if isinstance(told, float) else [told]
    working = [spawning.Process(target=work, args=(stopping, share)) for share in shares]
    for process in working:
        process.start()
    try:
        yield
    finally:
        stopping.set()
        for process in working:
            process.join()


def wait_until_calm(hw: Client) -> None:
    while hw.runs(project="noisy", state=["PENDING", "RUNNING"], limit=1):
        time.sleep(0.2)


def with_cores(work: Callable[[], list[Start]]) -> tuple[list[Start], float]:
    """What the work gives, and how many cores were at work meanwhile."""
    before, began = cpu_s(), time.monotonic()
    done = work()
    return done, (cpu_s() - before) / (time.monotonic() - began)


def cpu_s() -> float:
    """Of the whole machine: not all of the platform's processes are below this one."""
    total = psutil.cpu_times()
    return total.user + total.system + total.nice


if __name__ == "__main__":
    main()
