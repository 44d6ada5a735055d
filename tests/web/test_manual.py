"""The page /docs: everything of the document, and nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scenes.web import a_scene

from headwater.quota.tree import parse_tree

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_page_names_every_call_and_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        answer = await client.get("/docs", headers={"Authorization": ""})
        document = (await client.get("/openapi.json")).json()
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert all(f"<code>{path}</code>" in answer.text for path in document["paths"])
    assert all(f"id='schema-{name}'" in answer.text for name in document["components"]["schemas"])
    assert "<script" not in answer.text
    assert set(re.findall(r'href="#([^"]*)"', answer.text)) <= set(re.findall(r"id='([^' ]*)'", answer.text))
    assert all(call.get("description") for verbs in document["paths"].values() for call in verbs.values())
    assert re.findall(r"(?:href|src)=['\"](?!#|/)", answer.text) == []


async def test_the_address_alone_leads_to_the_page(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        answer = await client.get("/", headers={"Authorization": ""})
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")


async def test_the_example_of_a_quota_is_a_tree_that_can_be_applied(tmp_path: Path) -> None:
    async with a_scene(tmp_path) as scene, scene.client() as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    order = paths["/v1/orders"]["post"]["requestBody"]["content"]["application/json"]["example"]
    assert order["kind"] == "quota.apply"
    assert set(parse_tree(order["data"]["tree"]).projects) == {"flights", "eta"}
