"""Small jobs move so that a large one fits, where that alone is enough."""

from __future__ import annotations

from headwater.quota.messages import AttemptCheckpointed, Reclaim, StepWaiting, Ticked

from .scene import Platform, a_node, a_step

ONE = {"projects": {"p": {"gpu": 8}, "q": {"gpu": 8}}}


def split(*, priority: int = 0, min_runtime_s: int = 0) -> Platform:
    """Two nodes of two GPUs, half of each taken by a small job: what asks for two GPUs has quota, and no place."""
    platform = Platform(ONE, a_node("n0", gpus=2), a_node("n1", gpus=2))
    platform.start(a_step("filler0", "p", gpus=2), a_step("filler1", "p", gpus=2))
    for number in (0, 1):
        platform.end(f"filler{number}")
        platform.start(_small(number, priority, min_runtime_s), a_step(f"gone{number}", "p"))
    nodes = {platform.grants[name].node: name for name in ("gone0", "gone1")}
    assert set(nodes) == {"n0", "n1"}
    for name in nodes.values():
        platform.end(name)
    return platform


def _small(number: int, priority: int, min_runtime_s: int) -> StepWaiting:
    return a_step(f"small{number}", "p", priority=priority, min_runtime_s=min_runtime_s)


def test_a_small_job_moves_so_that_a_large_one_fits() -> None:
    platform = split()
    platform.start(a_step("large", "q", gpus=2, since=0), at=10)
    assert platform.victims() == []
    platform.tell(Ticked(0), at=61)
    (said,) = [effect for effect in platform.said if isinstance(effect, Reclaim)]
    assert said.for_step == "large"
    assert said.reason.startswith("Moved so that step fit of project q fits on node")
    assert platform.end(said.step_id, at=70) == ["large"]
    platform.start(a_step(said.step_id, "p", evictions=1), at=70)
    assert platform.grants[said.step_id].node != platform.grants["large"].node


def test_a_job_within_its_min_runtime_stays() -> None:
    platform = split(min_runtime_s=1_000)
    platform.start(a_step("large", "q", gpus=2, since=0), at=10)
    platform.tell(Ticked(0), at=61)
    assert platform.victims() == []


def test_a_job_that_matters_more_stays() -> None:
    platform = split(priority=5)
    platform.start(a_step("large", "q", gpus=2, since=0), at=10)
    platform.tell(Ticked(0), at=61)
    assert platform.victims() == []


def test_a_job_that_would_lose_more_work_than_the_large_one_has_waited_stays_until_it_has_saved_it() -> None:
    # The small ones have run for 1,000 s, 1,000 GPU seconds each; two GPUs waited for since 900 s are 200 by then.
    platform = split()
    platform.start(a_step("large", "q", gpus=2, since=900_000_000), at=900)
    platform.tell(Ticked(0), at=1_000)
    assert platform.victims() == []
    platform.tell(AttemptCheckpointed(platform.fences["small1"], 950_000_000), at=1_000)
    platform.tell(Ticked(0), at=1_060)
    assert platform.victims() == ["small1"]
