"""The oracle can say no: a good store has no violation, and one that was broken on purpose has that one."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from headwater.core.conductor import messages as m
from headwater.core.records.inbox import Offset
from headwater.core.records.triggers import Gathering
from headwater.core.turn import Turn
from headwater.events.relay import message_of, topic_of
from headwater.store.engine import create, open_engine, sqlite_url
from headwater.store.rows import codecs
from headwater.store.statements import Statements
from headwater.store.writer import Writer
from headwater.wire.entries.models import FlowDeployed
from headwater.wire.envelope import Event, encode_structured, parse
from headwater.wire.topics import EVENTS
from headwater.wire.types import Said
from scenes.conductor import Scene, a_flow
from scenes.evidence import Evidence, Recorded, rows_of
from scenes.oracle import judged, unsettled

LANDED = (EVENTS.name, 0)
NOON = 1_793_620_800_000_000


class Store:
    """A store file and the records that were sent to it; `evidence` says that all of its log was published."""

    def __init__(self, file: Path, records: list[Recorded]) -> None:
        self.url, self.records = sqlite_url(file), records
        self.engine = open_engine(self.url)

    def evidence(self) -> Evidence:
        rows, topics = rows_of(self.url), defaultdict[tuple[str, int], list[Recorded]](list)
        for entry in rows.entries:
            message, place = message_of(entry), (topic_of(entry), 0)
            topics[place].append(Recorded(len(topics[place]), message.key, message.value, message.headers))
        return replace(rows, topics={**topics, LANDED: self.records})

    def put(self, table: str, row: msgspec.Struct) -> None:
        with self.engine.begin() as connection:
            connection.exec_driver_sql(Statements(self.engine.dialect).upsert(table).each, codecs()[table].values(row))


class Kept(Scene):
    """A Conductor whose every decision is committed to a store, with the records that it took in."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store, self.now_us = store, NOON
        self.writer = Writer(store.engine, "conductor")
        self.writer.take_epoch()
        manifest = {"spec": msgspec.to_builtins(a_flow()), "bundle": "b" * 64}
        deployed = FlowDeployed(flow="train", code_version="v1", manifest=manifest)
        self.writer.commit({}, [Said(body=deployed, subject="train", project="eta", principal="me", time_us=1)])

    def tell(self, event: Any, *, settle: bool = True) -> Turn:
        turn = super().tell(event, settle=False)
        self.writer.commit(self.state.book.changes(), turn.said)
        self.machine.settle()
        return turn

    def comes(self, value: bytes, headers: Any = ()) -> None:
        """A record, as ingest hands it over."""
        self.store.records.append(Recorded(self.offset, None, value, tuple(headers)))
        self.arrive(parse(value, headers), raw=value)

    def lands(self, event_id: str, **data: Any) -> None:
        self.comes(*encode_structured(Event(id=event_id, source="test", type="landed", data=data)))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Recorded]]:
    """Events that became a run, a dead letter, a duplicate and nothing; a step that succeeded; a command."""
    file = tmp_path_factory.mktemp("made") / "store.db"
    create(sqlite_url(file), store_epoch="one")
    store = Store(file, [])
    scene = Kept(store)
    scene.tell(m.HostJoined("h1"))
    scene.lands("e1", day="monday")
    run_id = next(iter(scene.state.runs))
    scene.report(scene.a_step_at_work(run_id, "d1"))
    scene.lands("e2", day="tuesday")
    scene.lands("e1", day="monday")
    scene.lands("e3", day=3)
    scene.comes(b"junk")
    scene.order("run.start", flow="eta/train", parameters={"day": "sunday"})
    for topic in ("relay", "log"):
        position = rows_of(store.url).position
        store.put("offsets", Offset(owner="conductor", topic=topic, partition=0, next=position + 1))
    scene.writer.close()
    store.engine.dispose()
    return file, store.records


@pytest.fixture
def kept(made: tuple[Path, list[Recorded]], tmp_path: Path) -> Iterator[Store]:
    """A copy to break."""
    file, records = made
    store = Store(Path(shutil.copy(file, tmp_path)), list(records))
    yield store
    store.engine.dispose()


def test_a_good_store_has_no_violation(kept: Store) -> None:
    assert judged(kept.evidence()) == []


def test_what_is_on_its_way_is_told_apart(kept: Store) -> None:
    seen = kept.evidence()
    assert unsettled(seen)[0].startswith("3 runs go on")
    kept.put("offsets", Offset(owner="conductor", topic="relay", partition=0, next=3))
    assert "the relay has marked 2 of" in " ".join(unsettled(kept.evidence()))
    kept.records.append(Recorded(5, None, b"more"))
    assert f"{EVENTS.name}/0 is read up to 5 of 6" in unsettled(kept.evidence())


BROKEN_ROWS = [
    ("UPDATE inbox SET outcome = '[]' WHERE id = 'e1'", "e1 has 0 outcomes"),
    ("""UPDATE inbox SET outcome = '[{"trigger": "eta/train/event:landed", "no_match": "x"}]' WHERE id = 'e1'""",
     "says Match"),
    ("""UPDATE inbox SET outcome = '[{"trigger": "eta/train/event:landed"}]' WHERE id = 'e1'""", "came to nothing"),
    ("UPDATE inbox SET outcome = replace(outcome, '\"run_id\":\"', '\"run_id\":\"x') WHERE id = 'e1'",
     "which is not there"),
    ("UPDATE runs SET event_id = 'e7' WHERE event_id = 'e1'", "which says that it is of"),
    ("INSERT INTO dead_letters SELECT 'x' || id, owner, code, reason, topic, partition, \"offset\", event_source,"
     " event_id, event_type, '', project, principal, raw, headers, received_us, state, resolved_by, resolved_us, run_id"
     " FROM dead_letters WHERE trigger = ''", "has 2 dead letters"),
    ("DELETE FROM dead_letters WHERE trigger <> ''", "became dead letter"),
    ("DELETE FROM dead_letters WHERE trigger = ''", "has 0 dead letters"),
    ("UPDATE inbox SET outcome = 'null' WHERE type = 'run.start'", "has no outcome that names it"),
    ("UPDATE log SET causation = NULL", "has 0 answers"),
    ("UPDATE inbox SET duplicates = 0", "counts 0 duplicates, and 1 came"),
    ("DELETE FROM inbox WHERE id = 'e2'", "ended as nothing"),
    ("UPDATE steps SET state = 'WAITING'", "is WAITING with a SUCCEEDED attempt"),
    ("UPDATE log SET seq = 99 WHERE seq = 2", "at seq"),
    ("DELETE FROM log WHERE position = 2", "positions [2] are missing"),
    ("UPDATE leases SET state = 'HELD'", "holds device d1"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "line"), BROKEN_ROWS, ids=[line for _, line in BROKEN_ROWS])
def test_broken_rows_are_found(kept: Store, sql: str, line: str) -> None:
    with kept.engine.begin() as connection:
        assert connection.execute(sa.text(sql)).rowcount
    assert line in " | ".join(judged(kept.evidence()))


def another_success(kept: Store) -> None:
    (attempt,) = rows_of(kept.url).attempts
    kept.put("attempts", msgspec.structs.replace(attempt, fence=attempt.fence + 1, number=2))


def another_lease(kept: Store) -> None:
    (lease,) = rows_of(kept.url).leases
    whole = msgspec.structs.replace(lease, state="RELEASING", milli=1_000)
    kept.put("leases", whole)
    kept.put("leases", msgspec.structs.replace(whole, fence=lease.fence + 1, milli=500))


def a_gathering_without_its_run(kept: Store) -> None:
    kept.put("gatherings", a_gathering(state="STARTED", run_id="nowhere"))


def a_gathering_that_ended_in_silence(kept: Store) -> None:
    kept.put("gatherings", a_gathering(state="ENDED"))


def two_causes(kept: Store) -> None:
    run = next(run for run in rows_of(kept.url).runs if run.event_id == "e1")
    kept.put("gatherings", a_gathering(state="STARTED", run_id=run.id))


def a_gathering(**fields: Any) -> Gathering:
    return Gathering(id="g1", trigger="t", project="eta", key="", opened_us=1, due_us=2, **fields)


@pytest.mark.parametrize(
    ("breaks", "line"),
    [
        (another_success, "has 2 SUCCEEDED attempts"),
        (another_lease, "device d1 has the live leases"),
        (a_gathering_without_its_run, "started run nowhere"),
        (a_gathering_that_ended_in_silence, "no word of the log and no dead letter"),
        (two_causes, "has 2 causes"),
    ],
)
def test_rows_too_many_are_found(kept: Store, breaks: Callable[[Store], None], line: str) -> None:
    breaks(kept)
    assert line in " | ".join(judged(kept.evidence()))


def lose_one(records: list[Recorded]) -> list[Recorded]:
    return records[1:]


def swap_two(records: list[Recorded]) -> list[Recorded]:
    return [records[1], records[0], *records[2:]]


def change_one(records: list[Recorded]) -> list[Recorded]:
    return [replace(records[0], value=(records[0].value or b"").replace(b"eta", b"beta")), *records[1:]]


def repeat_another(records: list[Recorded]) -> list[Recorded]:
    return [*records, *change_one(records[:1])]


def invent_one(records: list[Recorded]) -> list[Recorded]:
    return [*records, Recorded(99, None, b"no event")]


@pytest.mark.parametrize(
    ("breaks", "line"),
    [
        (lose_one, "is marked as published"),
        (swap_two, "came before it"),
        (change_one, "something else than the log has"),
        (repeat_another, "with other bytes"),
        (invent_one, "holds what is no event"),
    ],
)
def test_a_projection_that_is_not_the_log_is_found(
    kept: Store, breaks: Callable[[list[Recorded]], list[Recorded]], line: str
) -> None:
    seen = kept.evidence()
    runs = ("headwater.runs", 0)
    broken = replace(seen, topics={**seen.topics, runs: breaks(seen.topics[runs])})
    assert line in " | ".join(judged(broken))


def test_what_was_said_twice_is_published_twice_and_no_violation(kept: Store) -> None:
    seen = kept.evidence()
    runs = ("headwater.runs", 0)
    again = replace(seen, topics={**seen.topics, runs: seen.topics[runs] + seen.topics[runs][-3:]})
    assert judged(again) == []


def test_duplicates_whose_records_retention_took_are_no_violation(kept: Store) -> None:
    seen = kept.evidence()
    came_again = [one for one in kept.records if one.offset > 0 and one.value == kept.records[0].value]
    after = came_again[0].offset + 1
    left = {**seen.topics, LANDED: [one for one in kept.records if one.offset >= after]}
    assert judged(replace(seen, topics=left, begins={LANDED: after})) == []
    assert "counts 1 duplicates, and 0 came" in " | ".join(judged(replace(seen, topics=left)))


def test_a_duplicate_that_nobody_counted_is_found_although_retention_took_records(kept: Store) -> None:
    with kept.engine.begin() as connection:
        connection.execute(sa.text("UPDATE inbox SET duplicates = 0"))
    begun = replace(kept.evidence(), begins={LANDED: 1})
    assert "counts 0 duplicates, and 1 came" in " | ".join(judged(begun))
