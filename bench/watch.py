"""From a change in the log to its subscribers, over server-sent events.

One subscriber, who has joined before, beside a Kafka round trip: p50 at most 3x. A thousand, beside writing the same
bytes to 1,000 open sockets from one process: the last one served within 2x. Each of the thousand asks for the ends of
runs, so that what it is sent is what the floor sends. The server runs in a process of its own; the readers share one.

And what a thousand cost the engine: one more step of a flow, with all of them listening to everything and without.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import selectors
import socket
import sys
import threading
import time
from collections.abc import Iterator

from lab import KafkaPair, p50, p99, platform, verdict
from speed import loop_s

from headwater.sdk import Client
from headwater.sdk.client.address import Address
from headwater.wire.types import encode_entry

SUBSCRIBERS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 30
WARMING = 20
STEPS = 50
ONE_GOAL, MANY_GOAL = 3.0, 2.0
END = re.compile(rb'event: run\.succeeded\n.*?"time_us":(\d+).*?\n\n', re.DOTALL)
PLAIN = re.compile(rb"\n\n(!)\n")


class Readers:
    """Sockets that are read by one thread, which says when the last of them has had what it waits for."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        self._selector = selectors.DefaultSelector()
        self._tails = dict.fromkeys(sockets, b"")
        for each in sockets:
            each.setblocking(False)
            self._selector.register(each, selectors.EVENT_READ)

    def until_all_have(self, mark: re.Pattern[bytes], within_s: float = 60.0) -> tuple[float, bytes]:
        """The time (of the day) at which the last of them had it, and what one of them saw."""
        waiting = set(self._tails)
        deadline = time.time() + within_s
        seen = b""
        while waiting:
            if time.time() > deadline:
                raise TimeoutError(f"{len(waiting)} subscribers had nothing")
            for key, _ in self._selector.select(1.0):
                reader = key.fileobj
                assert isinstance(reader, socket.socket)
                with contextlib.suppress(BlockingIOError):
                    self._tails[reader] = (self._tails[reader] + reader.recv(1 << 16))[-8192:]
                if (found := mark.search(self._tails[reader])) is not None:
                    waiting.discard(reader)
                    seen = found.group(1)
                    self._tails[reader] = b""
        return time.time(), seen


def subscribed(address: Address, count: int, query: str) -> list[socket.socket]:
    host, port = address.url.removeprefix("http://").split(":")
    request = f"GET /v1/watch{query} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {address.token}\r\n\r\n".encode()
    found = []
    for _ in range(count):
        one = socket.create_connection((host, int(port)))
        one.sendall(request)
        head = b""
        while b"event: joined" not in head:
            head += one.recv(4096)
        found.append(one)
    return found


@contextlib.contextmanager
def plain_pairs(count: int) -> Iterator[tuple[list[socket.socket], list[socket.socket]]]:
    """Loopback connections: (the writer's ends, the readers')."""
    with socket.create_server(("127.0.0.1", 0), backlog=count) as server:
        readers, writers = [], []
        for _ in range(count):
            readers.append(socket.create_connection(server.getsockname()))
            writers.append(server.accept()[0])
    try:
        yield writers, readers
    finally:
        for each in (*writers, *readers):
            each.close()


def floor_ms(size: int, count: int) -> list[float]:
    """From the first byte written to the last socket served, by one process that only writes."""
    payload = b"x" * (size - 4) + b"\n\n!\n"
    taken = []
    with plain_pairs(count) as (writers, sockets):
        readers = Readers(sockets)
        for _ in range(ROUNDS):
            began: list[float] = []

            def write(began: list[float] = began) -> None:
                began.append(time.time())
                for each in writers:
                    each.sendall(payload)

            thread = threading.Thread(target=write)
            thread.start()
            done, _ = readers.until_all_have(PLAIN)
            thread.join()
            taken.append((done - began[0]) * 1e3)
    return taken


async def kafka_ms(bootstrap: str, count: int) -> list[float]:
    async with KafkaPair(bootstrap) as pair:
        for _ in range(WARMING):
            await pair.round_trip_ms()
        return [await pair.round_trip_ms() for _ in range(count)]


def one_ms(hw: Client) -> list[float]:
    """From the Conductor's decision to the entry in the hands of a client who was there before, for all of some runs.

    Whoever joins a run that is under way is told first what has passed, which says nothing of how fast word travels.
    """
    heard: list[tuple[str, float]] = []
    entries = hw.watch()

    def listen() -> None:
        for entry in entries:
            heard.append((entry.type, time.time() * 1e3 - entry.time_us / 1e3))

    threading.Thread(target=listen, daemon=True).start()
    for _ in range(ROUNDS):
        hw.run("one_after_another", {"count": 1}).result(timeout=60)
    while [kind for kind, _ in heard].count("run.succeeded") < ROUNDS:
        time.sleep(0.1)
    return [taken for _, taken in heard]


def many_ms(hw: Client, address: Address, count: int) -> tuple[list[float], int]:
    """From the decision that ends a run to the last of many subscribers; and the size of what each was sent."""
    sockets = subscribed(address, count, "?state=SUCCEEDED")
    readers = Readers(sockets)
    taken, size = [], 0
    try:
        for _ in range(ROUNDS):
            run = hw.run("one_after_another", {"count": 1})
            done, time_us = readers.until_all_have(END)
            taken.append((done - int(time_us) / 1e6) * 1e3)
            size = size or len(encode_entry(list(run.watch())[-1])) + 60
    finally:
        for each in sockets:
            each.close()
    return taken, size


def step_ms(hw: Client) -> float:
    """The p50 of one more step, seen from its flow."""
    return p50(hw.run("one_after_another", {"count": STEPS}).result(timeout=600)) / 1e6


def step_ms_heard_by(hw: Client, address: Address, count: int) -> float:
    """The same while so many are sent every entry of it."""
    sockets, done = subscribed(address, count, ""), threading.Event()

    def read_all() -> None:
        with selectors.DefaultSelector() as selector:
            for each in sockets:
                each.setblocking(False)
                selector.register(each, selectors.EVENT_READ)
            while not done.is_set():
                for key, _ in selector.select(0.1):
                    with contextlib.suppress(BlockingIOError):
                        key.fileobj.recv(1 << 16)  # type: ignore[union-attr]

    reading = threading.Thread(target=read_all)
    reading.start()
    try:
        return step_ms(hw)
    finally:
        done.set()
        reading.join()
        for each in sockets:
            each.close()


def main() -> None:
    with platform() as (supervisor, hw):
        address = Address(supervisor.url, supervisor.home.token())
        hw.run("one_after_another", {"count": 1}).result(timeout=120)
        kafka = asyncio.run(kafka_ms(supervisor.bootstrap, 10 * ROUNDS))
        one = one_ms(hw)
        many, size = many_ms(hw, address, SUBSCRIBERS)
        alone, heard = step_ms(hw), step_ms_heard_by(hw, address, SUBSCRIBERS)
    floor = floor_ms(size, SUBSCRIBERS)
    print(f"loop of 10 M additions {loop_s():.2f} s; {ROUNDS} runs; {size} bytes an entry")
    print(f"{'':40}{'p50 ms':>9}{'p99 ms':>9}")
    for name, samples in (
        ("Kafka round trip", kafka),
        ("one subscriber", one),
        (f"bytes to {SUBSCRIBERS:,} sockets, the last", floor),
        (f"{SUBSCRIBERS:,} subscribers, the last", many),
    ):
        print(f"{name:40}{p50(samples):9.2f}{p99(samples):9.2f}")
    print(f"{'one more step, nobody listening':40}{alone:9.2f}")
    print(f"{f'the same, {SUBSCRIBERS:,} listening to it':40}{heard:9.2f}")
    holds = p50(one) <= ONE_GOAL * p50(kafka) and p50(many) <= MANY_GOAL * p50(floor)
    verdict("watch", value=p50(one), unit="ms", floor=p50(kafka), goal=ONE_GOAL, holds=holds,
            many_ms=round(p50(many), 2), many_floor_ms=round(p50(floor), 2), many_goal=MANY_GOAL,
            step_ms=[round(alone, 2), round(heard, 2)])  # fmt: skip


if __name__ == "__main__":
    main()
