"""Who has not been heard for a lease's lifetime."""

from __future__ import annotations

from headwater.core.renewals import Renewals


def test_a_process_expires_once_it_was_not_heard_for_the_whole_lifetime() -> None:
    renewals = Renewals(60.0)
    renewals.present(["a", "b"], 0.0)
    renewals.heard("a", 40.0)
    assert renewals.expired(59.0) == []
    assert renewals.expired(60.0) == ["b"]
    assert renewals.expired(100.0) == ["a", "b"]


def test_one_that_is_new_has_its_whole_lifetime_and_one_that_is_gone_never_expires() -> None:
    renewals = Renewals(60.0)
    renewals.present(["old"], 0.0)
    renewals.present(["new"], 50.0)
    assert renewals.expired(70.0) == []
    assert renewals.expired(110.0) == ["new"]
