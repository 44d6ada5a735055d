"""One Ray Serve with HAProxy for these tests, driven through a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest

if TYPE_CHECKING:
    from headwater.local.ray_head import RayHead

TOKEN = "the-right-token"
VERSION = "0.1.0"
DEADLINE_S = 90.0


class Front:
    """Ray Serve as a test sees it: `apps` on one side, HTTP on the other."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self._process = process
        self.port = port
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)

    def call(self, function: str, **arguments: Any) -> Any:
        """What a function of `headwater.serve.apps` returns."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode((function, arguments)).decode() + "\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline())

    def reconcile(self, *specs: dict[str, Any]) -> Any:
        return self.call("reconcile", desired=specs, token=TOKEN, version=VERSION)

    def serve(self, *specs: dict[str, Any]) -> None:
        """Reconciles until each model answers as the version that it should be."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            fared = self.reconcile(*specs)["result"]
            ready = all(fared.get(spec["name"], {}).get("readiness") == "ready" for spec in specs)
            if ready and all(self._versions(spec["name"]) == [spec["version"]] for spec in specs):
                return
        raise TimeoutError(f"not served within {DEADLINE_S:g} s: {self.call('status')}")

    def get(self, path: str, *, token: str = TOKEN) -> httpx.Response:
        return self.http.get(path, headers=bearing(token))

    def infer(self, name: str, body: object, *, token: str = TOKEN) -> httpx.Response:
        return self.http.post(f"/v2/models/{name}/infer", json=body, headers=bearing(token))

    def answers(self, name: str, body: object) -> None:
        """Waits for a prediction; raises TimeoutError with the last refusal."""
        deadline = time.monotonic() + DEADLINE_S
        while (answer := self.infer(name, body)).status_code != 200:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} does not answer within {DEADLINE_S:g} s: {answer.text}")

    def _versions(self, name: str) -> list[str]:
        answer = self.get(f"/v2/models/{name}")
        return list(answer.json()["versions"]) if answer.status_code == 200 else []


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


@pytest.fixture(scope="session")
def front(ray_head: RayHead, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    from headwater.local.ports import free_ports

    [port] = free_ports(1)
    with (tmp_path_factory.mktemp("serve") / "driver.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).parent / "driver.py"), ray_head.address],
            env={**os.environ, **ray_head.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        one = Front(process, port)
        assert one.call("start", port=port, token=TOKEN, version=VERSION, request_timeout_s=60) == {"result": None}
        yield one
        one.http.close()
        process.communicate()
