"""Logs of old runs go, by age and by their sum; runs that go on keep what is written, and readers are told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from scenes.store import a_run, a_step, an_attempt, run_id
from scenes.web import Scene, a_scene

from headwater.core.records.attempts import AttemptState
from headwater.store.queries import Queries
from headwater.web.log_keeping import LogKeeper

pytestmark = pytest.mark.asyncio(loop_scope="session")
DAY_US = 86_400_000_000
NOW_US = 100 * DAY_US


def a_log(scene: Scene, number: int, name: str, *, days: int = 1, size_bytes: int = 100) -> Path:
    """Of run `number`, last written so many days ago."""
    path = scene.home / "logs" / "runs" / run_id(number) / f"{name}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size_bytes)
    at_s = (NOW_US - days * DAY_US) / 1e6
    os.utime(path, (at_s, at_s))
    return path


def keeper(scene: Scene, *, total_max_bytes: int = 1_000_000) -> LogKeeper:
    folder = scene.home / "logs" / "runs"
    return LogKeeper(folder, Queries(scene.story.reader()), 30 * DAY_US, total_max_bytes)


async def test_logs_of_runs_that_ended_long_ago_go_whether_the_rows_know_them_or_not(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        for number, state, days in ((1, "FAILED", 40), (2, "SUCCEEDED", 3), (3, "RUNNING", None)):
            ended = None if days is None else NOW_US - days * DAY_US
            scene.story.put("runs", a_run(number, state=state, ended_us=ended))
            a_log(scene, number, "0.1", days=90)
        archived, young = a_log(scene, 4, "0.1", days=90), a_log(scene, 5, "0.1")
        assert {log.run_id for log in keeper(scene).sweep(NOW_US).gone} == {run_id(1), run_id(4)}
        assert not archived.parent.exists()
        assert young.exists()
        async with scene.client() as web:
            listed = (await web.get("/v1/runs")).json()["items"]
            assert {run["id"] for run in listed} == {run_id(1), run_id(2), run_id(3)}
            assert (await web.get(f"/v1/runs/{run_id(1)}/logs")).status_code == 200


async def test_where_all_together_are_too_much_the_longest_ended_go_first(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        for number in (1, 2, 3):
            scene.story.put("runs", a_run(number, state="FAILED", ended_us=NOW_US - number * DAY_US))
            a_log(scene, number, "0.1")
            a_log(scene, number, "0.1").with_name("0.1.log@50").write_bytes(b"y" * 100)
        assert {log.run_id for log in keeper(scene, total_max_bytes=250).sweep(NOW_US).gone} == {run_id(3), run_id(2)}
        assert keeper(scene, total_max_bytes=250).sweep(NOW_US).gone == []


async def test_a_run_that_goes_on_keeps_what_is_being_written_and_says_what_is_gone(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        scene.story.put("runs", a_run(1, state="RUNNING"))
        step = a_step(run_id(1), 0)
        scene.story.put("steps", step)
        scene.story.put("attempts", an_attempt(step, 1, number=1, state=AttemptState.LOST))
        scene.story.put("attempts", an_attempt(step, 2, number=2, state=AttemptState.RUNNING))
        flow, lost, running = (a_log(scene, 1, name) for name in ("flow", "0.1", "0.2"))
        assert [log.name for log in keeper(scene, total_max_bytes=0).sweep(NOW_US).gone] == ["0.1"]
        assert [path.exists() for path in (flow, lost, running)] == [True, False, True]
        async with scene.client() as web:
            text = (await web.get(f"/v1/runs/{run_id(1)}/logs")).text
        assert text.startswith("[... 100 bytes of older attempts were removed: logs.total_max_bytes was reached ...]")
        assert "attempt 2" in text


async def test_an_ended_run_without_logs_says_where_they_may_be(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        scene.story.put("runs", a_run(1, state="FAILED", ended_us=1))
        scene.story.put("steps", a_step(run_id(1), 0))
        async with scene.client() as web:
            assert "logs.keep_s" in (await web.get(f"/v1/runs/{run_id(1)}/logs")).text
