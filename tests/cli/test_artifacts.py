"""artifacts list|show|get|collect, as whole processes against a server on loopback."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from cli.test_main import headwater
from scenes.store import a_run, run_id
from scenes.web import a_scene, listening
from web.test_artifacts import finished

pytestmark = pytest.mark.asyncio(loop_scope="session")
TABLE = pa.table({"month": list(range(20_000))})


async def test_an_artifact_is_listed_shown_by_a_part_of_its_name_and_fetched(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(1))
        digest = finished(scene, 0, TABLE).digest or ""
        finished(scene, 1, np.zeros(50_000))
        listed = await headwater("artifacts", "list", "--step", "step0", "--run", run_id(1), url=url)
        assert digest[:12] in listed.out
        assert "pyarrow.Table" in listed.out
        assert "numpy" not in listed.out
        shown = await headwater("artifacts", "show", digest[-8:], "--rows", "2", url=url)
        assert 'begins with\n  {"month": 0}\n  {"month": 1}\n' in shown.out
        got = await headwater("artifacts", "get", digest[:10], str(tmp_path / "t.arrow"), url=url)
        assert got.code == 0, got.err
        assert pa.ipc.open_file(pa.memory_map(str(tmp_path / "t.arrow"))).read_all().equals(TABLE)


async def test_a_dry_run_takes_nothing(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        told = await headwater("artifacts", "collect", "--dry-run", url=url)
        assert told.out == "Would take 0 artifacts, 0 B\n"
        assert scene.owners.placed == []
