from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest

from headwater.errors import InvalidInput
from headwater.quota.tree import Quota, parse_tree

WRITTEN = """
gpu_models = ["H100"]
[cohort.research]
cpu = 64
[cohort.research.projects.flights]
gpu = { nominal = 2, borrow_limit = 2, lend_limit = 1, weight = 1.5 }
cpu = 0.5
memory = "8GiB"
storage = "1.5TiB"
[cohort.research.teams.vision.projects."eta@dev"]
H100 = 8
"""


def test_a_tree_is_read_exactly() -> None:
    tree = parse_tree(tomllib.loads(WRITTEN))
    flights = tree.nodes[tree.projects["flights"]]
    assert flights.path == "research/flights"
    assert flights.quotas["gpu"] == Quota(2000, 2000, 1000, 1500)
    assert flights.quotas["cpu"] == Quota(500)
    assert flights.quotas["memory"] == Quota(8 << 30)
    assert (flights.storage_bytes, tree.nodes[0].storage_bytes) == (3 << 39, None)
    assert tree.nodes[0].quotas["cpu"].nominal == 64_000


def test_a_group_without_a_nominal_guarantees_what_its_children_do() -> None:
    tree = parse_tree(tomllib.loads(WRITTEN))
    assert tree.nodes[0].quotas["H100"].nominal == 8000
    assert tree.nodes[0].quotas["gpu"].nominal == 2000


def test_a_tree_comes_back_from_json_the_same() -> None:
    tree = parse_tree(tomllib.loads(WRITTEN))
    assert parse_tree(json.loads(json.dumps(tree.to_mapping()))) == tree


def in_flights(**quotas: object) -> dict[str, Any]:
    return {"cohort": {"research": {"projects": {"flights": quotas}}}}


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ({"cohorts": {}}, "quota has an unknown key 'cohorts'. Did you mean 'cohort'?"),
        (in_flights(gpus=1), "quota.cohort.research.projects.flights has an unknown key 'gpus'. Did you mean 'gpu'?"),
        (in_flights(gpu={"nominl": 1}), "projects.flights.gpu has an unknown key 'nominl'. Did you mean 'nominal'?"),
        (in_flights(gpu=-1), "projects.flights.gpu is -1, which is negative"),
        (in_flights(gpu="-1"), "which is negative"),
        (in_flights(gpu=0.0005), "finer than a thousandth"),
        (in_flights(memory="0.3B"), "finer than one byte"),
        (in_flights(memory="8Gigs"), "which is no amount"),
        (in_flights(cpu=float("nan")), "which is no amount"),
        (in_flights(cpu=True), "which is no amount"),
        (in_flights(gpu={"nominal": 1, "weight": 0}), "flights.gpu.weight is 0"),
        (in_flights(teams={}), "unknown key 'teams'"),
        (in_flights(storage=-1), "flights.storage is -1, which is negative"),
        (
            {"cohort": {"lab": {"storage": 1}}},
            "quota.cohort.lab has `storage`, and is a cohort. Give each of its projects",
        ),
        ({"gpu_models": ["storage"]}, "names 'storage', which is taken"),
        ({"version": 7}, "quota.version is 7"),
        ({"gpu_models": ["gpu"]}, "names 'gpu', which is taken"),
        ({"cohort": {"a": 3}}, "quota.cohort.a is 3, not a table"),
    ],
)
def test_what_is_wrong_in_a_tree_is_named_by_its_path(written: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_tree(written)
    assert says in str(refused.value)


def test_children_are_not_guaranteed_more_than_their_parent() -> None:
    written = in_flights(gpu=3)
    written["cohort"]["research"]["gpu"] = 2
    with pytest.raises(InvalidInput, match="research guarantees 2 GPUs, but its children 3 GPUs"):
        parse_tree(written)


def test_a_project_stands_in_one_place() -> None:
    written = in_flights(gpu=3)
    written["cohort"]["other"] = {"projects": {"flights": {}}}
    with pytest.raises(InvalidInput, match="project 'flights' is also research/flights"):
        parse_tree(written)


def test_a_tree_that_contains_itself_is_refused() -> None:
    team: dict[str, Any] = {}
    team["teams"] = {"again": team}
    with pytest.raises(InvalidInput, match="contains itself"):
        parse_tree({"cohort": {"a": team}})
