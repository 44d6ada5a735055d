"""The real parts that tests share: one broker and one Ray for the whole run, made at first need."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from headwater.local.broker import Broker
    from headwater.local.ray_head import RayHead


@pytest.fixture(scope="session")
def repo_root() -> Path:
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A running Kafka broker with no topics; a test names its own topics."""
    from headwater.local.broker import Broker

    one = Broker(tmp_path_factory.mktemp("broker"))
    one.start()
    yield one
    one.stop()


@pytest.fixture(scope="session")
def ray_head() -> Iterator[RayHead]:
    """A running Ray head; a process joins it with `ray_head.environment` set before it imports ray."""
    from headwater.local.ray_head import RayHead

    folder = Path(tempfile.mkdtemp(prefix="hw-", dir="/tmp"))  # Ray's sockets need a short path
    one = RayHead(folder)
    one.start()
    yield one
    one.stop()
    shutil.rmtree(folder, ignore_errors=True)
