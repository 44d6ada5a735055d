"""What projects store is charged once, told of, and refused by name where there is no room."""

from __future__ import annotations

from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes.conductor import Scene, a_step, delivered

from headwater.core.conductor import messages as m
from headwater.core.records.steps import StepState
from headwater.core.records.storage import StorageUse, StoredArtifact
from headwater.core.storage import level_of, total_of
from headwater.core.turn import Turn
from headwater.wire import calls
from headwater.wire.entries.quota import QuotaChanged, QuotaStorage
from headwater.wire.entries.steps import StepFailed
from headwater.wire.entries.tables import TableCommitted
from headwater.wire.types import AnyBody, Entry

ONE, OTHER = "1" * 64, "2" * 64


class Storing(Scene):
    """A run of project eta, which may store 1,000 bytes."""

    def __init__(self, limit_bytes: int | None = 1000) -> None:
        super().__init__()
        self.run_id = self.a_running_run()
        self.tell(m.WorkerJoined("w1", "n1"))
        self.position = 0
        self.limit(limit_bytes)

    def limit(self, limit_bytes: int | None) -> Turn:
        eta = {} if limit_bytes is None else {"storage": limit_bytes}
        return self.follow(QuotaChanged(version=2, tree={"cohort": {"lab": {"projects": {"eta": eta}}}}))

    def follow(self, body: AnyBody) -> Turn:
        self.position = self.state.cursor + 1
        entry = Entry(
            position=self.position, body=body, subject="s", project="eta", principal="headwater", time_us=self.now_us
        )
        return self.tell(m.Followed((entry,), self.position))

    def end(self, ordinal: int, digest: str | None, size_bytes: int, charged: tuple[StoredArtifact, ...] = ()) -> Turn:
        """A step that gives back so much."""
        self.issue(self.run_id, a_step(ordinal, gpus_milli=1000, retries=3))
        fence = self.grant(f"{self.run_id}/{ordinal}", f"n1/{ordinal}").answer[0].fence
        payload = calls.Payload(digest=digest, size_bytes=size_bytes, inline=None if digest else b"x")
        outcome = calls.Outcome(payload=payload)
        report = calls.Report(fence=fence, worker="w1", started_us=1, ended_us=2, outcome=outcome, seen_empty=True)
        return self.tell(m.Reported((report,), charged))

    def use(self) -> tuple[int, int, int, str]:
        use = self.state.storage["eta"]
        return use.artifacts_bytes, use.tables_bytes, use.logs_bytes, use.level

    def levels(self) -> list[str]:
        return [word.body.level for word in self.said if isinstance(word.body, QuotaStorage)]


def a_commit(stored: dict[str, int]) -> TableCommitted:
    return TableCommitted(
        table="lake.trips", snapshot_id=1, previous_snapshot_id=None, metadata_location="m", operation="append",
        rows_added=1, rows_total=1, stored=stored,
    )  # fmt: skip


def test_an_artifact_is_charged_once_however_many_steps_give_it_back() -> None:
    scene = Storing()
    scene.end(0, ONE, 300)
    scene.end(1, ONE, 300)
    assert scene.use() == (300, 0, 0, "ok")
    assert scene.rows["stored_artifacts"]["eta", ONE].size_bytes == 300


def test_one_that_the_rows_know_as_charged_is_not_charged_again() -> None:
    scene = Storing()
    known = StoredArtifact(project="eta", digest=ONE, size_bytes=300, charged_us=1)
    scene.end(0, ONE, 300, (known,))
    assert "eta" not in scene.state.storage
    scene.end(1, OTHER, 300, (msgspec.structs.replace(known, digest=OTHER, project="flights"),))
    assert scene.use() == (300, 0, 0, "ok")  # what another project has is charged to each in full


def test_a_small_result_lies_in_its_row_and_always_has_room() -> None:
    scene = Storing(limit_bytes=0)
    scene.end(0, None, 40)
    assert scene.state.steps[f"{scene.run_id}/0"].state is StepState.SUCCEEDED


def test_a_result_that_does_not_fit_is_refused_by_name_and_leaves_nothing() -> None:
    scene = Storing()
    scene.end(0, ONE, 900)
    turn = scene.end(1, OTHER, 101)
    step = scene.state.steps[f"{scene.run_id}/1"]
    assert step.state is StepState.FAILED  # though it had retries left: it would be refused again
    [failed] = [word.body for word in turn.said if isinstance(word.body, StepFailed)]
    assert failed.failure.kind == "refused"
    names = (
        "Project eta may store 1,000 bytes",
        "has 900 bytes",
        "result of step fit of 101 bytes",
        "artifacts collect",
    )
    for said in names:
        assert said in failed.failure.message
    assert delivered(turn)[1].failure is not None
    assert scene.use() == (900, 0, 0, "warned")
    assert ("eta", OTHER) not in scene.state.stored
    assert scene.state.attempts.get(2) is None or scene.state.attempts[2].artifact is None


def test_each_new_level_is_said_once() -> None:
    scene = Storing()
    scene.end(0, ONE, 700)
    scene.follow(a_commit({"eta": 99}))
    assert scene.levels() == []
    scene.follow(a_commit({"eta": 1}))
    scene.follow(a_commit({"eta": 100}))
    scene.tell(m.LogsCounted({"eta": 150, "other": 1}))
    assert scene.use() == (700, 200, 150, "full")
    assert scene.levels() == ["warned", "full"]
    scene.limit(10_000)
    scene.limit(None)
    assert scene.levels() == ["warned", "full", "ok"]


def test_what_a_collection_took_is_charged_no_more() -> None:
    scene = Storing()
    scene.end(0, ONE, 950)
    charged = scene.state.stored["eta", ONE]
    assert scene.tell(m.ArtifactsGone((charged,))).answer == 1
    assert scene.use() == (0, 0, 0, "ok")
    assert scene.rows["stored_artifacts"]["eta", ONE] is None
    scene.end(1, ONE, 950)
    assert scene.use() == (950, 0, 0, "warned")


def test_a_model_that_does_not_fit_is_refused_and_not_asked_of_the_registry() -> None:
    scene = Storing()
    turn = scene.issue(scene.run_id, registering(0, ONE, 1001))
    failure = delivered(turn)[0].failure
    assert failure is not None
    assert failure.kind == "refused"
    assert "model.requested" not in scene.types()
    scene.issue(scene.run_id, registering(1, ONE, 1000))
    assert "model.requested" in scene.types()
    assert scene.use() == (1000, 0, 0, "full")


def test_what_is_charged_goes_back_with_a_decision_that_did_not_land() -> None:
    scene = Storing()
    mark = scene.state.book.mark()
    scene.machine.decide(m.LogsCounted({"eta": 900}), 9)
    scene.state.book.rollback(mark)
    assert "eta" not in scene.state.storage


def registering(ordinal: int, digest: str, size_bytes: int) -> calls.Command:
    call = calls.RegisterCall(name="eta", digest=digest, runtime="onnx", size_bytes=size_bytes)
    return calls.Command(ordinal=ordinal, name="eta", key=f"eta#{ordinal}", call=call)


DONE = st.one_of(
    st.tuples(st.just("end"), st.sampled_from("abc"), st.just(300)),
    st.tuples(st.just("gone"), st.sampled_from("abc"), st.just(0)),
    st.tuples(st.just("write"), st.just(""), st.integers(-200, 200)),
    st.tuples(st.just("logs"), st.just(""), st.integers(0, 200)),
    st.tuples(st.just("limit"), st.just(""), st.integers(0, 1500)),
)


@settings(deadline=None, max_examples=30)
@given(st.lists(DONE, max_size=12))
def test_the_account_is_what_its_rows_add_up_to_whatever_happens(done: list[tuple[str, str, int]]) -> None:
    scene, limit_bytes = Storing(), 1000
    for ordinal, (what, name, size_bytes) in enumerate(done):
        before = total_of(scene.state.storage.get("eta") or StorageUse(project="eta"))
        digest, was_there = name * 64, scene.rows.get("stored_artifacts", {}).get(("eta", name * 64))
        match what:
            case "end":
                scene.end(ordinal, digest, size_bytes)
                is_there = scene.rows.get("stored_artifacts", {}).get(("eta", digest)) is not None
                assert is_there == (was_there is not None or before + size_bytes <= limit_bytes)
            case "gone" if was_there is not None:
                scene.tell(m.ArtifactsGone((was_there,)))
            case "write":
                scene.follow(a_commit({"eta": size_bytes}))
            case "logs":
                scene.tell(m.LogsCounted({"eta": size_bytes}))
            case "limit":
                limit_bytes = size_bytes
                scene.limit(limit_bytes)
        use = scene.state.storage.get("eta") or StorageUse(project="eta")
        rows = [row for row in scene.rows.get("stored_artifacts", {}).values() if row is not None]
        assert use.artifacts_bytes == sum(row.size_bytes for row in rows)
        assert use.level == level_of(use, limit_bytes)
    told = ["ok", *scene.levels()]
    assert all(one != other for one, other in pairwise(told))
