from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headwater.views.run_metrics import Minute, RunMetrics, Window, add, contribution
from headwater.wire.entries.runs import RunFailed, RunStarted, RunSucceeded
from headwater.wire.terms import Failure
from headwater.wire.types import AnyBody, Entry

MINUTE_US = 60_000_000


def an_entry(body: AnyBody, *, run: str = "r1", seq: int = 1, time_us: int = 0) -> Entry:
    return Entry(position=1, body=body, subject=run, project="eta", principal="p", time_us=time_us, run_id=run, seq=seq)


def succeeded(took: int = 5) -> RunSucceeded:
    return RunSucceeded(flow="f", duration_us=took)


def started() -> RunStarted:
    return RunStarted(flow="f", host="h")


def failed(took: int = 3) -> RunFailed:
    return RunFailed(flow="f", duration_us=took, failure=Failure(kind="lost", message="gone"))


def metrics() -> RunMetrics:
    return RunMetrics(window_us=MINUTE_US, keep_us=10 * MINUTE_US)


def test_an_entry_adds_to_the_window_of_its_time() -> None:
    found = contribution(an_entry(succeeded(), time_us=MINUTE_US + 7), window_us=MINUTE_US)
    assert found == (Window("eta/f", MINUTE_US), Minute(succeeded=1, duration_us=5, duration_max_us=5))


def test_a_repeated_entry_is_counted_once() -> None:
    view = metrics()
    for entry in (an_entry(started(), seq=1), an_entry(succeeded(), seq=2)) * 2:
        view.hear(entry)
    assert view.rows() == [
        {
            "flow": "eta/f",
            "minute_us": 0,
            "started": 1,
            "succeeded": 1,
            "failed": 0,
            "duration_us": 5,
            "duration_max_us": 5,
        }
    ]


def test_windows_older_than_those_kept_are_forgotten_and_stay_so() -> None:
    view = metrics()
    view.hear(an_entry(started(), run="old", time_us=0))
    view.hear(an_entry(started(), run="new", time_us=20 * MINUTE_US))
    view.hear(an_entry(succeeded(), run="late", time_us=1))
    assert [row["minute_us"] for row in view.rows()] == [20 * MINUTE_US]


minutes = st.builds(Minute, *[st.integers(0, 1000)] * 5)


@given(minutes, minutes, minutes)
def test_adding_is_associative_and_commutative_with_a_zero(one: Minute, two: Minute, three: Minute) -> None:
    assert add(one, add(two, three)) == add(add(one, two), three)
    assert add(one, two) == add(two, one)
    assert add(one, Minute()) == one


@given(st.data())
def test_totals_are_those_of_the_runs_however_entries_repeat(data: st.DataObject) -> None:
    ends: list[Any] = data.draw(st.lists(st.sampled_from([succeeded(), failed(), None]), max_size=20))
    story = [
        [an_entry(started(), run=f"r{number}", seq=1)]
        + ([an_entry(end, run=f"r{number}", seq=2, time_us=MINUTE_US)] if end else [])
        for number, end in enumerate(ends)
    ]
    view = metrics()
    for entries in story:
        for entry in entries:
            for _ in range(data.draw(st.integers(1, 3))):
                view.hear(entry)
    rows = view.rows()
    assert sum(int(row["started"]) for row in rows) == len(ends)
    assert sum(int(row["succeeded"]) for row in rows) == sum(isinstance(end, RunSucceeded) for end in ends)
    assert sum(int(row["failed"]) for row in rows) == sum(isinstance(end, RunFailed) for end in ends)
