"""The command as a whole process, against the API on loopback."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from pyarrow import csv, parquet
from scenes.store import T0, a_flow, a_run, a_step, accepted, an_attempt, run_id, started, succeeded
from scenes.web import TOKEN, a_scene, listening

from headwater.cli.events import sample
from headwater.cli.listings import LISTINGS
from headwater.cli.main import parse
from headwater.cli.predict import features
from headwater.core.inventory import CodeVersion, Node
from headwater.core.records.inbox import DeadLetter, Offset
from headwater.core.records.steps import StepState
from headwater.errors import InvalidInput
from headwater.sdk import AsyncClient
from headwater.web.seams import Done
from headwater.wire.calls import Progress
from headwater.wire.entries.runs import RunFailed as Failed
from headwater.wire.entries.steps import StepEnded, StepLeased, StepWaiting
from headwater.wire.terms import Failure

pytestmark = pytest.mark.asyncio(loop_scope="session")
RUN = run_id(1)


class Ended(NamedTuple):
    code: int
    out: str
    err: str


async def headwater(*words: str, url: str = "", cwd: Path | None = None) -> Ended:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("HEADWATER_")}
    environment = {**outside, "HEADWATER_TOKEN": TOKEN, "COLUMNS": "200"} | ({"HEADWATER_URL": url} if url else {})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "headwater.cli.main", *words, env=environment, cwd=cwd,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    return Ended(process.returncode or 0, out.decode(), err.decode())


async def test_a_plain_json_listing_is_answered_from_the_table_alone() -> None:
    quick = parse(["runs", "--state=FAILED", "--flow", "f", "--limit", "3", "--json"])
    assert quick == (LISTINGS["runs",], {"state": "FAILED", "flow": "f"}, 3)
    assert parse(["dlq", "list", "--json"]) == (LISTINGS["dlq", "list"], {}, 50)


@pytest.mark.parametrize("words", [["runs"], ["runs", "--json", "--bogus", "x"], ["runs", "--json", "--help"], ["run"]])
async def test_whatever_is_not_plain_is_read_by_typer(words: list[str]) -> None:
    assert parse(words) is None


async def test_both_ways_know_the_same_options() -> None:
    from typer.main import get_command

    from headwater.cli.app import app

    root = get_command(app)
    for words, listing in LISTINGS.items():
        command = root
        for word in words:
            command = command.commands[word]  # type: ignore[attr-defined]
        options = {parameter.name for parameter in command.params}
        assert options - {"help"} == {*listing.filters, "limit", "as_json"}, words


async def test_a_listing_is_json_for_programs_and_a_table_for_people(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        for number in range(1, 4):
            scene.story.put("runs", a_run(number, state="FAILED" if number == 2 else "SUCCEEDED"))
        quick = await headwater("runs", "--json", "--state", "FAILED", url=url)
        assert [run["id"] for run in json.loads(quick.out)] == [run_id(2)]
        people = await headwater("runs", "--limit", "2", url=url)
        assert people.code == 0
        assert run_id(3) in people.out
        assert run_id(1) not in people.out
        assert "\x1b" not in people.out


@pytest.mark.parametrize("words", [("flows",), ("events", "types"), ("actors",), ("tables",), ("dlq", "list")])
async def test_every_listing_can_be_shown(tmp_path: Path, words: tuple[str, ...]) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("flows", a_flow())
        shown = await headwater(*words, url=url)
        assert (shown.code, shown.err) == (0, "")
        assert shown.out.strip()


async def test_a_failed_run_shows_its_steps_and_the_users_traceback(tmp_path: Path) -> None:
    frames = 'File "flows.py", line 3, in fit\nValueError: no rows\n'
    failure = Failure(kind="exception", message="no rows", cause_type="ValueError", frames=frames)
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        step = a_step(RUN, 0, state=StepState.FAILED, failure=failure)
        scene.story.put("runs", a_run(1, state="FAILED", failure=failure))
        scene.story.put("steps", step)
        scene.story.put("attempts", an_attempt(step, 7, state="FAILED", failure=failure))
        logs = tmp_path / "logs" / "runs" / RUN
        logs.mkdir(parents=True)
        (logs / "0.1.log").write_text("reading\n")
        shown = await headwater("run", "show", RUN, url=url)
        assert "ValueError: no rows" in shown.out
        read = await headwater("run", "logs", RUN, url=url)
        assert read.out == f"==> fit #0, attempt 1, FAILED <==\nreading\n{frames}"


async def test_watch_prints_plain_lines_and_tells_by_its_exit_how_the_run_ended(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(1, state="SUCCEEDED"))
        scene.tell(accepted(), started(), succeeded(), run=RUN)
        scene.story.put("runs", a_run(2, state="FAILED"))
        scene.tell(Failed(flow="f", duration_us=1, failure=Failure(kind="lost", message="gone")), run=run_id(2))
        good = await headwater("watch", RUN, url=url)
        assert [line.split()[3] for line in good.out.splitlines()] == ["run.accepted", "run.started", "run.succeeded"]
        assert good.code == 0
        assert (await headwater("watch", run_id(2), url=url)).code == 1


async def test_publish_sends_the_data_and_says_the_id(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        said = await headwater("publish", "flights.landed", "--data", '{"month": 10}', "--id", "e-9", url=url)
        assert "e-9" in said.out
        wrong = await headwater("publish", "flights.landed", "--data", "{month}", url=url)
        assert wrong.code == 1
        assert wrong.err.startswith("headwater: The data is not JSON")


async def test_a_dead_letter_shows_its_raw_bytes(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        letter = DeadLetter(
            id="d1", owner="conductor", code="invalid_json", reason="The body is not JSON.", topic="headwater.events",
            raw=b"\xff{oops", received_us=T0,
        )  # fmt: skip
        scene.story.put("dead_letters", letter)
        shown = await headwater("dlq", "show", "d1", url=url)
        assert "\\xff{oops" in shown.out


async def test_a_run_can_be_named_by_the_last_characters_of_its_id(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(11, state="SUCCEEDED"))
        scene.story.put("runs", a_run(21, state="SUCCEEDED"))
        shown = await headwater("run", "show", "011", url=url)
        assert run_id(11) in shown.out
        several = await headwater("run", "show", "1", url=url)
        assert several.code == 1
        assert "may be 2 ids" in several.err
        assert run_id(21) in several.err


async def test_an_event_type_that_was_never_seen_shows_data_that_its_flow_takes(tmp_path: Path) -> None:
    assert sample({"properties": {"month": {"type": "integer"}, "rounds": {"default": 60}}}) == {
        "month": 1,
        "rounds": 60,
    }
    assert sample({"properties": {"at": {"anyOf": [{"type": "string"}, {"type": "null"}]}}}) == {"at": "text"}


@pytest.mark.parametrize(
    "name", ["rows.json", "columns.json", "rows.jsonl", "t.csv", "t.parquet", "t.arrow", "t.arrows"]
)
async def test_features_are_read_from_files_of_every_kind(tmp_path: Path, name: str) -> None:
    rows, columns = [{"a": 1.5, "b": "x"}, {"a": 2.5, "b": "y"}], {"a": [1.5, 2.5], "b": ["x", "y"]}
    file, table = tmp_path / name, pa.table(columns)
    match name:
        case "rows.json" | "columns.json":
            file.write_text(json.dumps(rows if name == "rows.json" else columns))
        case "rows.jsonl":
            file.write_text("\n".join(map(json.dumps, rows)))
        case "t.csv":
            csv.write_csv(table, file)
        case "t.parquet":
            parquet.write_table(table, file)
        case _:
            opened = pa.ipc.new_file if name == "t.arrow" else pa.ipc.new_stream
            with pa.OSFile(str(file), "wb") as sink, opened(sink, table.schema) as writer:
                writer.write_table(table)
    read = features(file)
    assert (read if isinstance(read, dict) else read.to_pydict()) == columns


async def test_rows_that_differ_in_their_columns_are_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text('[{"a": 1, "b": 2}, {"a": 1}]')
    with pytest.raises(InvalidInput, match="rows 1 and 2 differ in 'b'"):
        features(file)


async def test_errors_are_one_sentence_with_the_remedy_and_no_traceback(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        missing = await headwater("run", "show", "nope", url=url)
        assert (missing.code, missing.err) == (1, "headwater: There is no run 'nope'. See `headwater runs`.\n")
    gone = await headwater("runs", "--json", url="http://127.0.0.1:9")
    assert gone.code == 1
    assert gone.err.count("\n") == 1
    assert (await headwater("bogus", url=url)).code == 2


async def test_where_nothing_runs_one_sentence_says_how_to_start(tmp_path: Path) -> None:
    for words in (("status",), ("runs",), ("runs", "--json")):
        ended = await headwater(*words, cwd=tmp_path)
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.count("\n") == 1
        assert "`headwater up`" in ended.err


async def test_doctor_needs_nothing_that_runs(tmp_path: Path) -> None:
    ended = await headwater("doctor", "--home", str(tmp_path), "--json", cwd=tmp_path)
    found = {check["part"]: check for check in json.loads(ended.out)}
    assert ended.code == 1
    assert not found["API"]["is_well"]
    assert "headwater up" in found["API"]["remedy"]
    assert found["versions"]["is_well"]
    assert {"home folder", "disk", "http port"} <= set(found)


async def test_doctor_says_how_to_close_a_token_that_others_can_read(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    (tmp_path / "token").chmod(0o644)
    checks = json.loads((await headwater("doctor", "--home", str(tmp_path), "--json", cwd=tmp_path)).out)
    remedy = next(check["remedy"] for check in checks if check["part"] == "token file")
    assert remedy == f"chmod 600 {tmp_path / 'token'}"


async def test_every_command_teaches_with_an_example() -> None:
    from typer.main import get_command

    from headwater.cli.app import app

    groups = [get_command(app)]
    while groups:
        for name, command in groups.pop().commands.items():  # type: ignore[attr-defined]
            if hasattr(command, "commands"):
                groups.append(command)
            else:
                assert command.help, name
                assert "headwater " in (command.epilog or ""), name


def a_drained_node(name: str, reason: str) -> Node:
    return Node(
        id=name, ray_node="r", cpus_milli=1000, memory_bytes=1, labels={}, state="DRAINED", reason=reason, joined_us=T0,
        seen_us=T0,
    )  # fmt: skip


async def test_doctor_names_the_part_that_is_not_well(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.owners.parts = {"conductor": "ok", "scheduler": "starting"}
        for name, reason in (("n1", ""), ("n2", "It was lost 3 times")):
            scene.story.put("nodes", a_drained_node(name, reason))
        checks = json.loads((await headwater("doctor", "--json", url=url, cwd=tmp_path)).out)
        assert {check["words"].split()[0]: check["is_well"] for check in checks if check["part"] == "node"} == {
            "n1": True,  # a person has drained it
            "n2": False,
        }
        found = {check["part"]: check["is_well"] for check in checks}
        assert found["API"]
        assert found["conductor"]
        assert not found["scheduler"]
        assert not found["broker"]
        assert all(check["remedy"] for check in checks if not check["is_well"])


async def test_the_tree_shows_steps_devices_and_progress() -> None:
    from rich.console import Console

    from headwater.cli.run_tree import RunTree
    from headwater.wire.terms import Demand
    from headwater.wire.types import AnyBody, Entry

    tree = RunTree()
    step: dict[str, Any] = {"step_id": f"{RUN}/0", "name": "fit"}
    waiting = StepWaiting(**step, ordinal=0, priority=0, demand=Demand(), since_us=T0)
    leased = StepLeased(**step, attempt=1, fence=7, node="local", devices=("local/0",), demand=Demand())
    about: dict[str, Any] = {"subject": RUN, "project": "eta", "principal": "p", "time_us": T0, "run_id": RUN}
    bodies: tuple[AnyBody, ...] = (accepted(), started(), waiting, leased)
    for position, body in enumerate(bodies, 1):
        tree.hear(Entry(position=position, seq=position, body=body, **about))
    tree.hear(Progress(fence=7, run_id=RUN, attempt=1, worker="w", done=50, total=100, rate=9, note="loss 0.5", **step))
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(tree)
    text = console.export_text()
    assert "eta/train_delay RUNNING" in text
    assert "fit leased  local/0" in text
    assert "50 of 100 rows, 50 %, 9 rows/s, 5.6 s left, loss 0.5" in text


async def test_a_run_shows_how_far_its_steps_are_and_what_its_code_came_from(tmp_path: Path) -> None:
    diff = "--- a/flows.py\n+++ b/flows.py\n@@ -1 +1 @@\n-a = 1\n+a = 2\n"
    source = {"commit": "f" * 40, "is_dirty": True, "diff": diff, "untracked": ["new.py"]}
    environment = {"python": "3.11.9", "platform": "linux-x86_64", "packages": {"ray": "2"}}
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        code = CodeVersion(
            version="c1", bundle="b", manifest=None, principal="p", deployed_us=1,
            provenance={"source": source, "environment": environment},
        )  # fmt: skip
        step = a_step(RUN, 0, state=StepState.RUNNING)
        for table, row in (("code_versions", code), ("runs", a_run(1, state="RUNNING")), ("steps", step),
                           ("attempts", an_attempt(step, 1))):  # fmt: skip
            scene.story.put(table, row)
        word = Progress(
            fence=1, run_id=RUN, step_id=step.id, name="fit", attempt=1, worker="w", done=25, total=100, rate=5
        )
        scene.hub.progress([word])
        shown = await headwater("run", "show", RUN, url=url)
        assert "25 of 100 rows, 25 %, 5 rows/s, 15.0 s left" in shown.out
        assert "flows.py  (+1 -1 since the commit)" in shown.out
        assert "new.py  (not in git)" in shown.out
        assert "Python 3.11.9, linux-x86_64, 1 packages" in shown.out
        assert (await AsyncClient(url, TOKEN).runs[RUN].detail()).steps[0].progress == word
        ended = StepEnded(step_id=step.id, name="fit", state="CANCELLED", reason="x")
        scene.tell(ended, run=RUN)
        assert (await AsyncClient(url, TOKEN).runs[RUN].detail()).steps[0].progress is None


async def test_a_gap_is_shown_and_lifted_by_a_command(tmp_path: Path) -> None:
    resumed = {"resumed": [{"partition": 2, "stood_at": 7, "reason": "data_gap"}]}
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        row = Offset(owner="conductor", topic="headwater.events", partition=2, next=7, halted="data_gap")
        scene.story.put("offsets", row)
        scene.owners.answers["events.resume"] = Done(result=resumed)
        listed = await headwater("events", "gaps", url=url)
        assert "headwater.events" in listed.out
        assert "data_gap" in listed.out
        unsaid = await headwater("events", "resume", "headwater.events", url=url)
        assert (unsaid.code, "--skip or --from" in unsaid.err) == (1, True)
        done = await headwater("events", "resume", "headwater.events", "--partition", "2", "--skip", url=url)
        assert done.out == "headwater.events, partition 2: goes on at the earliest record; it stood at 7\n"
        ((owner, order),) = scene.owners.placed
        assert (owner, order.data) == ("conductor", {"topic": "headwater.events", "partition": 2, "offset": None})
