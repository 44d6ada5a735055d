"""A process in Ray that starts Conductor, GpuPool and Scheduler on a store of its own and tells how they fared.

The store begins as one that a crash left behind: a step waits for a GPU that an attempt of an earlier life
still held. The answer is one line of JSON.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import ray

from headwater import config
from headwater.actors import roster
from headwater.actors.names import NAMESPACE
from headwater.actors.wiring import Wiring
from headwater.artifacts.files import Files
from headwater.core.inventory import CodeVersion, DeviceRow, Node
from headwater.core.records.attempts import Attempt, AttemptState
from headwater.core.records.inbox import Offset
from headwater.core.records.leases import Lease, LeaseState
from headwater.core.records.runs import Run, RunState
from headwater.core.records.steps import Step, StepState
from headwater.local.home import Home
from headwater.store.engine import create, open_engine, sqlite_url
from headwater.store.reader import Reader
from headwater.store.writer import Writer
from headwater.wire import calls
from headwater.wire.manifest import FlowSpec, Manifest
from headwater.wire.terms import Demand

WITHIN_S = 60.0
ONE_S = 5.0  # for one call to an actor that may be dying
GPU = Demand(gpus_milli=1000, cpus_milli=0)


def main(address: str, folder: str) -> None:
    ray.init(address=address, _node_ip_address="127.0.0.1", namespace=NAMESPACE, log_to_driver=False)
    home = Home(Path(folder))
    home.secret()
    url = sqlite_url(home.folder / "store.db")
    create(url, store_epoch="e")
    leave_behind(url, a_bundle(home.folder))
    settings = config.load(flags={"home": folder, "node": "local", "gpus": 1})
    wiring = Wiring(
        home=folder, store_url=url, bootstrap="127.0.0.1:9", settings=settings, http_port=0, serve_port=0, gpus=1
    )
    started = [roster.conductor(wiring), roster.gpu_pool(wiring), roster.scheduler(wiring)]
    try:
        ray.get([actor.start.remote() for actor in started], timeout=WITHIN_S)
        print(msgspec.json.encode(story(home.folder, Reader(open_engine(url)), *started[1:])).decode())
    finally:
        for name in [row["name"] for row in ray.util.list_named_actors(all_namespaces=True)]:
            ray.kill(ray.get_actor(name, namespace=NAMESPACE))
        ray.shutdown()


def story(home: Path, store: Reader, gpu_pool: Any, scheduler: Any) -> dict[str, Any]:
    until(lambda: all(lease.state == "FREE" for lease in rows(store, "leases")) and len(rows(store, "leases")) > 1)
    tree = {"cohort": {"local": {"projects": {"eta": {"gpu": 1}}}}}
    answers = [
        ask(scheduler, "quota.apply", tree=tree),
        ask(scheduler, "quota.apply", tree={"cohort": {"local": {"projects": {"eta": {"gpux": 1}}}}}),
        ask(gpu_pool, "node.drain", node="local"),
    ]
    first = agent_pid()
    ray.kill(ray.get_actor("node_agent:local", namespace=NAMESPACE))
    (home / "devices" / "local").mkdir(parents=True)
    (home / "devices" / "local" / "0.json").write_text('{"xids": [79]}')
    until(lambda: agent_pid() not in (0, first))
    until(lambda: rows(store, "devices")[0].state == "QUARANTINED")
    ray.kill(scheduler, no_restart=False)
    until(lambda: started_again(scheduler))
    return {
        "log": [(entry.type, msgspec.to_builtins(entry.body)) for entry in store.entries(0)],
        "answers": answers,
        "trees": [(tree.version, tree.principal) for tree in rows(store, "quota_trees")],
        "nodes": [(node.id, node.state) for node in rows(store, "nodes")],
        "usage": ray.get(scheduler.usage.remote()),
        "explained": ray.get(scheduler.explain.remote("nothing/1")),
        "agent": ray.get(ray.get_actor("node_agent:local", namespace=NAMESPACE).describe.remote()),
        "described": [ray.get(actor.describe.remote()) for actor in (gpu_pool, scheduler)],
    }


def ask(actor: Any, kind: str, **data: Any) -> dict[str, Any]:
    order = calls.Order(source="test", id=f"{kind} {data}", kind=kind, principal="me", project="eta", data=data)
    answer: dict[str, Any] = ray.get(actor.order.remote(order), timeout=WITHIN_S)
    return answer


def agent_pid() -> int:
    try:
        agent = ray.get_actor("node_agent:local", namespace=NAMESPACE)
        said: Any = ray.get(agent.describe.remote(), timeout=ONE_S)
        return int(said["pid"])
    except (ValueError, ray.exceptions.RayError):
        return 0


def started_again(actor: Any) -> bool:
    try:
        ray.get(actor.start.remote(), timeout=ONE_S)
        said: dict[str, Any] = ray.get(actor.describe.remote(), timeout=ONE_S)
        return bool(said["restarts"])
    except ray.exceptions.RayError:
        return False


def rows(store: Reader, table: str) -> list[Any]:
    with store.picture() as picture:
        return picture.rows(table)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {WITHIN_S:g} s")
        time.sleep(0.05)


def a_bundle(home: Path) -> str:
    """Code whose flow goes on for ever and has no step `fit`: an attempt at it fails at once."""
    folder = home / "source"
    folder.mkdir()
    (folder / "flow.py").write_text(
        "import threading\n"
        "from headwater.sdk import flow\n\n\n"
        '@flow(project="eta")\n'
        "def train() -> None:\n"
        "    threading.Event().wait()\n"
    )
    return Files(home / "artifacts").put_tree(folder)


def leave_behind(url: str, bundle: str) -> None:
    """Rows as a platform that was killed left them."""
    flow = FlowSpec(name="train", project="eta", function="flow:train", parameters={"type": "object"})
    run = Run(
        id="run",
        project="eta",
        flow="train",
        code_version="v1",
        state=RunState.PENDING,
        idempotency_key="k",
        principal="me",
        root_id="run",
        created_us=1,
    )
    steps = [a_step(0, StepState.SUCCEEDED), a_step(1, StepState.WAITING)]
    attempt = Attempt(
        fence=1,
        step_id="run/0",
        run_id="run",
        number=1,
        state=AttemptState.SUCCEEDED,
        node="local",
        devices=("local/0",),
        demand=GPU,
        worker="long gone",
        leased_us=1,
        ended_us=2,
    )
    facts: dict[str, Any] = {"run_id": "run", "step_id": "run/0", "project": "eta", "since_us": 1, "released_us": 2}
    lease = Lease(fence=1, device="local/0", node="local", milli=1000, state=LeaseState.RELEASING, **facts)
    node = Node(id="local", ray_node="old", cpus_milli=1, memory_bytes=1, labels={}, joined_us=1, seen_us=1)
    version = CodeVersion(
        version="v1",
        bundle=bundle,
        manifest=msgspec.to_builtins(Manifest(flows=(flow,))),
        principal="me",
        deployed_us=1,
    )
    writer = Writer(open_engine(url), "conductor")
    writer.take_epoch()
    writer.commit(
        {
            "runs": {"run": run},
            "steps": {step.id: step for step in steps},
            "attempts": {1: attempt},
            "leases": {(1, "local/0"): lease},
            "code_versions": {"v1": version},
            "nodes": {"local": node},
            "devices": {"local/0": DeviceRow(id="local/0", node="local", model="logical", memory_bytes=0)},
            "offsets": {("conductor", "fence", 0): Offset(owner="conductor", topic="fence", partition=0, next=2)},
        }
    )


def a_step(ordinal: int, state: StepState) -> Step:
    return Step(
        id=f"run/{ordinal}",
        run_id="run",
        ordinal=ordinal,
        project="eta",
        name="fit",
        function="flow:fit",
        code_version="v1",
        state=state,
        demand=GPU,
        arguments=calls.Payload(),
        created_us=1,
        waiting_us=1,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
