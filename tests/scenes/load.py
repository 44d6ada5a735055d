"""Work of every kind, by seed: events good and bad, once and twice, and runs that are asked for."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from headwater.errors import HeadwaterError
from headwater.sdk import Client
from scenes.kafka import STRUCTURED, event

EVENTS = "headwater.events"
SENT_WITHIN_S = 20.0
PAUSE_S = (0.02, 0.25)
AGAIN_MAX = 200


class Load:
    """Asks for work until it is told to stop. What was refused or not answered counts as `unknown`."""

    def __init__(self, rng: random.Random, hw: Client, notes: Path) -> None:
        self._rng, self._hw, self._notes = rng, hw, notes
        self._sent: list[bytes] = []
        self.counts: Counter[str] = Counter()
        self._kinds: dict[str, tuple[int, Callable[[], Awaitable[None]]]] = {
            "number": (10, self._number),
            "again": (3, self._again),
            "other payload": (1, self._other_payload),
            "bad bytes": (2, self._bad_bytes),
            "misfit": (1, self._misfit),
            "chain": (3, self._chain),
            "note": (4, self._note),
            "once": (1, self._once),
            "device": (3, self._asked_for("flights/surroundings", {})),
            "failure": (1, self._asked_for("eta/divide", {"n": 0})),
            "append": (1, self._asked_for("eta/keep_one", {"table": "lake.soaked"})),
        }

    async def run(self, bootstrap: str, stopping: asyncio.Event) -> None:
        self._producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
        await self._producer.start()
        weights = [weight for weight, _ in self._kinds.values()]
        try:
            while not stopping.is_set():
                (kind,) = self._rng.choices(list(self._kinds), weights)
                try:
                    await self._kinds[kind][1]()
                    self.counts[kind] += 1
                except (KafkaError, HeadwaterError, TimeoutError):
                    self.counts["unknown"] += 1
                with suppress(TimeoutError):
                    await asyncio.wait_for(stopping.wait(), self._rng.uniform(*PAUSE_S))
        finally:
            with suppress(KafkaError, TimeoutError):
                await asyncio.wait_for(self._producer.stop(), SENT_WITHIN_S)

    async def _send(self, value: bytes) -> None:
        key = str(self._rng.randrange(8)).encode()
        sent = self._producer.send_and_wait(EVENTS, value, key=key, headers=STRUCTURED)
        await asyncio.wait_for(sent, SENT_WITHIN_S)

    async def _event(self, event_type: str, data: object) -> None:
        value = event(event_type, data, id=f"{self._rng.getrandbits(64):x}")
        self._sent = [*self._sent[-AGAIN_MAX:], value]
        await self._send(value)

    async def _number(self) -> None:
        await self._event("number.came", {"n": self._rng.randrange(100)})

    async def _misfit(self) -> None:
        await self._event("number.came", {"n": "no number"})

    async def _chain(self) -> None:
        await self._event("word.said", {"word": "soak"})

    async def _note(self) -> None:
        await self._event("note.wanted", {"notes": str(self._notes)})

    async def _once(self) -> None:
        await self._event("note.wanted.once", {"notes": str(self._notes)})

    async def _again(self) -> None:
        if self._sent:
            await self._send(self._rng.choice(self._sent))

    async def _other_payload(self) -> None:
        if self._sent:
            other = json.loads(self._rng.choice(self._sent)) | {"data": {"n": -1}}
            await self._send(json.dumps(other).encode())

    async def _bad_bytes(self) -> None:
        await self._send(self._rng.randbytes(self._rng.randrange(64)))

    def _asked_for(self, flow: str, parameters: dict[str, object]) -> Callable[[], Awaitable[None]]:
        async def ask() -> None:
            await asyncio.to_thread(self._hw.run, flow, parameters)

        return ask
