"""A worker in a process of its own: what only a real process can show."""

import json
import os
import subprocess
import sys
from pathlib import Path

from headwater.artifacts.files import Files
from headwater.local.ray_head import RayHead

DRIVER = """
import json, sys, time
import ray
from headwater.actors.work.worker import Worker
from headwater.sdk.running.serialise import dumps
from headwater.wire.calls import AttemptOrder, Payload

address, home, bundle = sys.argv[1:]
ray.init(address=address, namespace="headwater", _node_ip_address="127.0.0.1", log_to_driver=False)
worker = ray.remote(Worker).options(num_cpus=0, max_concurrency=100).remote("worker:1", home)

def order(fence, function):
    return AttemptOrder(
        fence=fence, run_id="run", step_id="run/0", ordinal=0, name=function, attempt=fence, project="p",
        principal="tester", function=f"ray_steps:{function}", code_version="v" * 64, bundle=bundle,
        arguments=Payload(inline=dumps(((), {}), place="x").content),
    )

(first,) = ray.get(worker.run.remote([order(1, "system")]))
stuck = worker.run.remote([order(2, "sleeps")])
while (answers := ray.get(worker.describe.remote())["mailbox"]) == 0:
    pass  # Ray keeps no order between calls
worker.cancel.remote(2, 0.2)
(second,) = ray.get(stuck, timeout=30)
try:
    while True:
        ray.get(worker.hello.remote(), timeout=30)
except ray.exceptions.RayActorError:
    ended = True
print(json.dumps([repr(first.outcome.payload.inline), answers, second.outcome.failure.kind, ended]))
"""

STEPS = """
import platform, time
from headwater.sdk import step

@step
def system(): return platform.system()

@step
def sleeps(): time.sleep(600)
"""


def test_a_worker_answers_while_a_step_runs_and_ends_with_one_that_cannot_be_stopped(
    ray_head: RayHead, tmp_path: Path
) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "ray_steps.py").write_text(STEPS)
    bundle = Files(tmp_path / "artifacts").put_tree(tmp_path / "source")
    answer = subprocess.run(
        [sys.executable, "-c", DRIVER, ray_head.address, str(tmp_path), bundle],
        env={**os.environ, **ray_head.environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    said = next(line for line in answer.stdout.splitlines() if line.startswith("["))  # Ray may add words of its own
    result, mailbox, kind, ended = json.loads(said)
    assert "Linux" in result
    assert (mailbox, kind, ended) == (1, "cancelled", True)
