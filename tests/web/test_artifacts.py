"""Results of steps over HTTP and in the client: described, begun, fetched; never unpickled by the server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from scenes.store import a_run, a_step, an_attempt, run_id
from scenes.web import TOKEN, Scene, a_scene, listening

from headwater.artifacts.files import Files
from headwater.artifacts.payloads import payload_of
from headwater.core.records.attempts import AttemptState
from headwater.core.records.runs import CommandRow
from headwater.core.records.steps import StepState
from headwater.errors import InvalidInput, NotFound
from headwater.sdk import AsyncClient
from headwater.sdk.running.serialise import encode
from headwater.wire.calls import Command, Outcome, Payload, StepCall

pytestmark = pytest.mark.asyncio(loop_scope="session")
RUN = run_id(1)
TABLE = pa.table({"month": list(range(20_000)), "when": pa.array([0] * 20_000, pa.timestamp("us"))})


class Harmful:
    """Unpickling this makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path, self.padding = path, os.urandom(200_000)

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),), {"padding": self.padding}


def finished(scene: Scene, ordinal: int, value: object, **step: Any) -> Payload:
    """A step of the run that gave `value`, in the rows as the Conductor writes them."""
    payload = payload_of(Files(scene.home / "artifacts"), encode(value, place="x"))
    row = a_step(RUN, ordinal, name=f"step{ordinal}", state=StepState.SUCCEEDED, **step)
    said = msgspec.structs.replace(payload, inline=None)
    done = an_attempt(row, ordinal + 1, state=AttemptState.SUCCEEDED, ended_us=5, artifact=payload.digest, result=said)
    key = f"fit#{ordinal}"
    command = Command(ordinal=ordinal, name="fit", key=key, call=StepCall(function="f:fit", arguments=Payload()))
    recorded = CommandRow(
        run_id=RUN, ordinal=ordinal, kind="step", name="fit", key=key, command=command,
        outcome=Outcome(payload=payload), issued_us=1,
    )  # fmt: skip
    for table, each in (("steps", row), ("attempts", done), ("commands", recorded)):
        scene.story.put(table, each)
    return payload


async def test_a_table_is_described_begun_and_fetched_while_the_run_goes_on(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(1, state="RUNNING"))
        payload = finished(scene, 0, TABLE)
        steps = await AsyncClient(url, TOKEN).runs[RUN].steps()
        artifact = steps["step0"][0].artifact
        assert artifact is not None
        assert artifact.digest == payload.digest
        assert artifact.schema == [{"name": "month", "type": "int64"}, {"name": "when", "type": "timestamp[us]"}]
        epoch = "1970-01-01 00:00:00"
        assert await artifact.head(2) == [{"month": 0, "when": epoch}, {"month": 1, "when": epoch}]
        assert (await artifact.load()).equals(TABLE)
        saved = await artifact.save(tmp_path / "trips.arrow")
        assert pa.ipc.open_file(pa.memory_map(str(saved))).read_all().equals(TABLE)


async def test_small_results_are_shown_from_the_database(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(1))
        finished(scene, 0, {"mae": 3.5})
        finished(scene, 1, np.arange(6).reshape(3, 2))
        steps = await AsyncClient(url, TOKEN).runs[RUN].steps()
        small, array = steps["step0"][0].artifact, steps["step1"][0].artifact
        assert small is not None
        assert array is not None
        assert (small.digest, small.about) == ("", {"type": "dict", "value": {"mae": 3.5}})
        assert await small.head() == {"mae": 3.5}
        assert array.schema == {"dtype": "int64", "shape": [3, 2]}
        assert await array.head(2) == [[0, 1], [2, 3]]
        assert np.array_equal(await array.load(), np.arange(6).reshape(3, 2))


async def test_a_pickle_is_never_opened_but_where_one_says_so(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(1))
        payload = finished(scene, 0, Harmful(trap))
        artifact = await AsyncClient(url, TOKEN).artifacts[payload.digest or ""]
        assert await artifact.head() is None
        with pytest.raises(InvalidInput, match="runs code of who made it"):
            await artifact.load()
        assert not trap.exists()
        assert len(await artifact.content()) == payload.size_bytes


async def test_artifacts_are_listed_newest_first_by_pages(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url, scene.client() as http:
        scene.story.put("runs", a_run(1))
        made = [finished(scene, each, np.full(10_000, each)).digest for each in range(3)]
        finished(scene, 3, "small")
        listed = await AsyncClient(url, TOKEN).artifacts()
        assert [each.digest for each in listed] == made[::-1]
        first = (await http.get("/v1/artifacts", params={"limit": 2})).json()
        rest = (await http.get("/v1/artifacts", params={"limit": 2, "after": first["next"]})).json()
        assert [each["digest"] for each in first["items"] + rest["items"]] == made[::-1]
        assert rest["next"] is None
        assert (await http.get("/v1/artifacts", params={"step": "step1"})).json()["items"][0]["digest"] == made[1]


async def test_the_inputs_of_a_step_are_its_arguments_and_what_feeds_it(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(1))
        fed_by = finished(scene, 0, TABLE)
        about: Any = {"rows": {"type": "future", "ordinal": 0}, "rounds": {"type": "int", "value": 3}}
        finished(scene, 1, None, needs=(0,), arguments=Payload(inline=b"", about=about))
        inputs = (await AsyncClient(url, TOKEN).runs[RUN].steps())["step1"][0].inputs
        assert inputs["rounds"] == {"type": "int", "value": 3}
        assert inputs["rows"].digest == fed_by.digest


@pytest.mark.parametrize("digest", ["0" * 64, "..", "..%2F..%2Fstore.db", "%2e%2e%2ftoken", "x" * 5_000])
async def test_what_is_no_artifact_is_not_found(tmp_path: Path, digest: str) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as http:
        for path in (f"/v1/artifacts/{digest}", f"/v1/artifacts/{digest}/content"):
            assert (await http.get(path)).status_code in (307, 404)


async def test_an_artifact_that_was_collected_says_so(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, listening(scene.app) as url:
        scene.story.put("runs", a_run(1))
        payload = finished(scene, 0, TABLE)
        assert payload.digest is not None
        Files(scene.home / "artifacts").path(payload.digest).unlink()
        with pytest.raises(NotFound, match="It was collected, or never written"):
            await AsyncClient(url, TOKEN).artifacts[payload.digest]


async def test_bytes_that_are_no_table_are_an_answer_and_not_the_end_of_the_server(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as http:
        scene.story.put("runs", a_run(1))
        payload = finished(scene, 0, TABLE)
        assert payload.digest is not None
        place = Files(scene.home / "artifacts").path(payload.digest)
        place.write_bytes(os.urandom(100_000))
        answer = await http.get(f"/v1/artifacts/{payload.digest}")
        assert answer.status_code == 400
        assert "no arrow file that can be read" in answer.json()["error"]["message"]
