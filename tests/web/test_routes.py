"""The routes in-process: a real store, the bus in memory, owners that answer as told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pyarrow as pa
import pytest
from scenes.store import T0, a_flow, a_run, a_step, accepted, an_attempt, run_id
from scenes.web import Scene, a_scene

from headwater.core.inventory import DeviceRow, Node, QuotaTree
from headwater.core.records.attempts import AttemptState
from headwater.core.records.inbox import Offset
from headwater.core.records.leases import Lease
from headwater.events.bus import Start
from headwater.sdk.deploying.bundle import bundle_of, pack
from headwater.web.seams import Done, Refused
from headwater.wire.api.quota import StepExplained
from headwater.wire.entries.events import CommandDone
from headwater.wire.envelope import Event, parse
from headwater.wire.terms import Demand
from headwater.wire.topics import EVENTS

pytestmark = pytest.mark.asyncio(loop_scope="session")
TREE = {"cohort": {"local": {"projects": {"etl": {"gpu": 1}}}}}
RUN = run_id(1)
CE = {"ce-id": "e1", "ce-source": "/s", "ce-type": "t", "ce-specversion": "1.0"}


async def published(scene: Scene) -> list[Event]:
    source = scene.bus.source(Start((EVENTS.name,)))
    records: list[Any] = await source.next_batch(100, 0.01)
    events = [parse(record.value, record.headers) for record in records]
    assert all(isinstance(event, Event) for event in events)
    return events  # type: ignore[return-value]


# The door


async def test_every_v1_route_asks_for_the_token_and_no_other_does(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        client.headers["Authorization"] = "Bearer wrong"
        paths: dict[str, Any] = (await client.get("/openapi.json")).json()["paths"]
        for path, methods in paths.items():
            for method in methods:
                answer = await client.request(method, path)
                assert (answer.status_code == 401) == path.startswith("/v1"), (method, path)
        assert scene.owners.placed == []


async def test_the_document_names_every_route_of_the_api_with_examples(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        document = (await client.get("/openapi.json")).json()
    routes = {f"{method.upper()} {path}" for path, methods in document["paths"].items() for method in methods}
    assert {
        "POST /v1/events", "GET /v1/runs", "POST /v1/runs", "GET /v1/runs/{run_id}", "GET /v1/runs/{run_id}/events",
        "POST /v1/runs/{run_id}/cancel", "GET /v1/watch", "GET /v1/flows", "GET /v1/models", "GET /v1/deployments",
        "GET /v1/tables", "GET /v1/nodes", "GET /v1/quota", "GET /v1/dlq", "GET /v1/metrics/flows", "GET /livez",
        "GET /readyz", "GET /v1/events/gaps",
    } <= routes  # fmt: skip
    start = document["paths"]["/v1/runs"]["post"]
    assert start["requestBody"]["content"]["application/json"]["example"]["flow"] == "train_delay"
    assert "RunSummary" in document["components"]["schemas"]


# Events


async def test_an_event_in_binary_mode_is_durable_before_the_answer(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        headers = {**CE, "ce-project": "eta", "content-type": "application/json"}
        answer = await client.post("/v1/events", content=b'{"month": 10}', headers=headers)
        assert (answer.status_code, answer.json()) == (202, {"ids": ["e1"]})
        (event,) = await published(scene)
        assert (event.id, event.source, event.type, event.project, event.data) == (
            "e1",
            "/s",
            "t",
            "eta",
            {"month": 10},
        )


async def test_a_structured_event_and_a_batch_are_taken(tmp_path: Path) -> None:
    one = {"specversion": "1.0", "id": "a", "source": "/s", "type": "t", "data": 1}
    async with a_scene(tmp_path) as scene, scene.client() as client:
        kind = {"content-type": "application/cloudevents+json"}
        assert (await client.post("/v1/events", content=orjson.dumps(one), headers=kind)).status_code == 202
        batch = orjson.dumps([{**one, "id": "b"}, {**one, "id": "c"}])
        kind = {"content-type": "application/cloudevents-batch+json"}
        assert (await client.post("/v1/events", content=batch, headers=kind)).json() == {"ids": ["b", "c"]}
        assert sorted(event.id for event in await published(scene)) == ["a", "b", "c"]


async def test_a_batch_with_one_bad_event_is_refused_whole_and_says_which(tmp_path: Path) -> None:
    good = {"specversion": "1.0", "id": "a", "source": "/s", "type": "t"}
    async with a_scene(tmp_path) as scene, scene.client() as client:
        headers = {"content-type": "application/cloudevents-batch+json"}
        answer = await client.post("/v1/events", content=orjson.dumps([good, {"type": "t"}]), headers=headers)
        assert answer.status_code == 400
        assert answer.json()["error"]["index"] == 1
        assert await published(scene) == []


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({}, b"{}", 400, "invalid_envelope"),
        ({**CE, "content-type": "application/json"}, b"{", 400, "invalid_json"),
        ({name: text for name, text in CE.items() if name != "ce-id"}, b"", 400, "invalid_envelope"),
        ({"content-type": "text/plain"}, b"x", 415, "unsupported_content_type"),
        ({**CE, "content-type": "application/json"}, b"[" * 100 + b"]" * 100, 400, "too_deep"),
        ({**CE, "content-type": "text/plain"}, b"x" * ((1 << 20) + 1), 413, "too_large"),
    ],
)
async def test_a_bad_event_is_refused_with_its_reason(
    tmp_path: Path, headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        answer = await client.post("/v1/events", content=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert await published(scene) == []


async def test_without_the_broker_publishing_is_unavailable_and_commands_work(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        await scene.bus.go_down()
        answer = await client.post("/v1/events", headers=CE)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"]
        assert (await client.post("/v1/runs", json={"flow": "f"})).status_code == 201


async def test_event_types_tell_who_listens_before_anything_was_seen(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        scene.story.put("flows", a_flow())
        (found,) = (await client.get("/v1/events/types")).json()["items"]
        assert (found["type"], found["flows"], found["seen"]) == ("flights.landed", ["eta/train_delay"], 0)


# Runs


async def test_a_run_starts_under_the_callers_key_and_principal(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        answer = await client.post(
            "/v1/runs", json={"flow": "f", "project": "eta", "parameters": {"x": 1}}, headers={"Idempotency-Key": "k"}
        )
        assert (answer.status_code, answer.json()["run_id"]) == (201, "r1")
        ((owner, order),) = scene.owners.placed
        assert (owner, order.kind, order.principal, order.project) == ("conductor", "run.start", "token:local", "eta")
        assert order.data == {"flow": "f", "project": "eta", "parameters": {"x": 1}, "key": "k"}
        assert order.sha256


async def test_labels_go_to_the_conductor_and_narrow_a_listing_and_a_watch(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        await client.post("/v1/runs", json={"flow": "f", "labels": {"team": "a"}})
        ((_, order),) = scene.owners.placed
        assert order.data["labels"] == {"team": "a"}
        for path in ("/v1/runs?label=team", "/v1/watch?label=te%20am%3Da"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_input"), path


@pytest.mark.parametrize(
    ("refused", "status"),
    [
        (Refused(code="not_found", reason="No flow"), 404),
        (Refused(code="bad_parameters", reason="parameter n"), 422),
    ],
)
async def test_a_refused_start_says_why(tmp_path: Path, refused: Refused, status: int) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        scene.owners.answers["run.start"] = refused
        answer = await client.post("/v1/runs", json={"flow": "f"})
        assert (answer.status_code, answer.json()["error"]["message"]) == (status, refused.reason)


async def test_a_command_that_takes_long_is_answered_with_its_id_and_found_later(tmp_path: Path) -> None:
    async with a_scene(tmp_path, order_timeout_s=0.01) as scene, scene.client() as client:
        scene.owners.is_silent = True
        answer = await client.post("/v1/orders", json={"kind": "quota.apply", "data": {}})
        command = answer.json()["id"]
        assert (answer.status_code, answer.json()["state"]) == (202, "pending")
        assert (await client.get(f"/v1/commands/{command}")).json()["state"] == "pending"
        scene.story.say(CommandDone(command="quota.apply", result={"version": 2}), causation=f"/v1/{command}")
        later = (await client.get(f"/v1/commands/{command}")).json()
        assert (later["state"], later["result"]) == ("done", {"version": 2})


async def test_an_order_of_an_unknown_kind_is_refused_with_what_was_meant(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        answer = await client.post("/v1/orders", json={"kind": "quotas.apply"})
        assert answer.status_code == 400
        assert "Did you mean 'quota'?" in answer.json()["error"]["remedy"]


async def test_runs_are_listed_newest_first_page_by_page(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        for number in range(1, 6):
            scene.story.put("runs", a_run(number, flow="odd" if number % 2 else "even"))
        seen, after = [], None
        while True:
            page = (await client.get("/v1/runs", params={"limit": 2} | ({"after": after} if after else {}))).json()
            seen += [run["id"] for run in page["items"]]
            after = page["next"]
            if after is None:
                break
        assert seen == [run_id(number) for number in (5, 4, 3, 2, 1)]
        even = (await client.get("/v1/runs", params={"flow": "even", "since": T0 + 3})).json()["items"]
        assert [run["id"] for run in even] == [run_id(4)]


async def test_a_run_shows_why_its_step_waits_and_which_model_it_made(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        step = a_step(RUN, 0, held_code="lent", held_reason="local/0 is lent to 'etl'")
        scene.story.put("runs", a_run(1, state="RUNNING"))
        scene.story.put("steps", step)
        scene.story.put("attempts", an_attempt(step, 7, state="LOST"))
        run = (await client.get(f"/v1/runs/{RUN}")).json()
        assert run["steps"][0]["held_reason"] == "local/0 is lent to 'etl'"
        assert run["steps"][0]["attempts"][0]["state"] == "LOST"
        assert run["steps_total"] == 1


async def test_a_cancel_goes_to_the_conductor_with_its_reason(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        scene.story.put("runs", a_run(1))
        scene.owners.answers["run.cancel"] = Done(result={"run_id": RUN})
        answer = await client.post(f"/v1/runs/{RUN}/cancel", json={"reason": "wrong month"})
        assert answer.json()["state"] == "done"
        assert scene.owners.placed[0][1].data == {"run_id": RUN, "reason": "wrong month"}


@pytest.mark.parametrize(
    "path", ["/v1/runs/..%2F..%2Ftoken/logs", "/v1/runs/nope/logs", "/v1/runs/nope/events", "/v1/dlq/x"]
)
async def test_what_is_not_there_is_404_and_nothing_is_read(tmp_path: Path, path: str) -> None:
    (tmp_path / "token").write_text("secret")
    async with a_scene(tmp_path) as scene, scene.client() as client:
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


# What there is


async def test_nodes_are_listed_with_their_devices_and_what_runs_there(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        facts: dict[str, Any] = {"cpus_milli": 4000, "memory_bytes": 1 << 30, "joined_us": T0, "seen_us": T0}
        scene.story.put("nodes", Node(id="n7", ray_node="r", labels={"rack": "r1"}, state="DRAINED", **facts))
        for number, state in enumerate(("READY", "QUARANTINED", "LEFT")):
            device = DeviceRow(id=f"n7/{number}", node="n7", model="H100", memory_bytes=80 << 30, state=state)
            scene.story.put("devices", device)
        scene.story.put("runs", a_run(3))
        running = an_attempt(a_step(run_id(3), 0), 1, state=AttemptState.RUNNING)
        scene.story.put("attempts", msgspec.structs.replace(running, node="n7"))
        (found,) = (await client.get("/v1/nodes")).json()["items"]
        assert (found["id"], found["state"], found["labels"]) == ("n7", "DRAINED", {"rack": "r1"})
        assert [(each["id"], each["state"]) for each in found["devices"]] == [
            ("n7/0", "READY"),
            ("n7/1", "QUARANTINED"),
        ]
        assert found["attempts"] == 1


async def test_quota_tells_what_is_held_and_who_waits(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        assert (await client.get("/v1/quota")).status_code == 404
        scene.story.put("quota_trees", QuotaTree(version=3, tree=TREE, principal="p", applied_us=T0))
        lease: dict[str, Any] = {
            "node": "local",
            "milli": 1000,
            "run_id": RUN,
            "step_id": f"{RUN}/0",
            "project": "etl",
            "since_us": T0,
        }
        scene.story.put("leases", Lease(fence=1, device="local/0", **lease))
        scene.story.put("steps", a_step(run_id(2), 0, held_reason="lent"))
        scene.story.put("runs", a_run(3, project="etl"))
        demand = Demand(gpus_milli=1000, cpus_milli=2000, memory_bytes=1 << 30)
        scene.story.put("attempts", an_attempt(a_step(run_id(3), 0), 1, demand=demand, state=AttemptState.RUNNING))
        found = (await client.get("/v1/quota")).json()
        assert found["version"] == 3
        assert found["held"] == [
            {
                "project": "etl",
                "devices": ["local/0"],
                "gpus_milli": 1000,
                "runs": 2,
                "used": {"gpu": 1000, "cpu": 2000, "memory": 1 << 30},
            }
        ]
        assert [(step["project"], step["reason"]) for step in found["waiting"]] == [("eta", "lent")]


async def test_a_partition_that_stands_still_is_listed_and_whoever_reads_it_is_told_to_go_on(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        topic = {"owner": "registry", "topic": "headwater.models.commands"}
        scene.story.put("offsets", Offset(**topic, partition=0, next=7, halted="data_gap"))
        scene.story.put("offsets", Offset(owner="conductor", topic="headwater.events", partition=1, next=9))
        found = (await client.get("/v1/events/gaps")).json()["items"]
        assert found == [{**topic, "partition": 0, "stands_at": 7, "reason": "data_gap"}]
        order = {"kind": "events.resume", "data": {"topic": topic["topic"]}}
        assert (await client.post("/v1/orders", json=order)).status_code == 200
        ((owner, placed),) = scene.owners.placed
        assert (owner, placed.kind, placed.data) == ("registry", "events.resume", order["data"])
        wrong = await client.post("/v1/orders", json={"kind": "events.resume", "data": {"topic": "headwater.event"}})
        assert (wrong.status_code, "Did you mean 'headwater.events'?" in wrong.text) == (400, True)


async def test_readiness_names_what_is_missing(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        assert (await client.get("/readyz")).status_code == 200
        scene.owners.parts = {"conductor": "ok", "registry": "starting"}
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.json()["parts"]["registry"]) == (503, "starting")


async def test_metrics_are_those_of_the_table(tmp_path: Path) -> None:
    from headwater.web.metrics import METRICS

    async with a_scene(tmp_path) as scene, scene.client() as client:
        scene.tell(accepted(), run=RUN)
        scene.story.put("runs", a_run(1, state="RUNNING"))
        await client.get("/livez")
        text = (await client.get("/metrics")).text
        for metric in METRICS:
            assert f"# TYPE {metric.name} {metric.kind}\n" in text
        assert 'headwater_runs{state="RUNNING"} 1\n' in text
        assert "headwater_log_position 1\n" in text
        assert 'headwater_http_requests_total{method="GET",status="200"} 1\n' in text


# What goes in


async def test_appended_rows_are_spooled_handed_over_and_taken_away(tmp_path: Path) -> None:
    batch = pa.record_batch({"x": [1, 2, 3]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    async with a_scene(tmp_path) as scene, scene.client() as client:
        body = sink.getvalue().to_pybytes()
        answer = await client.post("/v1/tables/lake.x/append", content=body, headers={"Idempotency-Key": "k1"})
        assert answer.json()["rows_added"] == 3
        ((append, rows),) = scene.owners.appended
        assert (append.table, append.key, append.principal, rows) == ("lake.x", "k1", "token:local", 3)
        assert list((tmp_path / "spool").iterdir()) == []
        assert (await client.post("/v1/tables/lake.x/append", content=body)).status_code == 400


def a_folder(folder: Path, code: str) -> bytes:
    folder.mkdir()
    (folder / "flows.py").write_text(code)
    return pack(bundle_of(folder))


async def test_a_deployed_folder_is_kept_and_handed_to_the_registry(tmp_path: Path) -> None:
    code = "from headwater.sdk import flow\n\n@flow(project='eta')\ndef hello():\n    return 1\n"
    async with a_scene(tmp_path) as scene, scene.client() as client:
        body = await asyncio.to_thread(a_folder, tmp_path / "mine", code)
        answer = await client.post("/v1/deploys", content=body)
        assert (answer.status_code, answer.json()["flows"]) == (200, ["eta/hello"]), answer.text
        ((owner, order),) = scene.owners.placed
        assert (owner, order.kind) == ("registry", "code.deploy")
        assert order.data["manifest"]["flows"][0]["name"] == "hello"
        assert (tmp_path / "artifacts" / order.data["bundle"][:2] / order.data["bundle"]).is_file()


@pytest.mark.parametrize(
    ("code", "line", "words"), [("import nothing_here\n", 1, "nothing_here"), ("\nx = (\n", 2, "SyntaxError")]
)
async def test_code_that_does_not_import_is_refused_with_file_and_line(
    tmp_path: Path, code: str, line: int, words: str
) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        body = await asyncio.to_thread(a_folder, tmp_path / "mine", code)
        answer = await client.post("/v1/deploys", content=body)
        problem = answer.json()["error"]
        assert (answer.status_code, problem["file"], problem["line"]) == (422, "flows.py", line), problem
        assert words in problem["message"] + problem.get("frames", "")
        assert scene.owners.placed == []


async def test_what_the_registry_refuses_is_the_deployers_to_mend(tmp_path: Path) -> None:
    code = "from headwater.sdk import flow\n\n@flow(project='etaa')\ndef hello():\n    return 1\n"
    async with a_scene(tmp_path) as scene, scene.client() as client:
        scene.owners.answers["code.deploy"] = Refused(code="unknown_project", reason="Did you mean 'eta'?")
        answer = await client.post("/v1/deploys", content=await asyncio.to_thread(a_folder, tmp_path / "m", code))
        assert (answer.status_code, answer.json()["error"]["message"]) == (422, "Did you mean 'eta'?")


async def test_an_upload_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        assert (await client.post("/v1/deploys", content=b"no tar")).status_code == 400


# Quota


async def test_a_step_that_waits_is_explained_and_any_other_is_not_found(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        said = StepExplained(step_id=f"{RUN}/0", project="eta", name="fit", code="quota", sentence="It waits.")
        scene.owners.explained[said.step_id] = said
        assert (await client.get(f"/v1/quota/explain/{RUN}/0")).json()["sentence"] == "It waits."
        assert (await client.get(f"/v1/quota/explain/{RUN}/1")).status_code == 404


async def test_a_scenario_is_played_by_the_scheduler(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        answer = await client.post("/v1/quota/simulate", json={"scenario": {"lost": ["n1"]}})
        assert (answer.json()["starts"], scene.owners.scenarios) == (["if/1"], [{"lost": ["n1"]}])
        assert (await client.post("/v1/quota/simulate", json={"scenario": 3})).status_code == 400


async def test_usage_of_the_last_day_is_one_stretch_unless_asked_otherwise(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        hour_us = 3_600_000_000
        lease: dict[str, Any] = {"node": "local", "milli": 1000, "run_id": RUN, "step_id": f"{RUN}/0", "project": "etl"}
        scene.story.put("leases", Lease(fence=1, device="local/0", since_us=T0 - hour_us, **lease))
        found = (await client.get(f"/v1/quota/usage?from={T0 - 2 * hour_us}&to={T0}&bucket=3600")).json()
        assert found["items"] == []
        assert (await client.get("/v1/quota/usage?from=9&to=9")).status_code == 400
