"""Pages and details as the API reads them."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from scenes.store import T0, Story, a_flow, a_run, a_step, accepted, an_attempt, run_id, started, succeeded

from headwater.core.inventory import ModelVersion
from headwater.core.records.inbox import InboxRow, Offset
from headwater.errors import InvalidInput
from headwater.store.queries import Queries
from headwater.store.run_search import RunFilter
from headwater.store.scope import Scope
from headwater.store.writer import Writer
from headwater.wire.entries.events import CommandRefused, EventPublished
from headwater.wire.terms import Failure
from headwater.wire.types import Said

RUN = run_id(1)
NUMBER_OF = {run_id(number): number for number in range(10)}


@pytest.fixture
def story(bare_url: str, tmp_path: Path) -> Iterator[Story]:
    one = Story(tmp_path, url=bare_url)
    yield one
    one.close()


@pytest.fixture
def queries(story: Story) -> Iterator[Queries]:
    reader = story.reader()
    yield Queries(reader)
    reader.dispose()


def test_a_page_of_the_log_says_how_far_its_scope_was_read(story: Story, queries: Queries) -> None:
    for number in range(6):
        story.say(started(), run=run_id(number % 2))
    page = queries.log(Scope(run_id=run_id(1)), after=0, upto=6, limit=2)
    assert ([entry.position for entry in page.entries], page.through) == ([2, 4], 4)
    rest = queries.log(Scope(run_id=run_id(1)), after=page.through, upto=6, limit=2)
    assert ([entry.position for entry in rest.entries], rest.through) == ([6], 6)


def test_the_last_word_of_a_run_tells_whether_it_ended(story: Story, queries: Queries) -> None:
    story.say(accepted(), run=RUN)
    last = queries.last_of_run(RUN)
    assert last is not None
    assert last.type == "run.accepted"
    story.say(succeeded(), run=RUN)
    last = queries.last_of_run(RUN)
    assert last is not None
    assert (last.type, last.position) == ("run.succeeded", 2)
    assert queries.last_of_run("nope") is None


def test_listings_by_key_go_on_where_the_page_before_ended(story: Story, queries: Queries) -> None:
    for name in ("b", "a", "c"):
        story.put("flows", a_flow(name))
    first = queries.flows(limit=2)
    assert [flow.name for flow in first.items] == ["a", "b"]
    rest = queries.flows(after=first.next, limit=2)
    assert ([flow.name for flow in rest.items], rest.next) == (["c"], None)


def test_a_place_in_no_listing_is_refused(queries: Queries) -> None:
    with pytest.raises(InvalidInput, match="no place in this listing"):
        queries.flows(after="eta")


def test_runs_are_narrowed_by_what_is_given(story: Story, queries: Queries) -> None:
    story.put("runs", a_run(1, project="etl", state="FAILED"))
    story.put("runs", a_run(2, state="FAILED"))
    story.put("runs", a_run(3))
    found = queries.runs(RunFilter(project="eta", state="FAILED"))
    assert [run.id for run in found.items] == [run_id(2)]


def test_runs_are_found_by_time_parameter_and_the_words_of_their_failure(engine: sa.Engine) -> None:
    writer, queries = Writer(engine, "conductor"), Queries(engine)
    writer.take_epoch()
    runs = {run_id(n): a_run(n, parameters={"n": n % 2, "day": "monday", "deep": {"x": 1}}) for n in range(1, 7)}
    writer.commit({"runs": runs})
    failure = Failure(kind="exception", message="There is no column 'speed'.", cause_type="KeyError", step="fit")
    writer.commit({"runs": {run_id(3): msgspec.structs.replace(runs[run_id(3)], state="FAILED", failure=failure)}})

    def found(**by: Any) -> list[int]:
        return [NUMBER_OF[run.id] for run in queries.runs(RunFilter(**by)).items]

    assert found(parameters=("n=1",)) == [5, 3, 1]
    assert found(parameters=("n=1", "day=monday"), flow="train_delay", until_us=T0 + 5) == [3, 1]
    assert found(since_us=T0 + 3, until_us=T0 + 5) == [4, 3]
    assert found(error="KeyError speed") == found(error="fit", state="FAILED") == [3]
    assert found(error="keyerror delay") == found(parameters=("deep=x",)) == []
    first = queries.runs(RunFilter(parameters=("day=monday",)), limit=4)
    rest = queries.runs(RunFilter(parameters=("day=monday",)), after=first.next, limit=4)
    assert [NUMBER_OF[run.id] for run in [*first.items, *rest.items]] == [6, 5, 4, 3, 2, 1]
    with pytest.raises(InvalidInput, match="names no value"):
        found(parameters=("day",))


def test_runs_and_what_was_said_of_them_are_found_by_their_labels(engine: sa.Engine) -> None:
    writer, queries = Writer(engine, "conductor"), Queries(engine)
    writer.take_epoch()
    runs = {
        run_id(n): a_run(n, labels={"team": "a" if n % 2 else "b", "kind": "nightly"} if n < 4 else {})
        for n in range(1, 6)
    }
    said = [
        Said(body=started(), subject=run.id, project="eta", principal="p", time_us=T0, run_id=run.id, seq=1,
             labels=run.labels or None)
        for run in runs.values()
    ]  # fmt: skip
    told = writer.commit({"runs": runs}, said)
    found = queries.runs(RunFilter(labels=("team=a", "kind=nightly"))).items
    assert [(NUMBER_OF[run.id], run.labels["team"]) for run in found] == [(3, "a"), (1, "a")]
    page = queries.log(Scope(labels=(("team", "a"),)), after=0, upto=9)
    assert page.entries == [told[0], told[2]]
    assert told[3].labels is None
    with pytest.raises(InvalidInput, match="no label"):
        queries.runs(RunFilter(labels=("team",)))


@pytest.mark.parametrize(
    "by",
    [
        {},
        {"project": "eta"},
        {"flow": "f"},
        {"state": "FAILED"},
        {"parameters": ("a=1", "b=2")},
        {"labels": ("a=1",)},
        {"error": "a b"},
    ],
    ids=str,
)
def test_a_page_of_runs_is_a_walk_along_an_index_however_it_is_narrowed(tmp_path: Path, by: dict[str, Any]) -> None:
    """SQLite says how it goes about: no page sorts, or reads a whole table."""
    with closing(Story(tmp_path)) as story:
        engine = story.reader()
        statement = RunFilter(**by).page(before=run_id(9), limit=50)
        text = str(statement.compile(engine, compile_kwargs={"literal_binds": True}))
        with engine.connect() as connection:
            plan = " ".join(row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}"))
        engine.dispose()
    assert "SEARCH" in plan
    assert "SCAN" not in plan, plan
    assert "TEMP B-TREE" not in plan, plan


def test_a_run_comes_with_its_attempts_and_models_as_of_one_position(story: Story, queries: Queries) -> None:
    story.put("runs", a_run(1))
    step = a_step(RUN, 0)
    story.put("steps", step)
    for number in (1, 2):
        story.put("attempts", an_attempt(step, number, number=number))
    story.put("model_versions", a_model(RUN))
    story.say(accepted(), run=RUN)
    found = queries.run(RUN)
    assert found is not None
    assert [attempt.number for attempt in found.steps[0].attempts] == [1, 2]
    assert [(model.name, model.version) for model in found.models] == [("delay", 1)]
    assert found.cursor == "e1:1"
    assert queries.run("nope") is None


def test_a_command_is_pending_until_an_entry_answers_it(story: Story, queries: Queries) -> None:
    assert queries.command("c1").state == "pending"
    story.say(CommandRefused(command="quota.apply", code="bad_tree", reason="No cohort"), causation="/v1/c1")
    found = queries.command("c1")
    assert queries.command("/v1/c1").state == "refused"
    assert (found.state, found.code, found.reason) == ("refused", "bad_tree", "No cohort")


def test_an_event_type_tells_who_publishes_it_and_its_last_example(story: Story, queries: Queries) -> None:
    for number, source in enumerate(("/a", "/b", "/a")):
        story.put("inbox", an_event(f"e{number}", source=source, received_us=T0 + number, data={"n": number}))
    story.put("inbox", an_event("c1", type="run.start", topic=""))
    (found,) = queries.event_types()
    assert (found.type, found.publishers, found.seen) == ("flights.landed", ("/a", "/b"), 3)
    assert (found.last_seen_us, found.example) == (T0 + 2, {"n": 2})


def test_what_flows_publish_is_an_event_type_too(story: Story, queries: Queries) -> None:
    for number in range(2):
        story.say(EventPublished(event_id=f"e{number}", event_type="trips.scored", data={"n": number}), run=RUN)
    (found,) = queries.event_types()
    assert (found.type, found.publishers, found.seen, found.example) == (
        "trips.scored", ("headwater/eta",), 2, {"n": 1}
    )  # fmt: skip


def test_what_the_relay_marked_is_published(story: Story, queries: Queries) -> None:
    assert queries.relayed() == 0
    story.put("offsets", Offset(owner="conductor", topic="relay", partition=0, next=42))
    assert queries.relayed() == 41


def an_event(event_id: str, **fields: object) -> InboxRow:
    known = {
        "owner": "conductor", "source": "/a", "id": event_id, "sha256": "", "type": "flights.landed", "project": "eta",
        "principal": "topic:headwater.events", "topic": "headwater.events", "received_us": T0,
    }  # fmt: skip
    return InboxRow(**{**known, **fields})  # type: ignore[arg-type]


def a_model(run: str) -> ModelVersion:
    return ModelVersion(
        name="delay", version=1, project="eta", digest="d", runtime="onnx", signature={}, metrics={"mae": 3.0},
        size_bytes=1, run_id=run, ordinal=1, code_version="c1", tables={}, principal="p", registered_us=T0,
    )  # fmt: skip
