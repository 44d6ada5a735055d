"""The client against a real server on loopback: both faces, pushes, lost connections, errors."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from scenes.store import a_flow, a_run, accepted, run_id, started, succeeded
from scenes.web import TOKEN, a_scene, listening

from headwater.errors import InvalidInput, NotFound, Unavailable
from headwater.sdk import AsyncClient, Client
from headwater.sdk.client.runs import RunFailed
from headwater.wire.calls import Progress
from headwater.wire.entries.runs import RunFailed as RunFailedEntry
from headwater.wire.terms import Failure

pytestmark = pytest.mark.asyncio(loop_scope="session")
RUN = run_id(1)


async def test_a_watch_is_pushed_every_entry_and_ends_with_the_run(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(1))
        scene.tell(accepted(), run=RUN)
        run = AsyncClient(url, TOKEN).runs[RUN]
        seen = []
        async for entry in run.watch():
            seen.append(entry.type)
            if entry.type == "run.accepted":
                scene.tell(started(), run=RUN)
                scene.tell(started(), run=run_id(2))
            elif entry.type == "run.started":
                scene.tell(succeeded(), run=RUN)
        assert seen == ["run.accepted", "run.started", "run.succeeded"]


async def test_a_watch_that_joins_after_the_end_sees_the_story_and_ends(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(1))
        scene.tell(accepted(), succeeded(), run=RUN)
        with Client(url, TOKEN) as client:
            run = client.runs[RUN]
            entries = await asyncio.to_thread(lambda: list(run.watch()))
            assert [entry.seq for entry in entries] == [1, 2]
            assert await asyncio.to_thread(lambda: list(run.watch(since="e1:2"))) == []


async def test_a_slow_subscriber_is_cut_and_resumes_without_gap_or_repeat(tmp_path: Path) -> None:
    async with a_scene(tmp_path, buffer_max=5) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(1))
        scene.tell(accepted(), run=RUN)
        seqs = []
        async for entry in AsyncClient(url, TOKEN).runs[RUN].watch():
            seqs.append(entry.seq)
            if entry.seq == 1:
                scene.tell(*[started() for _ in range(20)], succeeded(), run=RUN)  # at once: no room for it all
        assert seqs == list(range(1, 23))
        assert scene.hub.cuts >= 1


async def test_a_watch_outlives_the_server_it_began_with(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene:
        scene.story.put("runs", a_run(1))
        scene.tell(accepted(), run=RUN)
        async with listening(scene.app) as url:
            watch = AsyncClient(url, TOKEN).runs[RUN].watch()
            first = await anext(watch)
        scene.tell(started(), run=RUN)
        async with listening(scene.app, int(url.rsplit(":", 1)[1])):
            scene.tell(succeeded(), run=RUN)
            rest = [entry async for entry in watch]
        assert [entry.seq for entry in (first, *rest)] == [1, 2, 3]


async def test_a_project_is_watched_from_the_moment_of_the_call(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.tell(accepted(), run=RUN)
        with Client(url, TOKEN) as client:
            watch = await asyncio.to_thread(client.watch, "eta")
            scene.tell(started(), run=RUN)
            scene.tell(started(), run=run_id(2), project="etl")
            scene.tell(succeeded(), run=RUN)
            seen = [await asyncio.to_thread(next, watch) for _ in range(2)]
            assert [entry.type for entry in seen] == ["run.started", "run.succeeded"]
            watch.close()


async def test_follow_tells_the_progress_of_running_steps(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(1))
        scene.tell(accepted(), run=RUN)
        seen: list[Any] = []
        async for told in AsyncClient(url, TOKEN).runs[RUN].follow():
            seen.append(told)
            if isinstance(told, Progress):
                scene.tell(succeeded(), run=RUN)
            elif told.type == "run.accepted":
                scene.hub.progress([a_progress(done=5.0)])
        assert [type(each).__name__ for each in seen] == ["Entry", "Progress", "Entry"]


async def test_a_cursor_of_another_store_is_told_not_answered(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(1))
        watch = AsyncClient(url, TOKEN).runs[RUN].watch(since="older:7")
        with pytest.raises(Exception, match="restored"):
            await anext(watch)


async def test_result_waits_for_the_end_and_gives_the_value(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(1, state="SUCCEEDED", result={"mae": 3.5}))
        scene.tell(accepted(), succeeded(), run=RUN)
        assert await AsyncClient(url, TOKEN).runs[RUN].result() == {"mae": 3.5}


async def test_result_of_a_failed_run_raises_with_the_users_frames(tmp_path: Path) -> None:
    failure = Failure(kind="exception", message="no rows", cause_type="ValueError", frames="flows.py:3")
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(1, state="FAILED", failure=failure))
        scene.tell(accepted(), RunFailedEntry(flow="f", duration_us=1, failure=failure), run=RUN)
        with pytest.raises(RunFailed, match="ended FAILED: ValueError no rows") as caught:
            await AsyncClient(url, TOKEN).runs[RUN].result()
        assert caught.value.failure is not None
        assert caught.value.failure.frames == "flows.py:3"


async def test_result_gives_up_after_its_timeout(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(1))
        scene.tell(accepted(), run=RUN)
        with pytest.raises(Unavailable, match="has not ended"):
            await AsyncClient(url, TOKEN).runs[RUN].result(timeout=0.1)
        with Client(url, TOKEN) as client, pytest.raises(Unavailable, match="has not ended"):
            await asyncio.to_thread(client.runs[RUN].result, 0.1)


async def test_both_faces_publish_run_list_and_append(tmp_path: Path) -> None:
    table = pa.table({"x": list(range(1000))})
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("flows", a_flow())
        blocking, awaiting = Client(url, TOKEN), AsyncClient(url, TOKEN)
        assert await asyncio.to_thread(blocking.publish, "flights.landed", {"month": 10}, id="e-1") == "e-1"
        assert await awaiting.publish("flights.landed", {"month": 10}, id="e-2", subject="s") == "e-2"
        run = await asyncio.to_thread(blocking.run, "eta/train_delay", {"month": 10})
        assert run.id == (await awaiting.run("train_delay")).id == "r1"
        assert [flow.name for flow in await awaiting.flows()] == ["train_delay"]
        for append in (blocking.tables["lake.x"].append, blocking.tables["lake.x"].append):
            assert (await asyncio.to_thread(append, table, key="k1")).rows_added == 1000
        assert (await awaiting.tables["lake.x"].append(table.to_batches())).rows_added == 1000
        blocking.close()
        assert [note[0].table for note in scene.owners.appended] == ["lake.x"] * 3


async def test_errors_carry_the_servers_words_and_remedy(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        with pytest.raises(NotFound, match=r"There is no run 'nope'. See `headwater runs`"):
            await AsyncClient(url, TOKEN).runs["nope"].detail()
        with Client(url, TOKEN) as client, pytest.raises(InvalidInput, match=r"RUNING.*Did you mean 'RUNNING'"):
            await asyncio.to_thread(lambda: client.runs(state="RUNING"))
        with pytest.raises(Exception, match="bearer token is not the one"):
            await AsyncClient(url, "wrong").flows()


async def test_a_platform_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(Unavailable, match=r"does not answer .* Is the platform up"):
        await asyncio.to_thread(Client("http://127.0.0.1:9", "t").flows)
    with pytest.raises(Unavailable, match=r"does not answer .* Is the platform up"):
        await AsyncClient("http://127.0.0.1:9", "t").flows()


async def test_the_home_folder_is_found_from_below(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADWATER_URL", "HEADWATER_TOKEN", "HEADWATER_HOME"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / ".headwater"
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    home.mkdir()
    (home / "state.json").write_text('{"url": "http://127.0.0.1:1234"}')
    (home / "token").write_text("t0\n")
    monkeypatch.chdir(below)
    from headwater.sdk.client.address import find

    assert find() == ("http://127.0.0.1:1234", "t0")
    assert find("http://x/", "y") == ("http://x", "y")


async def test_importing_the_client_brings_nothing_heavy_along() -> None:
    code = "import sys; from headwater.sdk import Client; print(*sorted(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=os.environ, text=True)
    heavy = {"numpy", "pyarrow", "ray", "asyncio", "httpx", "sqlalchemy", "fastapi"}
    assert heavy & set(shown.stdout.split()) == set()


def a_progress(done: float) -> Progress:
    return Progress(fence=1, run_id=RUN, step_id=f"{RUN}/0", name="fit", attempt=1, worker="w", done=done)


async def test_what_cannot_be_sent_is_refused_before_anybody_is_asked_naming_it(tmp_path: Path) -> None:
    with Client("http://127.0.0.1:9", TOKEN) as nobody, (tmp_path / "x").open("w") as file:
        for value, said in ((file, "_io.TextIOWrapper"), ({"deep": [threading.Lock()]}, "_thread.lock")):
            with pytest.raises(InvalidInput, match=f"Parameter 'n' of eta/double is not JSON .*{said}"):
                nobody.run("eta/double", {"n": value})
            with pytest.raises(InvalidInput, match=f"The event 'number.came' is not JSON .*{said}"):
                nobody.publish("number.came", {"n": value})
