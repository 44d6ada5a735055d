"""Logs over HTTP and in the client: whole, followed, resumed, with what was left out said plainly."""

from __future__ import annotations

from pathlib import Path

import pytest
from scenes.store import a_run, a_step, accepted, an_attempt, run_id, succeeded
from scenes.web import TOKEN, Scene, a_scene, listening

from headwater.actors.work.log_file import LogFile
from headwater.sdk import AsyncClient
from headwater.sdk.client.logs import LogWatch
from headwater.wire.api.answer import PAGE_MAX
from headwater.wire.api.artifacts import LogText

pytestmark = pytest.mark.asyncio(loop_scope="session")
RUN = run_id(1)


def a_running(scene: Scene, steps: int = 1) -> Path:
    """The folder for the logs of a run with steps that run."""
    scene.story.put("runs", a_run(1, state="RUNNING"))
    for ordinal in range(steps):
        step = a_step(RUN, ordinal)
        scene.story.put("steps", step)
        scene.story.put("attempts", an_attempt(step, ordinal + 1))
    scene.tell(accepted(), run=RUN)
    folder = scene.home / "logs" / "runs" / RUN
    folder.mkdir(parents=True)
    return folder


async def test_a_follower_gets_every_line_in_order_while_it_is_written(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        folder = a_running(scene, steps=2)
        logs = [LogFile(folder / f"{ordinal}.1.log", 1 << 20) for ordinal in range(2)]
        said, heard = 0, {0: "", 1: ""}
        logs[0].write("begins\n")
        async for text in AsyncClient(url, TOKEN).runs[RUN].logs(follow=True):
            assert (text.name, text.attempt) == ("fit", 1)
            heard[text.ordinal] += text.text
            if said < 20:
                logs[said % 2].write(f"line {said}\n")
                said += 1
            elif said == 20:
                said += 1
                for log in logs:
                    log.write("no end")
                    log.close()
                scene.tell(succeeded(), run=RUN)
        lines = [f"line {number}" for number in range(20)]
        assert heard[0] == "\n".join(["begins", *lines[::2], "no end"])
        assert heard[1] == "\n".join([*lines[1::2], "no end"])


async def test_what_is_left_out_of_a_log_is_said(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        log = LogFile(a_running(scene) / "0.1.log", 1 << 17)
        for number in range(60_000):
            log.write(f"{number:07d}\n")
        log.close()
        scene.tell(succeeded(), run=RUN)
        run = AsyncClient(url, TOKEN).runs[RUN]
        text = await run.logs()
        assert "bytes are left out here: the log was longer than logs.file_max_bytes" in text
        assert "\n0000000\n" in text
        assert text.endswith("0059999\n")
        assert sum([each.left_out async for each in run.logs(follow=True)]) > 100_000


def frame(ordinal: int, offset: int, text: str) -> bytes:
    import msgspec

    told = LogText(name="fit", ordinal=ordinal, attempt=1, offset=offset, end=offset + len(text), text=text)
    return b"event: log\ndata: %b\n\n" % msgspec.json.encode(told)


async def test_a_follower_that_was_cut_gets_nothing_twice() -> None:
    watch = LogWatch("/x")
    first = watch.feed(frame(0, 0, "one\n") + frame(1, 0, "un\n"))
    watch.connect()
    again = watch.feed(frame(0, 0, "one\n") + frame(1, 0, "un\ndeux\n") + frame(0, 4, "two\n"))
    assert [each.text for each in first + again] == ["one\n", "un\n", "deux\n", "two\n"]


async def test_the_log_of_a_gang_has_its_ranks_one_after_the_other(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        folder = a_running(scene)
        for name in ("0.1.log", "ranks/0.1.10.log", "ranks/0.1.2.log"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(f"{name}\n")
        text = await AsyncClient(url, TOKEN).runs[RUN].logs()
        order = [text.index(name) for name in ("0.1.log", "ranks/0.1.2.log", "ranks/0.1.10.log")]
        assert order == sorted(order)
        assert "attempt 1, rank 10" in text


async def test_the_logs_and_steps_of_a_run_of_many_steps_are_all_there_in_order(tmp_path: Path) -> None:
    count = PAGE_MAX + 5
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        rows = [a_step(RUN, ordinal, name="odd" if ordinal % 2 else "even") for ordinal in range(count)]
        scene.story.put("runs", a_run(1, state="RUNNING"))
        scene.story.put_all("steps", rows)
        scene.story.put_all("attempts", [an_attempt(row, row.ordinal + 1) for row in rows])
        scene.tell(accepted(), succeeded(), run=RUN)
        folder = scene.home / "logs" / "runs" / RUN
        folder.mkdir(parents=True)
        for row in rows:
            (folder / f"{row.ordinal}.1.log").write_text(f"said {row.ordinal}\n")
        run = AsyncClient(url, TOKEN).runs[RUN]
        said = [line for line in (await run.logs()).splitlines() if line.startswith("said")]
        assert said == [f"said {ordinal}" for ordinal in range(count)]
        assert (await run.logs("odd")).count("\nsaid") == count // 2
        assert {text.name async for text in run.logs("odd", follow=True)} == {"odd"}
        steps = await run.steps()
        assert [each.ordinal for each in steps["even"]] == list(range(0, count, 2))
        assert len((await run.detail()).steps) == PAGE_MAX
