"""The real parts that tests share: one broker and one Ray for the whole run, made at first need."""

from __future__ import annotations

import datetime
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants
from xdist.scheduler import LoadScopeScheduling

pytest.register_assert_rewrite("scenes")  # what their assertions say is read too

if TYPE_CHECKING:
    from scenes.postgres import Server

    from headwater.local.broker import Broker
    from headwater.local.ray_head import RayHead

DEADLINE = pytest.StashKey[float]()
SHARED = {  # parts too dear to be there twice, and where the tests are that need them
    "platform": ("tests/e2e/",),
    "ray_head": (
        "tests/serve/",
        "tests/web/test_actor.py",
        "tests/local/test_ray_head.py",
        "tests/actors/test_scheduler.py",
        "tests/actors/test_worker_on_ray.py",
    ),
}
REPEATABLE, FUZZ = "repeatable", "fuzz"  # of Hypothesis: the same examples for the same code; new ones, by a seed
settings.register_profile(
    REPEATABLE, derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(FUZZ, settings.get_profile(REPEATABLE), derandomize=False, print_blob=True)
settings.load_profile(REPEATABLE)


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
    one = RayHead(folder, fork_workers=False)  # forks are of the first driver, and here each test is another
    one.start()
    yield one
    one.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A running PostgreSQL; a test asks it for a database. Where none is installed, the test says so and is skipped."""
    from scenes.postgres import ABSENT, Server

    if ABSENT:
        pytest.skip(ABSENT)
    one = Server()
    yield one
    one.remove()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", action="store_true", help="run the slow faults, and only them")
    parser.addoption("--budget", type=float, default=20.0, help="minutes for the slow faults")


class Together(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Gives the tests of a shared part to one process, and otherwise those of a file."""

    def _split_scope(self, nodeid: str) -> str:
        return part_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Together:
    return Together(config, log)


def part_of(nodeid: str) -> str:
    """What its process shares: the name of a part, or the file."""
    file = nodeid.partition("::")[0]
    return next((part for part, places in SHARED.items() if file.startswith(places)), file)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps the slow faults apart; they run in an order that each day begins elsewhere."""
    items.sort(key=lambda item: part_of(item.nodeid) not in SHARED)  # what takes longest begins first
    slow = [item for item in items if item.get_closest_marker("faults")]
    quick = [item for item in items if item not in slow]
    chosen, left = (slow, quick) if config.getoption("--faults") else (quick, slow)
    if config.getoption("--faults") and chosen:
        first = datetime.date.today().toordinal() % len(chosen)
        chosen = chosen[first:] + chosen[:first]
    config.hook.pytest_deselected(items=left)
    items[:] = chosen


def pytest_configure(config: pytest.Config) -> None:
    config.stash[DEADLINE] = time.monotonic() + 60.0 * config.getoption("--budget")


def pytest_sessionstart() -> None:
    if settings.get_current_profile_name() == REPEATABLE:
        assert hasattr(providers, "_get_local_constants")
        vars(providers)["_get_local_constants"] = Constants  # not those of whatever modules are loaded


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("faults") and time.monotonic() > item.config.stash[DEADLINE]:
        pytest.skip(f"the budget left out {item.nodeid}")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if session.config.getoption("--faults") and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        session.exitstatus = pytest.ExitCode.OK
