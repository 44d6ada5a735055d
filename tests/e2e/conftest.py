"""One running platform for all tests of this folder, with the small flows of `flows/` deployed."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scenes.gate import Gate
from scenes.life import homes, up

from headwater import crash
from headwater.cli.demo import Place
from headwater.sdk import Client

FLOWS = Path(__file__).parent / "flows"
WITHIN_S = 500.0


@pytest.fixture(scope="session")
def platform() -> Iterator[Place]:
    with homes() as folder:
        (folder / "crash").mkdir()
        yield up(folder / "home", {crash.VARIABLE: str(folder / "crash")})


@pytest.fixture(scope="session")
def hw(platform: Place) -> Iterator[Client]:
    """A client of the platform; the flows are deployed."""
    with Client(platform.url, platform.token) as client:
        client.deploy(FLOWS)
        yield client


@pytest.fixture
def gate() -> Iterator[Gate]:
    one = Gate()
    yield one
    one.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    with bounded(item.nodeid):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    with bounded(item.nodeid):
        return (yield)


@contextmanager
def bounded(what: str) -> Iterator[None]:
    """What never comes fails the test that waits for it, and not the whole run."""

    def rang(number: int, frame: object) -> None:
        raise TimeoutError(f"{what} was not done within {WITHIN_S:g} s")

    before = signal.signal(signal.SIGALRM, rang)
    signal.setitimer(signal.ITIMER_REAL, WITHIN_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
