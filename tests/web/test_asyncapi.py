"""The document of what is pushed and published says what the code says."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from scenes.web import a_scene

from headwater.web.asyncapi import BODIES, name_of, text
from headwater.wire import topics


@pytest.fixture(scope="module")
def said() -> dict[str, Any]:
    return json.loads(text("1"))  # type: ignore[no-any-return]


def test_the_file_in_docs_is_current(repo_root: Path) -> None:
    there = (repo_root / "docs" / "asyncapi.json").read_text()
    assert there == text(metadata.version("headwater")), "python -m headwater.web.asyncapi docs/asyncapi.json"


def test_every_reference_leads_somewhere(said: dict[str, Any]) -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, dict):
            here = [value["$ref"]] if "$ref" in value else []
            return here + [each for inner in value.values() for each in references(inner)]
        return [each for inner in value for each in references(inner)] if isinstance(value, list) else []

    found = references(said)
    assert len(found) > len(BODIES)
    for reference in set(found):
        place: Any = said
        for part in reference.removeprefix("#/").split("/"):
            assert part in place, reference
            place = place[part]


def test_every_topic_and_every_type_of_entry_is_there(said: dict[str, Any]) -> None:
    assert {topic.name for topic in topics.TOPICS} <= said["channels"].keys()
    outbound = [topic.name for topic in topics.TOPICS if topic.direction is topics.Direction.OUTBOUND]
    published = {name for topic in outbound for name in said["channels"][topic]["messages"]}
    names = {name_of(body) for body in BODIES}
    assert names - {"event.published"} <= published
    assert names <= said["channels"]["run"]["messages"].keys()
    assert said["operations"]["headwater.events"]["action"] == "receive"
    assert said["operations"]["headwater.runs"]["action"] == "send"


@pytest.mark.asyncio(loop_scope="session")
async def test_the_server_gives_the_document(tmp_path: Path) -> None:
    async with a_scene(tmp_path, version="7") as scene, scene.client() as client:
        assert (await client.get("/asyncapi.json")).json() == json.loads(text("7"))
