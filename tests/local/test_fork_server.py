import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from headwater.local import fork_client
from headwater.local.ray_head import RayHead, marked

JOIN = """
import os, random, sys
import ray
ray.init(address=sys.argv[1], _node_ip_address="127.0.0.1", log_to_driver=False, configure_logging=False)
def tell(*words): print("\\ntold:", *words, flush=True)  # Ray prints here too
class Forked:
    def parent(self): return os.getppid()
    async def draw(self):
        import numpy
        return random.random(), float(numpy.random.rand()), ray.ObjectID.from_random().hex(), os.getpid()
    def die(self): os.kill(os.getpid(), 9)
"""
FIRST = """
Actor = ray.remote(num_cpus=0)(Forked)
actors = [Actor.remote() for _ in range(6)]
tell(*ray.get([each.parent.remote() for each in actors], timeout=120))
draws = ray.get([each.draw.remote() for each in actors])
tell(*(len({draw[place] for draw in draws}) for place in range(4)))
try: ray.get(actors[0].die.remote(), timeout=60)
except ray.exceptions.ActorDiedError: tell("died")
tell(ray.get(actors[1].parent.remote()))
"""
SECOND = """
tell(ray.get(ray.remote(num_cpus=0)(Forked).remote().parent.remote(), timeout=120))
"""


def drive(head: RayHead, code: str) -> list[str]:
    argv = [sys.executable, "-W", "ignore", "-c", JOIN + code, head.address]
    environment = {**os.environ, **head.environment}
    told = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert told.returncode == 0, told.stderr[-3000:]
    return [line.removeprefix("told: ") for line in told.stdout.splitlines() if line.startswith("told: ")]


def commands(head: RayHead) -> dict[int, list[str]]:
    return {known.pid: psutil.Process(known.pid).cmdline() for known in marked(head.temp)}


@pytest.fixture
def head() -> Iterator[RayHead]:
    with tempfile.TemporaryDirectory(prefix="hw-", dir="/tmp") as folder:
        one = RayHead(Path(folder))
        one.start()
        yield one
        one.stop()


def test_workers_of_the_first_job_are_forks_that_share_no_seed_and_end_with_the_head(head: RayHead) -> None:
    (server,) = [pid for pid, command in commands(head).items() if "headwater.local.fork_server" in command]
    parents, distinct, died, survivor = drive(head, FIRST)
    assert parents.split() == [str(server)] * 6
    assert distinct.split() == ["6"] * 4
    assert (died, survivor) == ("died", str(server))
    assert drive(head, SECOND) != [str(server)]  # what Ray's library read when it was loaded is the first job's
    head.stop()
    assert marked(head.temp) == []
    assert not psutil.pid_exists(server)


def test_where_nobody_forks_a_worker_starts_by_itself(tmp_path: Path) -> None:
    worker = tmp_path / "default_worker.py"
    worker.write_text("import sys; print('alone', *sys.argv[1:])")
    argv = [sys.executable, "-I", "-S", fork_client.__file__, str(tmp_path / "no.sock"), sys.executable, str(worker)]
    told = subprocess.run([*argv, "--a=b"], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout == "alone --a=b\n"
