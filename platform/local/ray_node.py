"""Run as a process of its own: starts Ray's processes of one machine, says their pids, becomes their keeper.

Ray reads its environment when it is imported, so the process that starts it cannot be the one that
decided it. `ray start` would do, but takes many times as long: this uses the private class beneath
it, without dashboard, metrics agent and autoscaler's monitor, and falls back to the command where
that class has changed. The raylet waits for files in which its agents write their ports; they are
written here beforehand, so that it does not wait for their imports. Afterwards nothing of Ray is
needed here: the process replaces itself by a small one that waits for its children, so that none
becomes a zombie.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

KEEPER = "import os\ntry:\n while True: os.wait()\nexcept ChildProcessError: pass"
NOT_IN_USE = -1
WORKER_COMMAND = "--python_worker_command="
IN_ADVANCE = "--num_prestart_python_workers="


class Order(msgspec.Struct, frozen=True):
    """What to start. `answer` is the file that the pids are written to, by role.

    `fork_server` is the socket that workers are asked for at; empty: each worker is a Python of its own.
    `joins` is the address of the head whose cluster this machine joins; empty: it is the head itself, and
    listens on `gcs_port`.
    """

    temp: str
    host: str
    cpus: int
    object_store_bytes: int
    runtime_env_port: int
    answer: str
    fork_server: str
    gcs_port: int = 0
    joins: str = ""
    labels: dict[str, str] = {}


def main(order_json: str) -> None:
    order = msgspec.json.decode(order_json, type=Order)
    pids = start_node(order)
    fresh = Path(order.answer + ".new")
    fresh.write_bytes(msgspec.json.encode(pids))
    fresh.replace(order.answer)
    os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", KEEPER])


def start_node(order: Order) -> dict[str, int]:
    try:
        return _start_by_class(order)
    except (ImportError, AttributeError, TypeError) as error:
        print(f"ray._private.node is not as expected ({error!r}): using `ray start`", file=sys.stderr, flush=True)
        return _start_by_command(order)


def _start_by_class(order: Order) -> dict[str, int]:
    services: Any = import_module("ray._private.services")
    utils: Any = import_module("ray._private.utils")
    patiently = services.get_node
    services.get_node = lambda gcs, node: _registered(gcs) and patiently(gcs, node)
    if order.fork_server:
        services.start_ray_process = _asking_for_workers(services.start_ray_process, order.fork_server)
    utils.get_dashboard_dependency_error = lambda: "not wanted"  # its agent then stays small
    node = _node_class()(_params(order), head=not order.joins, shutdown_at_exit=False, spawn_reaper=False)
    return {role: infos[0].process.pid for role, infos in node.all_processes.items()}


def _asking_for_workers(start: Any, place: str) -> Any:
    """Ray's starter of processes, whose raylet asks the fork server for a worker and keeps none in advance."""
    client = str(Path(__file__).with_name("fork_client.py"))
    prefix = subprocess.list2cmdline([sys.executable, "-I", "-S", client, place])

    def started(command: list[str], *args: Any, **named: Any) -> Any:
        asking = [word.replace(WORKER_COMMAND, f"{WORKER_COMMAND}{prefix} ", 1) for word in command]
        return start([word for word in asking if not word.startswith(IN_ADVANCE)], *args, **named)

    return started


def _params(order: Order) -> Any:
    parameter: Any = import_module("ray._private.parameter")
    place = {"gcs_address": order.joins} if order.joins else {"gcs_server_port": order.gcs_port}
    return parameter.RayParams(
        **place,
        node_ip_address=order.host,
        temp_dir=order.temp,
        num_cpus=order.cpus,
        num_gpus=0,
        object_store_memory=order.object_store_bytes,
        include_dashboard=False,
        include_log_monitor=False,
        no_monitor=True,
        dashboard_host="127.0.0.1",
        dashboard_agent_listen_port=0,
        runtime_env_agent_port=order.runtime_env_port,
        ray_client_server_port=None,
        labels=order.labels,
    )


def _node_class() -> Any:
    """Ray's node without dashboard, whose raylet need not wait until its agents have said their ports."""
    from ray._private.node import Node

    raylet = _raylet()

    class QuickNode(Node):
        def start_api_server(self, **_: Any) -> None: ...

        def start_raylet(self, *args: Any, **named: Any) -> None:
            ports = {
                raylet.METRICS_AGENT_PORT_NAME: NOT_IN_USE,
                raylet.METRICS_EXPORT_PORT_NAME: NOT_IN_USE,
                raylet.DASHBOARD_AGENT_LISTEN_PORT_NAME: NOT_IN_USE,
                raylet.RUNTIME_ENV_AGENT_PORT_NAME: self._ray_params.runtime_env_agent_port,
            }
            for name, port in ports.items():
                raylet.persist_port(self._session_dir, self._node_id, name, port)
            super().start_raylet(*args, **named)

    return QuickNode


def _registered(gcs_address: str) -> bool:
    """True once the raylet has registered: Ray's own wait looks only once a second."""
    gcs = _raylet().GcsClient(address=gcs_address)
    deadline = time.monotonic() + 30.0
    while not gcs.get_all_node_info(timeout=5.0) and time.monotonic() < deadline:
        time.sleep(0.01)
    return True


def _raylet() -> Any:
    """Ray's compiled module: it has no types, and half of its names are no public part of Ray."""
    return import_module("ray._raylet")


def _start_by_command(order: Order) -> dict[str, int]:
    import psutil

    argv = [sys.executable, "-m", "ray.scripts.scripts", "start", "--include-dashboard=false"]
    argv += [f"--address={order.joins}"] if order.joins else ["--head", f"--port={order.gcs_port}"]
    argv += [f"--node-ip-address={order.host}", f"--temp-dir={order.temp}"]
    argv += [f"--num-cpus={order.cpus}", "--num-gpus=0", f"--object-store-memory={order.object_store_bytes}"]
    argv += ["--disable-usage-stats", f"--labels={','.join(f'{key}={text}' for key, text in order.labels.items())}"]
    subprocess.run(argv if order.joins else [*argv, "--ray-client-server-port=0"], check=True)
    found = {"raylet": "raylet"} if order.joins else {"gcs_server": "gcs_server", "raylet": "raylet"}
    mine = [
        each for each in psutil.process_iter(["name", "cmdline"]) if order.temp in " ".join(each.info["cmdline"] or [])
    ]
    return {role: each.pid for each in mine for role, name in found.items() if each.info["name"] == name}


if __name__ == "__main__":
    main(sys.argv[1])
