"""Leases, code versions and quota trees leave by age, and what something needs stays. Times are in hours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from scenes.store import T0, Story, a_flow, a_run, a_step, an_attempt, run_id

from headwater.core.inventory import CodeVersion, ModelVersion, QuotaTree
from headwater.core.records.leases import Lease, LeaseState
from headwater.store import superseded
from headwater.store.engine import open_engine
from headwater.store.queries import Queries
from headwater.store.reader import Reader
from headwater.store.schema import ATTEMPTS, CODE_VERSIONS, LEASES, QUOTA_TREES

HOUR_US = 3_600_000_000


@pytest.fixture
def story(bare_url: str, tmp_path: Path) -> Iterator[Story]:
    one = Story(tmp_path, url=bare_url)
    yield one
    one.close()


def forget(story: Story, old: Callable[[Reader, int], superseded.Forget], before: int) -> int:
    engine = open_engine(story.url)
    try:
        chosen = old(Reader(engine), T0 + before * HOUR_US)
        with engine.begin() as connection:
            return chosen(connection)
    finally:
        engine.dispose()


def left(story: Story, column: sa.Column[Any]) -> list[Any]:
    engine = open_engine(story.url)
    with engine.connect() as connection:
        found = list(connection.scalars(sa.select(column).order_by(column)))
    engine.dispose()
    return found


def a_lease(fence: int, freed: int | None, **fields: Any) -> Lease:
    state = LeaseState.RELEASING if freed is None else LeaseState.FREE
    known: dict[str, Any] = {
        "device": f"n/{fence}", "node": "n", "milli": 1000, "state": state, "run_id": run_id(fence),
        "step_id": f"{run_id(fence)}/0", "project": "eta", "since_us": T0,
        "freed_us": None if freed is None else T0 + freed * HOUR_US,
    }  # fmt: skip
    return Lease(fence=fence, **{**known, **fields})


def a_version(name: str, deployed: int, *flows: str) -> CodeVersion:
    manifest = {"flows": [{"project": "eta", "name": flow, "function": "f:f", "parameters": {}} for flow in flows]}
    return CodeVersion(version=name, bundle="b", manifest=manifest, principal="me", deployed_us=T0 + deployed * HOUR_US)


def a_model(code_version: str) -> ModelVersion:
    return ModelVersion(
        name="delay", version=1, project="eta", digest="d", runtime="onnx", signature=None, metrics=None, size_bytes=1,
        run_id=run_id(9), ordinal=0, code_version=code_version, tables=None, principal="me", registered_us=T0,
    )  # fmt: skip


def test_free_leases_leave_by_the_time_since_they_became_free(story: Story) -> None:
    story.put_all("leases", [a_lease(1, 1), a_lease(2, 3), a_lease(3, 5), a_lease(4, None)])
    assert forget(story, superseded.free_leases, 4) == 2
    assert left(story, LEASES.c.fence) == [3, 4]
    assert forget(story, superseded.free_leases, 4) == 0


def test_a_device_in_quarantine_keeps_its_lease_however_old(story: Story) -> None:
    story.put("leases", a_lease(1, 1, state=LeaseState.QUARANTINED))
    assert forget(story, superseded.free_leases, 1_000) == 0


def test_usage_knows_when_an_attempt_ran_after_its_row_has_left(story: Story) -> None:
    ran = {"started_us": T0 + 10_000_000, "ended_us": T0 + 70_000_000}
    story.put("attempts", an_attempt(a_step(run_id(1), 0), 1, **ran))
    story.put("leases", a_lease(1, 1, **ran, released_us=ran["ended_us"], freed_us=T0 + 80_000_000))
    before = usage(story)
    engine = open_engine(story.url)
    with engine.begin() as connection:
        connection.execute(sa.delete(ATTEMPTS))
    engine.dispose()
    assert usage(story) == before == (80_000, 60_000)  # milliseconds


def usage(story: Story) -> tuple[int, int]:
    reader = story.reader()
    until = T0 + HOUR_US
    (used,) = Queries(reader).usage(from_us=T0, to_us=until, bucket_s=3600, now_us=until).items
    reader.dispose()
    return used.leased_gpu_ms, used.running_gpu_ms


def test_a_code_version_leaves_once_all_its_flows_have_long_run_a_newer_one(story: Story) -> None:
    story.put_all("code_versions", [a_version("c1", 0, "fit", "score"), a_version("c2", 2, "fit")])
    story.put("flows", replaced(a_flow("fit"), "c2"))
    story.put("flows", replaced(a_flow("score"), "c1"))
    assert forget(story, superseded.old_code, 9) == 0  # `score` has run nothing newer
    story.put("code_versions", a_version("c3", 6, "score"))
    story.put("flows", replaced(a_flow("score"), "c3"))
    assert forget(story, superseded.old_code, 6) == 0  # not for long
    assert forget(story, superseded.old_code, 7) == 1
    assert left(story, CODE_VERSIONS.c.version) == ["c2", "c3"]


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("runs", a_run(1, code_version="c1")),
        ("model_versions", a_model("c1")),
        ("flows", a_flow("fit")),  # deployed again after it was looked for
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_code_version_stays_while_something_needs_it(story: Story, table: str, row: msgspec.Struct) -> None:
    story.put_all("code_versions", [a_version("c1", 0, "fit"), a_version("c2", 1, "fit")])
    story.put("flows", replaced(a_flow("fit"), "c2"))
    story.put(table, row)
    assert forget(story, superseded.old_code, 9) == 0
    assert left(story, CODE_VERSIONS.c.version) == ["c1", "c2"]


def test_the_newest_quota_tree_stays_however_old(story: Story) -> None:
    trees = [QuotaTree(version=n, tree={}, principal="me", applied_us=T0 + n * HOUR_US) for n in (1, 2, 3)]
    story.put_all("quota_trees", trees)
    assert forget(story, superseded.old_trees, 2) == 1
    assert forget(story, superseded.old_trees, 1_000) == 1
    assert left(story, QUOTA_TREES.c.version) == [3]


def replaced(flow: Any, version: str) -> Any:
    return msgspec.structs.replace(flow, code_version=version)
