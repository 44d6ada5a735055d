"""Dead letters and kept results go by age; what nobody has resolved does not go without a word."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scenes.store import T0

from headwater.actors.journal import Journal
from headwater.actors.retention import Retention
from headwater.actors.wiring import Wiring
from headwater.config import Store, load
from headwater.core.records.inbox import DeadLetter
from headwater.core.records.steps import CacheEntry
from headwater.store.reader import Reader
from headwater.store.writer import Writer
from headwater.wire.calls import Payload
from headwater.wire.entries.events import EventGivenUp
from headwater.wire.types import Entry

from .alone import a_wiring

pytestmark = pytest.mark.asyncio(loop_scope="session")
HOUR_US = 3_600_000_000


@pytest.fixture
def wiring(tmp_path: Path) -> Iterator[Wiring]:
    one = a_wiring(tmp_path)
    yield one
    for engine in one.lent:
        engine.dispose()


def a_letter(hours: int, state: str = "open", resolved: int | None = None, owner: str = "conductor") -> DeadLetter:
    """Received, and resolved where it is, so many hours after the first."""
    return DeadLetter(
        id=f"{state}-{owner}-{hours}", owner=owner, code="bad_parameters", reason="rows is text", topic="t",
        event_source="/a", event_id=f"e{hours}", trigger="eta/f/event:x", project="eta", raw=b"{}", state=state,
        received_us=T0 + hours * HOUR_US, resolved_us=None if resolved is None else T0 + resolved * HOUR_US,
    )  # fmt: skip


def keeping(**hours: float) -> Store:
    none = {"letters_keep_s": 0, "open_letters_keep_s": 0, "cache_keep_s": 0}
    kept = {**none, **{name: hours_ * 3600 for name, hours_ in hours.items()}}
    return load(environment={}, flags={f"store.{name}": value for name, value in kept.items()}).store


async def left(
    wiring: Wiring, letters: list[DeadLetter], settings: Store, *, now: int
) -> tuple[list[str], list[Entry]]:
    """The letters that stay, after two looks at an hour; and what was said of those that went."""
    published: list[Entry] = []
    rows: dict[str, dict[Any, Any]] = {"dead_letters": {letter.id: letter for letter in letters}}
    journal = Journal(Writer(wiring.engine(), "conductor"))
    await journal.take_epoch()
    await journal.commit(rows, [], [])
    retention = Retention(journal, Reader(wiring.engine(read_only=True)), settings, published.extend)
    for _ in range(2):
        await retention.look(T0 + now * HOUR_US)
    journal.close()
    with Reader(wiring.engine(read_only=True)).picture() as picture:
        return [letter.id for letter in picture.rows("dead_letters")], published


async def test_a_resolved_letter_goes_by_the_time_since_it_was_resolved(wiring: Wiring) -> None:
    letters = [
        a_letter(0, "replayed", 1),
        a_letter(0, "discarded", 8),
        a_letter(0),
        a_letter(0, "replayed", 1, "registry"),
    ]
    stay, said = await left(wiring, letters, keeping(letters_keep_s=5), now=10)
    assert (sorted(stay), said) == (["discarded-conductor-0", "open-conductor-0"], [])


async def test_the_log_names_each_letter_that_goes_unresolved(wiring: Wiring) -> None:
    letters = [a_letter(0), a_letter(2), a_letter(7), a_letter(0, "replayed", 1)]
    stay, said = await left(wiring, letters, keeping(open_letters_keep_s=5), now=10)
    assert sorted(stay) == ["open-conductor-7", "replayed-conductor-0"]
    assert [(entry.subject, entry.project, entry.body) for entry in said] == [
        (letter.id, "eta", EventGivenUp(
            dead_letter_id=letter.id, code="bad_parameters", reason="rows is text", topic="t",
            received_us=letter.received_us, event_source="/a", event_id=letter.event_id, trigger="eta/f/event:x",
        ))
        for letter in letters[:2]
    ]  # fmt: skip


async def test_nothing_goes_where_it_is_kept_for_ever(wiring: Wiring) -> None:
    letters = [a_letter(0), a_letter(1, "replayed", 1), a_letter(1, "discarded", 1)]
    stay, said = await left(wiring, letters, keeping(), now=1_000_000)
    assert (len(stay), said) == (3, [])


async def test_a_kept_result_goes_by_its_age(wiring: Wiring) -> None:
    journal = Journal(Writer(wiring.engine(), "conductor"))
    await journal.take_epoch()
    rows = {
        f"k{hours}": CacheEntry(
            key=f"k{hours}", project="eta", step_id="r/0", payload=Payload(inline=b""), created_us=T0 + hours * HOUR_US
        )
        for hours in (0, 4, 6)
    }
    await journal.commit({"step_cache": rows}, [], [])
    reader = Reader(wiring.engine(read_only=True))
    await Retention(journal, reader, keeping(cache_keep_s=5), print).look(T0 + 10 * HOUR_US)
    journal.close()
    with reader.picture() as picture:
        assert [row.key for row in picture.rows("step_cache")] == ["k6"]
