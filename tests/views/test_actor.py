"""The Faust app on a real broker: what the Relay publishes ends up in the windows."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from headwater.actors.wiring import Wiring
from headwater.config import load
from headwater.events.kafka import KafkaBus
from headwater.events.kafka_link import KafkaSettings
from headwater.events.relay import message_of
from headwater.views.actor import Views, entry_of
from headwater.wire.entries.runs import RunStarted, RunSucceeded
from headwater.wire.topics import RUNS
from headwater.wire.types import AnyBody, Entry

if TYPE_CHECKING:
    from headwater.local.broker import Broker


def entries() -> list[Entry]:
    bodies: tuple[AnyBody, ...] = (
        RunStarted(flow="f", host="h"),
        RunSucceeded(flow="f", duration_us=9, result={"mae": 3.5}),
    )
    return [
        Entry(position=n, body=body, subject="r1", project="eta", principal="p", time_us=n, run_id="r1", seq=n)
        for n, body in enumerate(bodies, 1)
    ]


def test_what_the_relay_writes_is_read_back() -> None:
    for entry in entries():
        message = message_of(entry)
        assert message.value is not None
        assert entry_of(message.value, list(message.headers)) == entry


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.asyncio(loop_scope="session")
async def test_runs_in_the_topic_are_in_the_windows(broker: Broker, tmp_path: Path) -> None:
    bus = KafkaBus(KafkaSettings(bootstrap=broker.bootstrap))
    await bus.ensure_topics([RUNS])
    await bus.producer().send_many([message_of(entry) for entry in [*entries(), *entries()]])
    wiring = Wiring(
        home=str(tmp_path), store_url="", bootstrap=broker.bootstrap, settings=load(environment={}), http_port=0,
        serve_port=0,
    )  # fmt: skip
    views: Any = Views(wiring)
    await views.start()
    try:
        async with asyncio.timeout(60):
            while not any(row["succeeded"] for row in await views.flow_metrics()):
                await asyncio.sleep(0.05)
        assert await views.flow_metrics() == [
            {"flow": "eta/f", "minute_us": 0, "started": 1, "succeeded": 1, "failed": 0, "duration_us": 9,
             "duration_max_us": 9}
        ]  # fmt: skip
    finally:
        await views.stop()
        await bus.close()
