"""One running platform for all tests of this folder, with the small flows of `flows/` deployed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from scenes.gate import Gate
from scenes.life import homes, up

from headwater.cli.demo import Place
from headwater.sdk import Client

FLOWS = Path(__file__).parent / "flows"


@pytest.fixture(scope="session")
def platform() -> Iterator[Place]:
    with homes() as folder:
        yield up(folder / "home")


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


@pytest.fixture
def bound_s() -> float:
    """How long a test may take; a module with longer ones has its own."""
    return 120.0


@pytest.fixture(autouse=True)
def _bounded(bound_s: float) -> Iterator[None]:
    """What never comes fails the test that waits for it, and not the whole run."""

    def rang(number: int, frame: object) -> None:
        raise TimeoutError(f"not done within {bound_s:g} s")

    before = signal.signal(signal.SIGALRM, rang)
    signal.setitimer(signal.ITIMER_REAL, bound_s)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
