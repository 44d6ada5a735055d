"""A collection takes what nothing needs, and nothing else: not what was put again, nor what a pickle refers to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from scenes.store import a_run, a_step, an_attempt, run_id
from scenes.web import TOKEN, Scene, a_scene, listening
from web.test_artifacts import finished

from headwater.artifacts.collector import Collector
from headwater.artifacts.files import Files
from headwater.artifacts.payloads import payload_of
from headwater.core.inventory import CodeVersion, ModelVersion
from headwater.core.log_keeping import Log
from headwater.core.records.attempts import AttemptState
from headwater.core.records.steps import CacheEntry, StepState
from headwater.core.records.storage import StoredArtifact
from headwater.sdk import AsyncClient
from headwater.sdk.running.serialise import encode
from headwater.store.queries import Queries
from headwater.web.accounts import end_charges, sums_of
from headwater.wire.calls import Payload

pytestmark = pytest.mark.asyncio(loop_scope="session")
DAY_US = 86_400_000_000
NOW_US = 100 * DAY_US
RUN = run_id(1)


@dataclass
class Trained:
    digest: str
    padding: bytes


def aged(files: Files, digest: str | None, *, days: int = 90) -> str:
    """The digest, as if its content had been put so many days ago."""
    assert digest is not None
    at_s = (NOW_US - days * DAY_US) / 1e6
    os.utime(files.path(digest), (at_s, at_s))
    return digest


def collector(scene: Scene) -> Collector:
    references = Queries(scene.story.reader()).references
    return Collector(Files(scene.home / "artifacts"), references, keep_us=30 * DAY_US, grace_us=DAY_US)


def an_array(files: Files, number: int) -> str:
    return aged(files, payload_of(files, encode(np.full(10_000, number), place="x")).digest)


async def test_results_of_old_runs_go_and_those_of_kept_ones_stay(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        files = Files(tmp_path / "artifacts")
        kept: list[str] = []
        for state, ended_days, stays in (
            ("SUCCEEDED", 90, False), ("SUCCEEDED", 3, True), ("RUNNING", None, True), ("NEEDS_ATTENTION", 90, True),
        ):  # fmt: skip
            ended = None if ended_days is None else NOW_US - ended_days * DAY_US
            scene.story.put("runs", a_run(1, state=state, ended_us=ended))
            digest = aged(files, finished(scene, 0, np.full(10_000, len(kept))).digest)
            assert (digest not in {each.digest for each in collector(scene).free(NOW_US)}) is stays
            kept.append(digest)


async def test_what_models_code_and_cache_need_stays_whatever_its_age(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        files = Files(tmp_path / "artifacts")
        folder = tmp_path / "code"
        folder.mkdir()
        (folder / "flows.py").write_text("1")
        tree = aged(files, files.put_tree(folder))
        inside = aged(files, files.tree(tree)["flows.py"].digest)
        cached, orphan = an_array(files, 1), an_array(files, 2)
        scene.story.put(
            "code_versions", CodeVersion(version="c1", bundle=tree, manifest=None, principal="p", deployed_us=1)
        )
        entry = CacheEntry(key="k", project="eta", step_id="s", payload=Payload(digest=cached), created_us=1)
        scene.story.put("step_cache", entry)
        gone = [each.digest for each in collector(scene).collect(NOW_US)]
        assert gone == [orphan]
        assert {each.digest for each in files.there()} == {tree, inside, cached}


async def test_what_a_kept_pickle_refers_to_stays(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        files = Files(tmp_path / "artifacts")
        model = an_array(files, 1)
        scene.story.put("runs", a_run(1, state="RUNNING"))
        for ordinal, padding in enumerate((b"", os.urandom(200_000), bytes(10_000_000))):
            payload = finished(scene, ordinal, [Trained(model, padding), 1])
            assert payload.codec == ("frames" if len(padding) > 1_000_000 else "pickle")
            if payload.digest is not None:
                aged(files, payload.digest)
            assert collector(scene).free(NOW_US) == []


async def test_models_keep_the_files_of_their_folders(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        files = Files(tmp_path / "artifacts")
        folder = tmp_path / "model"
        folder.mkdir()
        (folder / "model.onnx").write_bytes(b"onnx")
        tree = aged(files, files.put_tree(folder))
        inside = aged(files, files.tree(tree)["model.onnx"].digest)
        model = ModelVersion(
            name="delay", version=1, project="eta", digest=tree, runtime="onnx", signature=None, metrics=None,
            size_bytes=4, run_id="archived", ordinal=1, code_version="c1", tables=None, principal="p", registered_us=1,
        )  # fmt: skip
        scene.story.put("model_versions", model)
        assert collector(scene).collect(NOW_US) == []
        assert {each.digest for each in files.there()} == {tree, inside}


async def test_inputs_and_checkpoints_of_what_goes_on_stay_whatever_their_age(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        files = Files(tmp_path / "artifacts")
        given, kept, parameter, orphan = (an_array(files, number) for number in range(4))
        scene.story.put("runs", a_run(1, state="RUNNING", parameters={"model": parameter}))
        step = a_step(RUN, 0, arguments=Payload(digest=given), checkpoint=Payload(digest=kept))
        scene.story.put("steps", step)
        assert [each.digest for each in collector(scene).collect(NOW_US)] == [orphan]


async def test_an_old_run_keeps_its_results_for_those_that_resume_it_or_called_it(tmp_path: Path) -> None:
    old = {"state": "SUCCEEDED", "ended_us": NOW_US - 90 * DAY_US}
    for number, kept in enumerate(({"resumed_from": RUN}, {"resumed_from": run_id(3)}, {"id": run_id(2)}, {})):
        async with a_scene(tmp_path / str(number)) as scene:
            scene.story.put("runs", a_run(1, **old, parent_id=run_id(2) if "id" in kept else None))
            scene.story.put("runs", a_run(3, **old, resumed_from=RUN))
            scene.story.put("runs", a_run(2, **{"state": "RUNNING", **kept}))
            files = Files(tmp_path / str(number) / "artifacts")
            digest = aged(files, finished(scene, 0, np.full(10_000, 1)).digest)
            assert (digest in {each.digest for each in collector(scene).free(NOW_US)}) is (not kept)


async def test_what_was_written_since_the_oldest_attempt_at_work_began_stays(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        files = Files(tmp_path / "artifacts")
        before, since = an_array(files, 1), an_array(files, 2)
        aged(files, since, days=40)
        scene.story.put("runs", a_run(1, state="RUNNING"))
        step = a_step(RUN, 0, state=StepState.RUNNING)
        scene.story.put("attempts", an_attempt(step, 1, state=AttemptState.RUNNING, leased_us=NOW_US - 50 * DAY_US))
        assert [each.digest for each in collector(scene).collect(NOW_US)] == [before]
        assert [each.digest for each in files.there()] == [since]


async def test_what_was_claimed_stays_for_the_grace(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        files = Files(tmp_path / "artifacts")
        digest = an_array(files, 1)
        assert collector(scene).free(NOW_US) != []
        assert files.claim(digest)
        assert collector(scene).free(NOW_US) == []
        assert not files.claim("0" * 64)


async def test_what_was_put_again_stays(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        files = Files(tmp_path / "artifacts")
        digest = an_array(files, 1)
        young = collector(scene)
        payload_of(files, encode(np.full(10_000, 1), place="x"))
        assert not files.remove(digest, before_us=NOW_US - DAY_US)
        assert [each.digest for each in files.there()] == [digest]
        assert young.free(NOW_US) == []


async def test_a_dry_run_says_what_would_go_and_takes_nothing(tmp_path: Path) -> None:
    async with a_scene(tmp_path, artifacts_grace_us=0) as scene, listening(scene.app) as url:
        files = Files(tmp_path / "artifacts")
        digest = an_array(files, 1)
        os.utime(files.path(digest), (-10, -10))
        client = AsyncClient(url, TOKEN)
        would = await client.collect_artifacts(dry_run=True)
        assert (would.dry_run, would.count, would.largest) == (True, 1, (digest,))
        assert files.path(digest).is_file()
        assert (await client.collect_artifacts()).count == 1
        assert list(files.there()) == []


async def test_what_is_charged_and_not_there_any_more_is_told_to_the_accounts(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        there = an_array(Files(tmp_path / "artifacts"), 1)
        for project, digest in (("eta", there), ("eta", "f" * 64), ("flights", "f" * 64)):
            row = StoredArtifact(project=project, digest=digest, size_bytes=9, charged_us=1)
            scene.story.put("stored_artifacts", row)
        assert await end_charges(scene.platform) == 1
        assert scene.owners.gone == ["f" * 64]


async def test_logs_are_summed_by_project(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        for number, project in ((1, "eta"), (2, "flights"), (3, "eta")):
            scene.story.put("runs", a_run(number, project=project))
        logs = [Log(run_id(number), "0.1", size, 1) for number, size in ((1, 5), (1, 6), (2, 7), (3, 8), (4, 9))]
        assert sums_of(Queries(scene.story.reader()), logs) == {"eta": 19, "flights": 7}
