"""What is replayed goes at a pace, whoever asks."""

from __future__ import annotations

from pathlib import Path

import pytest
from scenes.web import a_scene

from headwater.errors import Unavailable
from headwater.events.pace import Pace
from headwater.web.seams import Done

NOW = 1_000.0


def test_each_waits_until_those_before_it_have_had_their_time() -> None:
    times = iter([NOW, NOW, NOW + 1, NOW + 60])
    pace = Pace(50, clock=lambda: next(times))
    assert [pace.wait_s(100, at_most_s=9) for _ in range(4)] == [0, 2, 3, 0]


def test_who_would_wait_too_long_is_refused_and_takes_no_place() -> None:
    pace = Pace(10, clock=lambda: NOW)
    pace.wait_s(100, at_most_s=5)
    for _ in range(2):
        with pytest.raises(Unavailable, match="10 a second, for 10 s more"):
            pace.wait_s(1, at_most_s=5)
    assert pace.wait_s(1, at_most_s=10) == 10


@pytest.mark.asyncio(loop_scope="session")
async def test_replays_over_http_keep_the_pace_and_discards_need_none(tmp_path: Path) -> None:
    async with a_scene(tmp_path, order_timeout_s=0.05) as scene, scene.client() as client:
        scene.owners.answers.update({"letter.replay": Done(result={}), "letter.discard": Done(result={})})
        ids = {"ids": [f"l{number}" for number in range(100)]}
        first, second = [await client.post("/v1/dlq/replay", json=ids) for _ in range(2)]
        assert (first.status_code, second.status_code) == (200, 503)
        assert "replays_per_s" in second.json()["error"]["remedy"]
        assert (await client.post("/v1/dlq/discard", json=ids)).status_code == 200
