from __future__ import annotations

from pathlib import Path

import pytest
from scenes.store import T0, a_flow
from scenes.web import a_scene

from headwater.core.records.inbox import DeadLetter, InboxRow
from headwater.web.seams import Done, Refused

pytestmark = pytest.mark.asyncio(loop_scope="session")
TRIGGER = "eta/train_delay/event:flights.landed"


async def test_triggers_are_listed_paused_and_resumed(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        scene.story.put("flows", a_flow())
        (listed,) = (await client.get("/v1/triggers")).json()["items"]
        assert (listed["id"], listed["state"]) == (TRIGGER, "active")
        scene.owners.answers["trigger.pause"] = Done(result={"trigger": TRIGGER, "state": "paused"})
        answer = await client.post("/v1/triggers/pause", json={"trigger": TRIGGER})
        assert answer.json()["result"]["state"] == "paused"
        scene.owners.answers["trigger.resume"] = Refused(code="not_found", reason="There is no trigger 'x'")
        assert (await client.post("/v1/triggers/resume", json={"trigger": "x"})).status_code == 404
    assert [(owner, order.kind) for owner, order in scene.owners.placed] == [
        ("conductor", "trigger.pause"),
        ("conductor", "trigger.resume"),
    ]


async def test_an_event_is_explained_and_an_unknown_one_is_not_found(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        row = InboxRow(
            owner="conductor", source="/s", id="a/b?c", sha256="x", type="t", project="eta", principal="p",
            topic="headwater.events", received_us=T0, outcome=[{"trigger": TRIGGER, "run_id": "r1"}],
        )  # fmt: skip
        scene.story.put("inbox", row)
        (told,) = (await client.get("/v1/events/explain", params={"id": "a/b?c"})).json()["items"]
        assert told["became"][0]["run_id"] == "r1"
        unknown = await client.get("/v1/events/explain", params={"id": "a/b?c", "source": "/other"})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")


async def test_letters_are_resolved_by_the_conductor_and_open_ones_are_listed(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        for letter_id, state in (("l1", "open"), ("l2", "discarded")):
            letter = DeadLetter(
                id=letter_id, owner="conductor", code="x", reason="y", topic="t", state=state, received_us=T0
            )
            scene.story.put("dead_letters", letter)
        assert [one["id"] for one in (await client.get("/v1/dlq")).json()["items"]] == ["l1"]
        assert [one["id"] for one in (await client.get("/v1/dlq?state=discarded")).json()["items"]] == ["l2"]
        left = [{"id": "l2", "reason": "it was discarded by me"}]
        scene.owners.answers["letter.replay"] = Done(result={"resolved": ["l1"], "became": [], "left": left})
        answer = await client.post("/v1/dlq/replay", json={"ids": ["l1", "l2"]})
        assert answer.json() == {"resolved": ["l1"], "became": [], "left": left}
        assert scene.owners.placed[0][1].data == {"ids": ["l1", "l2"]}
