"""One platform to a PostgreSQL database, by a lease that the server's clock ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scenes.postgres import Server

from headwater.errors import Conflict
from headwater.store.claim import Claim, Holder
from headwater.store.engine import create, open_engine
from headwater.store.writer import Fenced, Writer

LIFETIME_S = 0.6


@pytest.fixture
def url(postgres: Server) -> str:
    return postgres.migrated()


@pytest.fixture
def one(url: str) -> Iterator[Claim]:
    claim = claim_of(url, "one")
    yield claim
    claim.release()


@pytest.fixture
def two(url: str) -> Iterator[Claim]:
    claim = claim_of(url, "two")
    yield claim
    claim.release()


def claim_of(url: str, holder: str) -> Claim:
    return Claim(url, Holder(holder, f"home {holder}", LIFETIME_S))


def test_a_second_platform_is_refused_while_the_first_renews(one: Claim, two: Claim) -> None:
    one.take()
    one.keep()
    with pytest.raises(Conflict, match=r"Another platform runs on the database .*: home one"):
        two.take()
    one.check()


def test_a_platform_that_no_longer_renews_is_followed_once_its_lease_ran_out(one: Claim, two: Claim) -> None:
    one.take()
    two.take()  # waits
    two.keep()
    with pytest.raises(Conflict, match="home two"):
        one.take()


def test_the_one_that_was_passed_by_learns_it_and_takes_no_epoch(url: str, one: Claim, two: Claim) -> None:
    create(url, store_epoch="e")
    one.take()
    epoch = epoch_of(url, "one")
    two.take()
    one.keep()
    while not is_lost(one):
        pass
    with pytest.raises(Fenced):
        epoch_of(url, "one")
    assert epoch_of(url, "two") == epoch + 1


def test_the_same_platform_and_one_after_an_ordered_end_need_not_wait(url: str, one: Claim, two: Claim) -> None:
    again = claim_of(url, "one")
    one.take()
    again.take()
    again.release()
    two.take()
    assert not is_lost(two)


def epoch_of(url: str, instance: str) -> int:
    """The epoch that the Conductor of that platform takes."""
    engine = open_engine(url)
    writer = Writer(engine, "conductor", instance=instance)
    try:
        return writer.take_epoch()
    finally:
        writer.close()
        engine.dispose()


def is_lost(claim: Claim) -> bool:
    try:
        claim.check()
    except Conflict:
        return True
    return False
