"""Utilisation and waste by SQL, on both databases. Times below are in seconds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scenes.store import T0, Story, a_step, an_attempt, run_id

from headwater.core.records.leases import Lease, LeaseState
from headwater.errors import InvalidInput
from headwater.store.queries import Queries
from headwater.wire.api.quota import Used

SECOND = 1_000_000


@pytest.fixture
def story(bare_url: str, tmp_path: Path) -> Iterator[Story]:
    one = Story(tmp_path, url=bare_url)
    yield one
    one.close()


def at(second: int | None) -> int | None:
    return None if second is None else T0 + second * SECOND


def leased(
    story: Story,
    fence: int,
    *,
    project: str = "eta",
    milli: int = 1000,
    since: int,
    started: int | None,
    ended: int | None = None,
    freed: int | None = None,
) -> None:
    """A lease of one device, and its attempt."""
    step = a_step(run_id(fence), 0)
    times: dict[str, Any] = {"leased_us": at(since), "started_us": at(started), "ended_us": at(ended)}
    state = LeaseState.HELD if ended is None else LeaseState.RELEASING if freed is None else LeaseState.FREE
    story.put("attempts", an_attempt(step, fence, **times))
    lease: dict[str, Any] = {"run_id": step.run_id, "step_id": step.id, "project": project, "node": "n"}
    story.put(
        "leases",
        Lease(
            fence=fence, device=f"n/{fence}", milli=milli, state=state, since_us=T0 + since * SECOND,
            released_us=at(ended), freed_us=at(freed), **lease,
        ),
    )  # fmt: skip


def used(story: Story, *, to: int, bucket: int, now: int | None = None, project: str | None = None) -> list[Used]:
    reader = story.reader()
    stretch = {"from_us": T0, "to_us": T0 + to * SECOND, "bucket_s": bucket, "now_us": T0 + (now or to) * SECOND}
    try:
        return list(Queries(reader).usage(project=project, **stretch).items)
    finally:
        reader.dispose()


def seconds(each: Used) -> tuple[str, int, int, int]:
    return (each.project, each.leased_gpu_ms // 1000, each.running_gpu_ms // 1000, each.idle_gpu_ms // 1000)


def test_what_was_leased_is_running_or_idle_to_the_second(story: Story) -> None:
    # Leased at 10, the worker began at 13, ended at 73, seen empty at 75: 65 s, of which 60 ran.
    leased(story, 1, since=10, started=13, ended=73, freed=75)
    # Half a GPU from 0 on, running from 20 on and still: 100 s until now, 80 of them running, by a half.
    leased(story, 2, milli=500, since=0, started=20)
    # Another project's, whose worker never began; it is being emptied still.
    leased(story, 3, project="etl", since=40, started=None, ended=50)
    (eta, etl) = used(story, to=100, bucket=100)
    assert seconds(eta) == ("eta", 65 + 50, 60 + 40, 5 + 10)
    assert seconds(etl) == ("etl", 60, 0, 60)
    assert eta.attempts == 2
    assert [each.project for each in used(story, to=100, bucket=100, project="etl")] == ["etl"]


def test_history_is_cut_into_stretches_whose_sums_are_the_whole(story: Story) -> None:
    leased(story, 1, since=-5, started=2, ended=31, freed=34)
    found = used(story, to=35, bucket=10)
    assert [((each.from_us - T0) // SECOND, *seconds(each)[1:]) for each in found] == [
        (0, 10, 8, 2), (10, 10, 10, 0), (20, 10, 10, 0), (30, 4, 1, 3),
    ]  # fmt: skip
    assert found[-1].to_us == T0 + 35 * SECOND
    (whole,) = used(story, to=35, bucket=35)
    assert whole.leased_gpu_ms == sum(each.leased_gpu_ms for each in found) == 34_000


def test_the_future_is_not_counted(story: Story) -> None:
    leased(story, 1, since=0, started=0)
    assert [seconds(each) for each in used(story, to=100, bucket=100, now=40)] == [("eta", 40, 40, 0)]


@pytest.mark.parametrize(("to", "bucket"), [(0, 10), (10, 0), (2000, 1)])
def test_a_stretch_that_cannot_be_answered_is_refused_with_the_remedy(story: Story, to: int, bucket: int) -> None:
    with pytest.raises(InvalidInput, match="bucket"):
        used(story, to=to, bucket=bucket)
