"""The Deployer with a real Registry, Ray Serve and HAProxy."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from headwater.artifacts.files import Files
from headwater.core.inventory import Deployment, DeploymentState, ModelVersion
from headwater.store.engine import create, open_engine, sqlite_url
from headwater.store.reader import Reader
from headwater.store.writer import Writer
from headwater.wire.entries.models import DeploymentFailed, DeploymentReady

from .conftest import TOKEN, Front
from .test_apps import a_model, body

if TYPE_CHECKING:
    from headwater.local.ray_head import RayHead

DEADLINE_S = 120.0


class Platform:
    """A home with two versions of model `trip`, 2 and 3 times the miles, and one that is broken."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "token").write_text(TOKEN)
        (home / "secret").write_bytes(b"secret")
        create(self.url, store_epoch="e1")
        files = Files(home / "artifacts")
        digests = []
        for version, factor in enumerate((2.0, 3.0), 1):
            a_model(home / f"m{version}", factor)
            digests.append(files.put_tree(home / f"m{version}"))
        (home / "broken").mkdir()
        (home / "broken" / "model.json").write_text("no document")
        digests.append(files.put_tree(home / "broken"))
        rows = {("trip", number): _version(number, digest) for number, digest in enumerate(digests, 1)}
        writer = Writer(open_engine(self.url), "registry")
        writer.take_epoch()
        writer.commit({"model_versions": rows})

    @property
    def url(self) -> str:
        return sqlite_url(self.home / "store.db")

    def deployment(self) -> Deployment:
        with Reader(open_engine(self.url, read_only=True)).picture() as picture:
            [row] = picture.rows("deployments")
        assert isinstance(row, Deployment)
        return row

    def until(self, wanted: Callable[[Deployment], bool]) -> Deployment:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            if wanted(row := self.deployment()):
                return row
            time.sleep(0.2)
        raise TimeoutError(f"not within {DEADLINE_S:g} s: {self.deployment()}")

    def said(self, kind: type) -> list[Any]:
        return [entry.body for entry in Reader(open_engine(self.url)).entries(0) if isinstance(entry.body, kind)]


def _version(number: int, digest: str) -> ModelVersion:
    return ModelVersion(
        name="trip",
        version=number,
        project="flights",
        digest=digest,
        runtime="onnx",
        signature=None,
        metrics=None,
        size_bytes=1,
        run_id=f"r{number}",
        ordinal=1,
        code_version="v1",
        tables=None,
        principal="ann",
        registered_us=1,
    )


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    return Platform(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def order(front: Front, ray_head: RayHead, platform: Platform) -> Iterator[Callable[..., Any]]:
    """Gives the Registry a command, with the Deployer at work."""
    with (platform.home / "driver.log").open("w") as log:
        driver = str(Path(__file__).parent / "deployer_driver.py")
        process = subprocess.Popen(
            [sys.executable, driver, str(platform.home), str(front.port), ray_head.address],
            env={**os.environ, **ray_head.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout
        assert stdout.readline() == "ready\n", (platform.home / "driver.log").read_text()[-2000:]

        def give(kind: str, **data: Any) -> Any:
            stdin.write(msgspec.json.encode((kind, data)).decode() + "\n")
            stdin.flush()
            answer = msgspec.json.decode(stdout.readline())
            assert "done" in answer, answer
            return answer["done"]

        yield give
        process.communicate(timeout=30)


def test_a_deployment_is_ready_when_it_answers_and_the_latest_wish_wins(
    front: Front, platform: Platform, order: Callable[..., Any]
) -> None:
    assert order("deployment.apply", name="trip", version=1, replicas_min=1, replicas_max=1)
    row = platform.until(lambda row: row.state is DeploymentState.READY)
    assert row.url == f"http://127.0.0.1:{front.port}/v2/models/trip"
    assert front.infer("trip", body()).json()["outputs"][0]["data"] == [3.0, 8.0]

    assert order("deployment.apply", name="trip", version=2)
    platform.until(lambda row: (row.version, row.state) == (2, DeploymentState.READY))
    assert front.infer("trip", body()).json()["outputs"][0]["data"] == [4.5, 12.0]
    assert [said.version for said in platform.said(DeploymentReady)] == [1, 2]


def test_a_version_that_does_not_load_fails_with_the_reason(platform: Platform, order: Callable[..., Any]) -> None:
    assert order("deployment.apply", name="trip", version=3, replicas_min=1, replicas_max=1)
    row = platform.until(lambda row: (row.version, row.state) == (3, DeploymentState.FAILED))
    assert row.reason
    assert platform.said(DeploymentFailed)[0].version == 3


def test_a_removed_deployment_is_served_no_longer(front: Front, platform: Platform, order: Callable[..., Any]) -> None:
    assert order("deployment.remove", name="trip")
    deadline = time.monotonic() + DEADLINE_S
    while front.infer("trip", body()).status_code != 404 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert front.infer("trip", body()).status_code == 404
    assert platform.deployment().state is DeploymentState.STOPPED
