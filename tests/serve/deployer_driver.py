"""A process connected to Ray that is the Deployer, beside a Registry: one JSON line in, one answer a line out.

`HOME PORT ADDRESS` are its arguments. The Registry has no Conductor and no Kafka here; it hears of orders directly.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import ray

from headwater.actors.names import NAMESPACE
from headwater.actors.registry import RegistryActor
from headwater.actors.wiring import Wiring
from headwater.config import load
from headwater.serve.deployer import Deployer
from headwater.store.engine import create, sqlite_url
from headwater.wire.calls import Order


class LoneRegistry(RegistryActor):
    command_topic = None

    async def _attach(self) -> None:
        return


async def drive(home: Path, port: int) -> None:
    url = sqlite_url(home / "store.db")
    create(url, store_epoch="e1")
    settings = load(environment={}, flags={"home": str(home)})
    wiring = Wiring(home=str(home), store_url=url, bootstrap="", settings=settings, http_port=0, serve_port=port)
    registry = ray.remote(LoneRegistry).options(name="registry", namespace=NAMESPACE, num_cpus=0).remote(wiring)
    await registry.start.remote()
    deployer: Any = Deployer(wiring)
    await deployer.start()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what Ray prints is no answer
    print("ready", file=answers)
    while line := await asyncio.to_thread(sys.stdin.readline):
        kind, data = msgspec.json.decode(line)
        order = Order(source="test", id=line, kind=kind, principal="ann", project="flights", data=data)
        answer: dict[str, Any] = await registry.order.remote(order)
        print(msgspec.json.encode(answer).decode(), file=answers)


if __name__ == "__main__":
    ray.init(address=sys.argv[3], _node_ip_address="127.0.0.1", namespace=NAMESPACE, log_to_driver=False)
    asyncio.run(drive(Path(sys.argv[1]), int(sys.argv[2])))
