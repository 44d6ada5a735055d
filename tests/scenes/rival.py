"""A second leader of a platform that runs: the Conductor of a process of the test's own, on the same rows.

As a script it leads the platform of the home folder in its first argument and says so; it ends when it is fenced.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headwater import config
from headwater.actors.conductor import ConductorActor
from headwater.actors.names import NAMESPACE
from headwater.actors.wiring import Wiring
from headwater.local.home import running
from headwater.local.ports import LOOPBACK
from headwater.local.ray_environment import choose_serve_ports, ray_environment
from headwater.local.ray_head import RayHead
from headwater.store.engine import sqlite_url

LEADS = "leads"


@contextmanager
def second_leader(home: Path) -> Iterator[subprocess.Popen[str]]:
    """One that leads by now; it is ended at the end, where it has not ended itself."""
    ray = home / "ray"
    joining = ray_environment(temp=RayHead(ray).temp, token=ray / "ray_token", serve=choose_serve_ports())
    words = [sys.executable, __file__, str(home)]
    with (home / "logs" / "rival.log").open("w") as log:
        rival = subprocess.Popen(words, env=os.environ | joining, stdout=subprocess.PIPE, stderr=log, text=True)
    with rival:
        try:
            assert rival.stdout is not None
            assert rival.stdout.readline().strip() == LEADS
            yield rival
        finally:
            rival.kill()


async def lead(home: Path) -> None:
    settings = config.load(flags={"home": str(home)})
    store, bootstrap = sqlite_url(home / "store.db"), running(home).bootstrap
    wiring = Wiring(
        home=str(home), store_url=store, bootstrap=bootstrap, settings=settings, http_port=0, serve_port=0, gpus=2
    )
    leader: Any = ConductorActor(wiring)  # called plainly, for which Ray's types have no word
    await leader.start()
    print(LEADS, flush=True)
    await asyncio.Event().wait()


def main(home: Path) -> None:
    import ray

    ray.init(address=running(home).ray, namespace=NAMESPACE, _node_ip_address=LOOPBACK, log_to_driver=False)
    asyncio.run(lead(home))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
