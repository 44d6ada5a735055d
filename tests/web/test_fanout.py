from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from scenes.store import T0, started

from headwater.store.scope import LogPage, Scope
from headwater.web.fanout import Follower, Gap, Subscription
from headwater.wire.types import Entry


def an_entry(position: int, run: str, **more: Any) -> Entry:
    about: dict[str, Any] = {"subject": run, "project": "eta", "principal": "p", "run_id": run, **more}
    return Entry(position=position, body=started(), time_us=T0, seq=position, **about)


def a_log(length: int) -> list[Entry]:
    return [an_entry(position, f"run-{position % 3}") for position in range(1, length + 1)]


def stretch(log: list[Entry], after: int, upto: int) -> list[Entry]:
    return [entry for entry in log if after < entry.position <= upto]


def test_word_that_continues_is_taken_and_a_repeat_is_not() -> None:
    log, follower = a_log(5), Follower(0)
    assert follower.accept(0, 3, stretch(log, 0, 3)) == log[:3]
    assert follower.accept(0, 3, stretch(log, 0, 3)) == []
    assert follower.accept(1, 5, stretch(log, 1, 5)) == log[3:]


def test_a_hole_is_told_and_changes_nothing() -> None:
    follower = Follower(2)
    assert follower.accept(4, 6, []) == Gap(2, 6)
    assert follower.position == 2


def test_a_slow_subscriber_is_cut_and_hands_out_nothing_more() -> None:
    log = a_log(4)
    slow = Subscription(Scope(), 0, 0, buffer_max=3)
    for entry in log:
        slow.offer(entry)
    assert slow.is_cut
    assert slow.take() == []


def test_a_subscriber_by_label_is_handed_what_carries_all_of_them() -> None:
    chosen = Subscription(Scope(labels=(("kind", "nightly"), ("team", "a"))), 0, 0, buffer_max=9)
    carried = [{"team": "a", "kind": "nightly", "x": "1"}, {"team": "a"}, {"team": "b", "kind": "nightly"}, None]
    for position, labels in enumerate(carried, 1):
        chosen.offer(an_entry(position, "r", labels=labels))
    assert [entry.position for entry in chosen.take()] == [1]


def test_progress_keeps_the_newest_word_of_each_step() -> None:
    from headwater.wire.calls import Progress

    subscription = Subscription(Scope(), 0, 0, buffer_max=3)
    for done in (1.0, 2.0):
        subscription.offer_progress(
            Progress(fence=1, run_id="r", step_id="r/0", name="fit", attempt=1, worker="w", done=done)
        )
    assert [each.done for each in subscription.take_progress()] == [2.0]
    assert subscription.take_progress() == []


@given(data=st.data())
def test_whatever_is_lost_or_doubled_a_subscriber_sees_its_scope_once_and_in_order(data: st.DataObject) -> None:
    log = a_log(data.draw(st.integers(1, 40)))
    scope = data.draw(
        st.sampled_from(
            [
                Scope(),
                Scope(run_id="run-1"),
                Scope(project="eta"),
                Scope(project="other"),
                Scope(types=("run.started",)),
            ]
        )
    )
    follower = Follower(data.draw(st.integers(0, len(log))))
    joined = follower.position
    after = data.draw(st.integers(0, joined))
    subscription = Subscription(scope, after, joined, buffer_max=1_000)
    seen: list[Entry] = []
    for _ in range(data.draw(st.integers(0, 30))):
        if data.draw(st.booleans()):
            word(data, log, follower, subscription)
        else:
            seen += read(data, log, subscription)
    follow(log, follower, subscription, len(log))
    while subscription.missing():
        seen += read(data, log, subscription)
    seen += subscription.take()
    assert seen == [entry for entry in log if entry.position > after and subscription.wants(entry)]


def word(data: st.DataObject, log: list[Entry], follower: Follower, subscription: Subscription) -> None:
    """A push that may come twice, late or with a hole before it; a hole is closed from the database."""
    after = data.draw(st.integers(0, len(log)))
    upto = data.draw(st.integers(after, len(log)))
    heard = follower.accept(after, upto, stretch(log, after, upto))
    if isinstance(heard, Gap):
        follow(log, follower, subscription, data.draw(st.integers(follower.position, heard.upto)))
    else:
        for entry in heard:
            subscription.offer(entry)


def follow(log: list[Entry], follower: Follower, subscription: Subscription, upto: int) -> None:
    after = follower.position
    heard = follower.accept(after, upto, stretch(log, after, upto))
    assert isinstance(heard, list)
    for entry in heard:
        subscription.offer(entry)


def read(data: st.DataObject, log: list[Entry], subscription: Subscription) -> list[Entry]:
    """One page of the backfill, or what came live."""
    missing = subscription.missing()
    if missing is None:
        return subscription.take()
    through = data.draw(st.integers(missing[0] + 1, missing[1]))
    page = [entry for entry in stretch(log, missing[0], through) if subscription.wants(entry)]
    return subscription.backfill(LogPage(page, through))
