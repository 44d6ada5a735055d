"""`headwater up` until an event's flow has run (a), and until a model of an earlier life answers (b), warm.

Each life is a process of its own, from its start on. Floor (a): Ray's head with one no-op actor, the broker
beside it. Floor (b): the same, then Ray Serve with HAProxy and one echo app. Goal: at most 1.3x each.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lab import FLOWS, p50, verdict
from speed import loop_s

from headwater.errors import HeadwaterError
from headwater.local.home import State, read_state
from headwater.local.processes import is_alive
from headwater.sdk import Client

LIVES = int(sys.argv[1]) if len(sys.argv) > 1 else 3
WITHIN_S = 300.0

FLOOR = """
import os, sys, threading, time
from pathlib import Path
from headwater.local.broker import Broker
from headwater.local.ray_head import RayHead

folder, began = Path(sys.argv[1]), float(sys.argv[2])
broker, head = Broker(folder / "broker"), RayHead(folder / "ray")
beside = threading.Thread(target=broker.start)
beside.start()
head.start()
os.environ.update(head.environment)
import ray
ray.init(address=head.address, namespace="floor", log_to_driver=False, _node_ip_address="127.0.0.1")

class Nothing:
    async def nothing(self): ...

nothing = ray.remote(Nothing).options(num_cpus=0).remote()
ray.get(nothing.nothing.remote())
beside.join()
print("a", time.time() - began, flush=True)
from ray import serve
import urllib.request
serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[3])})

@serve.deployment
class Echo:
    async def __call__(self, request):
        return "here"

serve.run(Echo.bind())
urllib.request.urlopen(f"http://127.0.0.1:{sys.argv[3]}/").read()
print("b", time.time() - began, flush=True)
ray.shutdown()
head.stop()
broker.stop()
"""


def floor_s(folder: Path, port: int) -> tuple[float, float]:
    argv = [sys.executable, "-c", FLOOR, str(folder), str(time.time()), str(port)]
    told = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split("\n")
    taken = dict(line.split() for line in told if line[:2] in ("a ", "b "))
    return float(taken["a"]), float(taken["b"])


def up_s(home: Path, *, first: bool) -> tuple[float, float]:
    """One life; the first also deploys the flows and registers the model that the others serve again."""
    began = time.time()
    argv = [sys.executable, "-m", "headwater.cli.main", "up", "--home", str(home), "--port", "0", "--serve-port", "0"]
    child = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        state = wait_for_state(home)
        with Client(state.url, (home / "token").read_text().strip()) as hw:
            if first:
                hw.deploy(FLOWS)
                hw.run("register_adder").result(timeout=WITHIN_S)
            told = hw.watch()
            hw.publish("bench.sent", {"sent_ns": time.time_ns()})
            next(entry for entry in told if entry.type == "run.succeeded")
            ran_s = time.time() - began
            wait_for_answer(hw)
            return ran_s, time.time() - began
    finally:
        child.terminate()
        child.wait(timeout=60)


def wait_for_state(home: Path) -> State:
    deadline = time.monotonic() + WITHIN_S
    while time.monotonic() < deadline:
        state = read_state(home)
        if state is not None and is_alive(state.up):
            return state
        time.sleep(0.02)
    raise TimeoutError("the platform did not come up")


def wait_for_answer(hw: Client) -> None:
    deadline = time.monotonic() + WITHIN_S
    while True:
        try:
            hw.models["adder"].predict({"left": [1.0], "right": [2.0]})
            return
        except HeadwaterError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="hwbench") as folder:
        home = Path(folder) / "home"
        up_s(home, first=True)
        floor_s(Path(folder) / "floor", 18_765)  # the first life pays for caches
        pairs = [(up_s(home, first=False), floor_s(Path(folder) / "floor", 18_765)) for _ in range(LIVES)]
    ours_a, ours_b = p50([up[0] for up, _ in pairs]), p50([up[1] for up, _ in pairs])
    floor_a, floor_b = p50([floor[0] for _, floor in pairs]), p50([floor[1] for _, floor in pairs])
    print(f"loop of 10 M additions {loop_s():.2f} s; {LIVES} lives each, alternating")
    print(f"{'':34}{'up s':>8}{'floor s':>9}{'ratio':>7}")
    print(f"{'(a) an event has run its flow':34}{ours_a:8.1f}{floor_a:9.1f}{ours_a / floor_a:7.2f}")
    print(f"{'(b) an earlier model answers':34}{ours_b:8.1f}{floor_b:9.1f}{ours_b / floor_b:7.2f}")
    holds = ours_a <= 1.3 * floor_a and ours_b <= 1.3 * floor_b
    ratio_b = round(ours_b / floor_b, 3)
    verdict("up", value=ours_a, unit="s", floor=floor_a, goal=1.3, holds=holds, model_ratio=ratio_b)


if __name__ == "__main__":
    main()
