"""A person's word about a run, from the command line to the Conductor's door; and code looked at without a platform."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from scenes.store import a_run, run_id
from scenes.web import TOKEN, a_scene, listening

from headwater.sdk import AsyncClient

pytestmark = pytest.mark.asyncio(loop_scope="session")
RUN = run_id(11)


async def headwater(*words: str, url: str = "") -> tuple[int, str, str]:
    environment = {**os.environ, "HEADWATER_URL": url, "HEADWATER_TOKEN": TOKEN, "COLUMNS": "200"}
    command = [sys.executable, "-m", "headwater.cli.main", *words]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, env=environment)
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.mark.parametrize(
    ("words", "kind", "data"),
    [
        (["accept", "--value", '{"paid": true}'], "run.accept", {"step": "", "value": {"paid": True}}),
        (["retry", "--force", "--step", "pay"], "run.retry", {"step": "pay", "force": True}),
        (["fail", "--reason", "no"], "run.fail", {"step": "", "reason": "no"}),
        (["resume", "--same-code"], "run.resume", {"code": "same"}),
    ],
)
async def test_a_persons_word_is_a_command_to_the_conductor(
    tmp_path: Path, words: list[str], kind: str, data: dict[str, Any]
) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(11, state="NEEDS_ATTENTION"))
        code, _, err = await headwater("run", words[0], RUN, *words[1:], url=url)
        assert code == 0, err
        ((owner, order),) = scene.owners.placed
        assert (owner, order.kind, order.data) == ("conductor", kind, {"run_id": RUN, **data})


async def test_the_async_client_has_the_same_words(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(11, state="NEEDS_ATTENTION"))
        run = AsyncClient(url, TOKEN).runs[RUN]
        await run.accept(7)
        await run.retry()
        await run.fail()
        assert (await run.resume()).id == "r1"
        kinds = [order.kind for _, order in scene.owners.placed]
        assert kinds == ["run.accept", "run.retry", "run.fail", "run.resume"]


async def test_a_value_that_is_no_json_is_refused_with_an_example() -> None:
    code, _, err = await headwater("run", "accept", RUN, "--value", "{oops", url="http://127.0.0.1:9")
    assert code == 1
    assert "'{oops' is no JSON" in err


async def test_a_folder_is_checked_without_a_platform(tmp_path: Path) -> None:
    (tmp_path / "flows.py").write_text(
        "from headwater.sdk import flow, on, step\n"
        "@step\ndef fit(): ...\n"
        "@flow(project='eta', on=on.event('landed'))\ndef train(): fit()\n"
    )
    code, out, err = await headwater("deploy", "--check", str(tmp_path))
    assert code == 0, err
    assert "eta/train (flows.py:5) listens to event:landed" in out
    assert "steps: fit" in out
    (tmp_path / "flows.py").write_text("import nothing_like_this\n")
    code, _, err = await headwater("deploy", "--check", str(tmp_path))
    assert code == 1
    assert "flows.py" in err
