from __future__ import annotations

import tomllib
from typing import Any

import pytest

from headwater.errors import InvalidInput
from headwater.quota.scenario import parse_scenario
from headwater.quota.simulate import play

from .promises import picture
from .scene import Platform, a_node, a_step

HALVES = {"projects": {"owner": {"gpu": 4}, "guest": {"gpu": 4}}}


def played(platform: Platform, text: str, now_us: int = 60_000_000) -> Any:
    before = picture(platform.scheduler)
    found = play(platform.scheduler, parse_scenario(tomllib.loads(text), now_us), now_us)
    assert picture(platform.scheduler) == before
    return found


def test_more_work_is_told_to_start_or_why_it_would_wait() -> None:
    # 8 GPUs, guaranteed 4 and 4, nothing runs: of three gangs of 4 two start, the third lacks quota.
    platform = Platform(HALVES, a_node("n0", gpus=8))
    found = played(platform, '[[steps]]\nproject = "guest"\ngpu = 4\ncount = 3\n')
    assert found.starts == ("if/1", "if/2")
    (third,) = found.waits
    assert (third.step_id, third.code) == ("if/3", "quota")


def test_a_lost_node_makes_its_work_homeless_and_it_goes_elsewhere_where_there_is_room() -> None:
    platform = Platform(HALVES, a_node("n0", gpus=4), a_node("n1", gpus=4))
    platform.start(a_step("a", "guest", gpus=4), a_step("b", "owner", gpus=2))
    node = platform.grants["a"].node
    found = played(platform, f'lost = ["{node}"]\n')
    assert (found.homeless, found.starts) == (("a",), ())
    found = played(platform, f'lost = ["{node}"]\n[[nodes]]\ngpus = 4\ncpu = 8\nmemory = "32GiB"\nmodel = "L4"\n')
    assert (found.homeless, found.starts) == (("a",), ("a",))


def test_another_tree_lists_who_would_hold_more_than_its_guarantee() -> None:
    platform = Platform(HALVES, a_node("n0", gpus=8))
    platform.start(*(a_step(f"g{n}", "guest", since=n) for n in range(4)))
    tree = "[quota.cohort.all.projects.owner]\ngpu = 6\n[quota.cohort.all.projects.guest]\ngpu = 2\n"
    (loss,) = played(platform, tree).losses
    assert (loss.project, loss.amount) == ("guest", 2000)


def test_nobody_loses_of_what_the_new_tree_does_not_limit() -> None:
    platform = Platform({"projects": {"guest": {"gpu": 4, "cpu": 4}}}, a_node("n0", gpus=8))
    platform.start(a_step("a", "guest", cpus_milli=2000))
    assert played(platform, "[quota.cohort.all.projects.guest]\ngpu = 4\n").losses == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "says nothing"),
        ("losst = []", "unknown key 'losst'"),
        ("lost = 3", "no list of nodes"),
        ('lost = ["n9"]', "no node 'n9'"),
        ("steps = 4", "no list"),
        ("[[steps]]\ngpu = 1", "names no project"),
        ('[[steps]]\nproject = "eta"\ngpu = -1', "negative"),
        ('[[steps]]\nproject = "eta"\ncount = 0.5', "count is 0.5"),
        ('[[nodes]]\nid = "n0"\ngpus = 1', "there already"),
        ('[[nodes]]\nid = "x"\ncount = 2', "2 nodes the id"),
        ("[quota.cohort.all.projects.owner]\ngpux = 1", "unknown key 'gpux'"),
    ],
)
def test_a_scenario_that_makes_no_sense_is_refused_by_name(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        played(Platform(HALVES, a_node("n0", gpus=8)), text)
