"""`quota explain|simulate|priority|usage` and `run show`, against the API on loopback."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from scenes.store import T0, a_run, a_step, run_id
from scenes.web import TOKEN, Scene, a_scene, listening
from typer.testing import CliRunner

from headwater.cli.app import app
from headwater.core.inventory import QuotaTree
from headwater.core.records.leases import Lease
from headwater.core.records.steps import StepState
from headwater.web.seams import Refused
from headwater.wire.api.quota import Eta, Kept, Lack, StepExplained

pytestmark = pytest.mark.asyncio(loop_scope="session")
RUN = run_id(1)
STEP = f"{RUN}/0"
TREE = {"cohort": {"all": {"projects": {"eta": {"gpu": 2}}}}}
SAID = StepExplained(
    step_id=STEP, project="eta", name="fit", code="quota", sentence="Step fit waits for quota.",
    ahead=("r/1", "r/2"), kept=Kept(nodes=("n1",), devices=("n1/0", "n1/1"), at_us=T0, basis="b"),
    lacks=(Lack(flavour="gpu", needed=2000, room=1000, bound_by="all/eta", used=1000, nominal=2000),
           Lack(flavour="gpu", nodes=3, short={"devices": 2, "cpus": 1}, ranks=1, largest_milli=1000)),
    eta=Eta(at_us=T0, basis="by the median of 20 earlier attempts"),
)  # fmt: skip


async def headwater(url: str, *words: str) -> tuple[int, str]:
    """What the command says, and its exit; in a thread, as the API answers in this one."""
    outside = {"HEADWATER_URL": url, "HEADWATER_TOKEN": TOKEN, "COLUMNS": "200"}
    ended = await asyncio.to_thread(CliRunner().invoke, app, words, env=outside)
    return ended.exit_code, ended.output


def waiting(scene: Scene) -> None:
    scene.story.put("quota_trees", QuotaTree(version=1, tree=TREE, principal="p", applied_us=T0))
    scene.story.put("runs", a_run(1, state="RUNNING"))
    scene.story.put("steps", a_step(RUN, 0, state=StepState.WAITING, name="fit", held_reason="As the rows had it."))


async def test_a_waiting_step_is_explained_by_its_name_with_all_that_is_short_ahead_and_kept(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        waiting(scene)
        scene.owners.explained[STEP] = SAID
        code, out = await headwater(url, "quota", "explain", "fit")
        assert code == 0
        first, *rest = out.splitlines()
        assert first == "Step fit waits for quota."
        assert [line.strip() for line in rest[:5]] == [
            "gpu: needs 2 GPUs, may take 1 GPU (bounded by all/eta); uses 1 GPU of 2 GPUs guaranteed",
            "gpu: of 3 nodes 1 short of CPUs; 2 without enough free GPU",
            "now 1 ranks would fit; the largest for one is 1 GPU",
            "ahead of it: r/1, r/2",
            "kept for it: n1/0, n1/1",
        ]
        assert rest[5].startswith("  should go at ")
        assert rest[5].endswith(": by the median of 20 earlier attempts")
        _, out = await headwater(url, "quota", "explain", "fit", "--json")
        assert json.loads(out)["eta"] == {"at_us": T0, "basis": "by the median of 20 earlier attempts"}


async def test_a_step_that_does_not_wait_is_not_explained(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        waiting(scene)
        code, out = await headwater(url, "quota", "explain", "score")
        assert code != 0
        assert "explain" not in out


async def test_a_run_shows_why_its_step_waits_who_is_ahead_and_when_it_should_go(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        waiting(scene)
        _, out = await headwater(url, "run", "show", RUN)
        assert "As the rows had it." in out  # the Scheduler knows nothing of it yet
        scene.owners.explained[STEP] = SAID
        _, out = await headwater(url, "run", "show", RUN)
        for words in ("Step fit waits for quota.", "ahead of it: r/1, r/2", "kept for it: n1/0, n1/1", "should go at "):
            assert words in out


async def test_a_scenario_is_read_from_its_file_and_told_in_lines(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        file = tmp_path / "what-if.toml"
        file.write_text('lost = ["n1"]\n[[steps]]\nproject = "eta"\ngpu = 4\n')
        code, out = await headwater(url, "quota", "simulate", str(file))
        assert (code, out) == (0, "1 would start: if/1\n")
        assert scene.owners.scenarios == [{"lost": ["n1"], "steps": [{"project": "eta", "gpu": 4}]}]
        file.write_text("lost = [")
        code, out = await headwater(url, "quota", "simulate", str(file))
        assert code != 0
        assert len(scene.owners.scenarios) == 1


async def test_a_priority_goes_to_the_scheduler_with_the_whole_id(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        waiting(scene)
        code, out = await headwater(url, "quota", "priority", "fit", "50")
        assert (code, out) == (0, f"{STEP} waits with priority 50\n")
        ((owner, order),) = scene.owners.placed
        assert (owner, order.kind, order.data) == ("scheduler", "quota.priority", {"step": STEP, "priority": 50})
        scene.owners.answers["quota.priority"] = Refused(code="not_waiting", reason="No step 'r/9' waits")
        code, _ = await headwater(url, "quota", "priority", "fit", "60")
        assert code != 0


async def test_usage_is_shown_by_project_and_stretch(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        hour_us = 3_600_000_000
        lease = {"node": "local", "milli": 1000, "run_id": RUN, "step_id": STEP, "project": "eta"}
        freed = {"released_us": T0 + hour_us // 2, "freed_us": T0 + hour_us // 2, "state": "FREE"}
        scene.story.put("leases", Lease(fence=1, device="local/0", since_us=T0, **lease, **freed))  # type: ignore[arg-type]
        hours = [datetime.fromtimestamp(T0 // 1_000_000 + at * 3600, UTC).isoformat() for at in (-1, 1)]
        asked = ("--since", hours[0], "--until", hours[1], "--bucket", "1h", "--project", "eta")
        code, out = await headwater(url, "quota", "usage", *asked)
        assert code == 0, out
        assert "0:30:00 GPU h" in out
        code, _ = await headwater(url, "quota", "usage", "--bucket", "fortnight")
        assert code != 0
