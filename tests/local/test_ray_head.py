import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from headwater.errors import Conflict, Unavailable
from headwater.local.ports import free_ports
from headwater.local.processes import descendants, identify, is_alive
from headwater.local.ray_head import RayHead, make_private, marked

JOIN = """
import ray, sys
ray.init(address=sys.argv[1], _node_ip_address="127.0.0.1", log_to_driver=False, configure_logging=False)
"""
ACTOR = """
@ray.remote(num_cpus=0)
class Echo:
    def say(self, word): return word
echo = Echo.remote()
print(ray.get(echo.say.remote("hello"), timeout=60))
"""
LOOPBACK = ("127.0.0.1:", "::1:", "::ffff:127.0.0.1:")
SERVE = """
import http.client
from ray import serve
@serve.deployment
class Echo:
    async def __call__(self, request): return await request.body()
serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[2])}, grpc_options=None)
serve.run(Echo.bind(), route_prefix="/echo")
asked = http.client.HTTPConnection("127.0.0.1", int(sys.argv[2]), timeout=30)
asked.request("POST", "/echo", body=b"hello")
print(asked.getresponse().read().decode())
"""


def drive(head: RayHead, code: str, *more: str, without: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **head.environment}
    environment.pop(without, None)
    argv = [sys.executable, "-W", "ignore", "-c", code, head.address, *more]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=180, check=False)


def listeners(head: RayHead) -> dict[str, str]:
    """Address → command of every listening socket of the cluster's processes."""
    found = {}
    for known in marked(head.temp):
        process = psutil.Process(known.pid)
        for connection in process.net_connections(kind="inet"):
            if connection.status == psutil.CONN_LISTEN:
                found[f"{connection.laddr.ip}:{connection.laddr.port}"] = process.name()
    return found


@pytest.fixture
def second() -> Iterator[RayHead]:
    with tempfile.TemporaryDirectory(prefix="hw-", dir="/tmp") as folder:
        head = RayHead(Path(folder))
        head.start()
        yield head
        head.stop()


def test_serve_answers_through_haproxy_and_listens_on_loopback_only(ray_head: RayHead) -> None:
    (port,) = free_ports(1)
    told = drive(ray_head, JOIN + SERVE, str(port))
    assert told.stdout.strip().endswith("hello"), told.stderr[-3000:]
    heard = listeners(ray_head)
    assert heard.get(f"127.0.0.1:{port}") == "haproxy"
    assert [address for address in heard if not address.startswith(LOOPBACK)] == []
    drive(ray_head, JOIN + "from ray import serve; serve.shutdown()")


def test_a_driver_without_the_token_is_refused(ray_head: RayHead) -> None:
    told = drive(ray_head, JOIN + ACTOR, without="RAY_AUTH_TOKEN_PATH")
    assert told.returncode != 0
    assert "hello" not in told.stdout
    assert "token" in told.stderr.lower()


def test_a_second_cluster_runs_beside_the_first_and_leaves_it_alone(ray_head: RayHead, second: RayHead) -> None:
    assert drive(second, JOIN + ACTOR).stdout.strip() == "hello"
    children = [each for pid in second.pids.values() if (known := identify(pid)) for each in descendants(known)]
    temp = second.temp
    second.stop()
    assert [each for each in children if is_alive(each)] == []
    assert marked(temp) == []
    assert not temp.exists()
    assert drive(ray_head, JOIN + ACTOR).stdout.strip() == "hello"


def test_what_a_killed_life_left_is_ended_by_the_next(second: RayHead) -> None:
    left = marked(second.temp)
    killed = psutil.Process(second.pids["gcs_server"])
    killed.kill()
    psutil.wait_procs([killed], timeout=60)
    assert not second.is_alive()
    again = RayHead(second.folder)
    again.start()
    assert [each for each in left if is_alive(each)] == []
    assert drive(again, JOIN + ACTOR).stdout.strip() == "hello"
    again.stop()


def test_a_ray_that_does_not_come_up_says_what_it_last_said(tmp_path: Path) -> None:
    head = RayHead(tmp_path, cpus=-1)
    with pytest.raises(Unavailable, match=r"^Ray ended while starting.*The whole log is .*ray\.log$"):
        head.start()
    assert marked(head.temp) == []


def test_a_folder_made_by_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").symlink_to(tmp_path)
    with pytest.raises((Conflict, FileExistsError)):
        make_private(tmp_path / "elsewhere")
