from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Any

import pytest
from scenes.web import Scene, a_scene

from headwater.events.bus import Start
from headwater.wire.envelope import Event, parse
from headwater.wire.topics import EVENTS
from headwater.wire.voucher import vouched

pytestmark = pytest.mark.asyncio(loop_scope="session")
BODY = b'{"action": "pushed"}'


def signed(body: bytes, secret: bytes = b"s3cret") -> dict[str, str]:
    digest = hmac.new(secret, body, hashlib.sha256).hexdigest()
    return {"x-hub-signature-256": f"sha256={digest}", "content-type": "application/json", "authorization": ""}


def a_hook(scene: Scene, name: str = "github", secret: str = "s3cret\n") -> None:
    (scene.home / "webhooks").mkdir(exist_ok=True)
    (scene.home / "webhooks" / name).write_text(secret)


async def records(scene: Scene) -> list[Any]:
    return list(await scene.bus.source(Start((EVENTS.name,))).next_batch(100, 0.01))


async def test_a_signed_call_is_an_event_without_a_token(tmp_path: Path) -> None:
    async with a_scene(tmp_path, secret=b"platform") as scene, scene.client() as client:
        a_hook(scene)
        answer = await client.post("/hooks/github", content=BODY, headers=signed(BODY))
        digest = hashlib.sha256(BODY).hexdigest()
        assert (answer.status_code, answer.json()) == (202, {"ids": [digest]})
        (record,) = await records(scene)
        event = parse(record.value, record.headers)
        assert isinstance(event, Event)
        assert (event.type, event.source, event.id) == ("webhook.github", "/hooks/github", digest)
        assert event.data == {"action": "pushed"}
        assert vouched(b"platform", record.headers, event) == "webhook:github"


async def test_the_events_of_a_projects_hook_are_that_projects(tmp_path: Path) -> None:
    async with a_scene(tmp_path, secret=b"platform") as scene, scene.client() as client:
        (scene.home / "webhooks" / "eta").mkdir(parents=True)
        a_hook(scene, "eta/github")
        assert (await client.post("/hooks/github", content=BODY, headers=signed(BODY))).status_code == 404
        assert (await client.post("/hooks/eta/github", content=BODY, headers=signed(BODY))).status_code == 202
        (record,) = await records(scene)
        event = parse(record.value, record.headers)
        assert isinstance(event, Event)
        assert (event.project, event.type, event.source) == ("eta", "webhook.github", "/hooks/eta/github")
        assert vouched(b"platform", record.headers, event) == "webhook:eta/github"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (signed(BODY, b"another"), BODY),
        (signed(BODY), BODY + b" "),
        ({**signed(BODY), "x-hub-signature-256": ""}, BODY),
        ({**signed(BODY), "x-hub-signature-256": "sha1=00"}, BODY),
    ],
)
async def test_a_call_that_is_not_signed_so_is_refused(headers: dict[str, str], body: bytes, tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        a_hook(scene)
        answer = await client.post("/hooks/github", content=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "bad_signature")
        assert await records(scene) == []


PATHS = ["other", "empty", "..", "%2e%2e%2ftoken", "..%2Ftoken", "eta/..", "../token", "a/b/github"]


@pytest.mark.parametrize("path", PATHS)
async def test_there_is_a_hook_only_where_a_secret_is(path: str, tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        a_hook(scene, "empty", " \n")
        (scene.home / "token").write_text("s3cret")
        answer = await client.post(f"/hooks/{path}", content=BODY, headers=signed(BODY))
        assert answer.status_code in (404, 405)
        assert await records(scene) == []


async def test_a_signed_body_that_is_no_json_is_refused_and_bytes_are_taken(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        a_hook(scene)
        bad = b"{"
        assert (await client.post("/hooks/github", content=bad, headers=signed(bad))).status_code == 400
        raw = {**signed(bad), "content-type": "application/octet-stream"}
        assert (await client.post("/hooks/github", content=bad, headers=raw)).status_code == 202
