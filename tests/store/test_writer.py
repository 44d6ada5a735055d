"""The one way into the store, on both databases: numbering, fencing, all or nothing, and what is in doubt."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from headwater.core.records.inbox import DeadLetter, Offset
from headwater.core.records.steps import Step, StepState
from headwater.core.records.triggers import Timer
from headwater.store.engine import create, open_engine, sqlite_path, sqlite_url
from headwater.store.reader import Reader
from headwater.store.schema import DEAD_LETTERS, OWNERS
from headwater.store.writer import CommitFailed, Fenced, Objected, Unwritable, Writer
from headwater.wire.calls import Payload
from headwater.wire.entries.events import CommandRefused
from headwater.wire.terms import Demand
from headwater.wire.types import Said

COMMITS = 24


def a_writer(engine: sa.Engine, owner: str = "conductor") -> Writer:
    writer = Writer(engine, owner)
    writer.take_epoch()
    return writer


def said(reason: str = "why", **changes: object) -> Said:
    body = CommandRefused(command="c", code="x", reason=reason)
    return Said(body=body, subject="s", project="eta", principal="me", time_us=1, **changes)  # type: ignore[arg-type]


def a_timer(number: int = 1, **changes: object) -> Timer:
    fields = {"id": f"t{number}", "kind": "sleep", "due_us": number, "run_id": "r", "ordinal": number, **changes}
    return Timer(**fields)  # type: ignore[arg-type]


def timers(engine: sa.Engine) -> list[Timer]:
    with Reader(engine).picture() as picture:
        return picture.rows("timers")


def test_entries_are_numbered_from_one_in_the_order_they_were_said(engine: sa.Engine) -> None:
    writer = a_writer(engine)
    first = writer.commit({}, [said("a"), said("b")])
    second = writer.commit({}, [said("c")])
    assert [entry.position for entry in first + second] == [1, 2, 3]
    assert Reader(engine).entries(0) == first + second


def test_a_commit_that_says_nothing_takes_no_position(engine: sa.Engine) -> None:
    a_writer(engine).commit({"timers": {"t1": a_timer()}})
    assert Reader(engine).position() == 0


def test_writers_on_threads_number_the_log_without_gaps(url: str) -> None:
    engines = [open_engine(url) for _ in OWNERS]
    mine: dict[str, list[int]] = {owner: [] for owner in OWNERS}

    def work(owner: str, engine: sa.Engine) -> None:
        writer = a_writer(engine, owner)
        for number in range(COMMITS):
            mine[owner] += [entry.position for entry in writer.commit({}, [said(owner)] * (number % 3))]

    threads = [threading.Thread(target=work, args=pair) for pair in zip(OWNERS, engines, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(position for positions in mine.values() for position in positions) == list(
        range(1, COMMITS * len(OWNERS) + 1)
    )
    assert all(positions == sorted(positions) for positions in mine.values())
    entries = Reader(engines[0]).entries(0)
    assert [entry.position for entry in entries] == list(range(1, len(entries) + 1))
    assert {entry.position for entry in entries if entry.body == said("scheduler").body} == set(mine["scheduler"])
    for engine in engines:
        engine.dispose()


PROCESS = """
import sys
from headwater.store.engine import open_engine
from headwater.store.writer import Writer
from headwater.wire.types import CommandRefused, Said
url, owner, commits = sys.argv[1], sys.argv[2], int(sys.argv[3])
writer = Writer(open_engine(url), owner)
writer.take_epoch()
body = CommandRefused(command="c", code="x", reason=owner)
word = Said(body=body, subject="s", project="eta", principal="me", time_us=1)
for number in range(commits):
    writer.commit({}, [word, word])
"""


def test_writers_in_processes_number_the_log_without_gaps_and_a_follower_misses_none(
    url: str, engine: sa.Engine
) -> None:
    """Whatever a reader sees is the log up to a position: an entry never comes in before one that it has passed."""
    owners, reader, seen = OWNERS[:3], Reader(engine), list[int]()
    processes = [subprocess.Popen([sys.executable, "-c", PROCESS, url, owner, str(COMMITS)]) for owner in owners]
    while any(process.poll() is None for process in processes):
        position = reader.position()
        seen += [entry.position for entry in reader.entries(len(seen))]
        assert position <= len(seen) == (seen[-1] if seen else 0)
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    seen += [entry.position for entry in reader.entries(len(seen))]
    assert seen == list(range(1, 2 * COMMITS * len(owners) + 1))
    with Reader(engine).picture() as picture:
        assert [picture.head[f"{owner}_commits"] for owner in owners] == [COMMITS] * 3


KILLED = """
import os, signal, sys
from headwater.store.engine import open_engine
from headwater.store.writer import Writer
from headwater.wire.types import CommandRefused, Said
writer = Writer(open_engine(sys.argv[1]), "conductor")
writer.take_epoch()
body = CommandRefused(command="c", code="x", reason="r")
word = Said(body=body, subject="s", project="eta", principal="me", time_us=1)
for number in range(1_000_000):
    writer.commit({}, [word] * (number % 3))
    os.write(1, b"%d\\n" % (number % 3))
"""


def test_after_a_kill_all_that_was_acknowledged_is_there_and_the_next_writer_goes_on(
    url: str, engine: sa.Engine
) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED, url], stdout=subprocess.PIPE) as writing:
        assert writing.stdout is not None
        acknowledged = sum(int(writing.stdout.readline()) for _ in range(40))
        writing.kill()
        acknowledged += sum(int(line) for line in writing.stdout if line.endswith(b"\n"))
    path = sqlite_path(url)
    if path is not None:  # pages that the power cut left half written lie behind the last commit of the journal
        with path.with_name("store.db-wal").open("ab") as journal:
            journal.write(os.urandom(10_000))
        with engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    reader = Reader(engine)
    kept = reader.position()
    assert acknowledged <= kept <= acknowledged + 2
    assert [entry.position for entry in a_writer(engine).commit({}, [said()])] == [kept + 1]
    assert [entry.position for entry in reader.entries(0, limit=10_000)] == list(range(1, kept + 2))


def test_a_writer_that_was_taken_over_writes_nothing(engine: sa.Engine) -> None:
    old = a_writer(engine)
    new = a_writer(engine)
    with pytest.raises(Fenced, match="epoch 1 was taken over"):
        old.commit({"timers": {"t1": a_timer()}}, [said()])
    assert (timers(engine), Reader(engine).position()) == ([], 0)
    new.commit({"timers": {"t2": a_timer(2)}}, [said()])
    assert timers(engine) == [a_timer(2)]


def test_owners_do_not_fence_one_another(engine: sa.Engine) -> None:
    conductor = a_writer(engine)
    a_writer(engine, "scheduler")
    assert [entry.position for entry in conductor.commit({}, [said()])] == [1]


def test_a_takeover_waits_for_the_commit_in_flight(url: str, engine: sa.Engine) -> None:
    old, other = a_writer(engine), open_engine(url)
    inside, taken, steps = threading.Event(), threading.Event(), list[str]()

    def guard(connection: sa.Connection) -> str:
        inside.set()
        assert not taken.wait(0.2)
        steps.append("committed")
        return ""

    def take_over() -> None:
        inside.wait(10)
        new = Writer(other, "conductor")
        new.take_epoch()
        taken.set()
        steps.append(f"took over after {new.commits}")

    thread = threading.Thread(target=take_over)
    thread.start()
    old.commit({"timers": {"t1": a_timer()}}, [said()], [guard])
    thread.join()
    other.dispose()
    assert steps == ["committed", "took over after 1"]


def test_a_guard_that_objects_leaves_nothing_behind(engine: sa.Engine) -> None:
    writer = a_writer(engine)
    with pytest.raises(Objected) as objected:
        writer.commit({"timers": {"t1": a_timer()}}, [said()], [lambda _: "", lambda _: "no place"])
    assert (objected.value.index, objected.value.reason) == (1, "no place")
    assert (timers(engine), Reader(engine).position()) == ([], 0)
    assert not writer.landed()
    assert [entry.position for entry in writer.commit({}, [said()])] == [1]


def test_what_cannot_be_encoded_is_not_written(engine: sa.Engine) -> None:
    writer = a_writer(engine)
    for word, row in ((said("\ud800"), a_timer()), (said(), a_timer(due_us=1 << 70)), (said(), a_timer(kind="\ud800"))):
        with pytest.raises(Unwritable):
            writer.commit({"timers": {"t1": row}}, [word])
    assert (timers(engine), Reader(engine).position()) == ([], 0)
    assert [entry.position for entry in writer.commit({}, [said()])] == [1]


def test_a_row_is_put_over_the_one_of_its_key_and_taken_away(engine: sa.Engine) -> None:
    writer = a_writer(engine)
    writer.commit({"timers": {"t1": a_timer(), "t2": a_timer(2)}})
    writer.commit({"timers": {"t1": a_timer(due_us=99), "t2": None, "never": None}})
    assert timers(engine) == [a_timer(due_us=99)]


def test_what_never_changes_is_written_once(engine: sa.Engine) -> None:
    writer = a_writer(engine)
    step = Step(
        id="r/1",
        run_id="r",
        ordinal=1,
        project="eta",
        name="fit",
        function="flow:fit",
        code_version="v1",
        state=StepState.WAITING,
        demand=Demand(),
        arguments=Payload(),
        created_us=1,
    )
    writer.commit({"steps": {step.id: step}})
    later = msgspec.structs.replace(step, state=StepState.LEASED, attempts=1)
    writer.commit({"steps": {step.id: msgspec.structs.replace(later, run_id="another", ordinal=9)}})
    with Reader(engine).picture() as picture:
        assert picture.rows("steps") == [later]


def test_a_row_with_several_keys_is_taken_away_by_all_of_them(engine: sa.Engine) -> None:
    writer = a_writer(engine)
    rows = {
        ("conductor", "t", part): Offset(owner="conductor", topic="t", partition=part, next=part) for part in (0, 1)
    }
    writer.commit({"offsets": rows})
    writer.commit({"offsets": {("conductor", "t", 0): None}})
    with Reader(engine).picture() as picture:
        assert picture.rows("offsets") == [rows["conductor", "t", 1]]


def test_a_number_of_a_run_is_given_once(engine: sa.Engine) -> None:
    writer = a_writer(engine)
    writer.commit({}, [said(run_id="r", seq=1)])
    with pytest.raises(CommitFailed):
        writer.commit({}, [said(run_id="r", seq=1)])
    assert not writer.landed()


# In doubt. The faults are the driver's: an error before the commit reached the file, or after.


def test_an_error_before_the_commit_did_not_land(engine: sa.Engine) -> None:
    writer = a_writer(engine)

    @sa.event.listens_for(engine, "commit", once=True)
    def broken(connection: sa.Connection) -> None:
        raise sa.exc.OperationalError("COMMIT", {}, OSError("disk I/O error"))

    with pytest.raises(CommitFailed, match="disk I/O error"):
        writer.commit({"timers": {"t1": a_timer()}}, [said()])
    assert not writer.landed()
    assert timers(engine) == []
    assert [entry.position for entry in writer.commit({"timers": {"t1": a_timer()}}, [said()])] == [1]


def test_an_error_after_the_commit_did_land(engine: sa.Engine) -> None:
    writer = a_writer(engine)

    @sa.event.listens_for(engine, "commit", once=True)
    def broken(connection: sa.Connection) -> None:
        connection.exec_driver_sql("COMMIT")
        raise sa.exc.OperationalError("COMMIT", {}, OSError("the answer was lost"))

    with pytest.raises(CommitFailed):
        writer.commit({"timers": {"t1": a_timer()}}, [said()])
    assert writer.landed()
    assert timers(engine) == [a_timer()]
    assert [entry.position for entry in writer.commit({}, [said()])] == [2]


def test_doubt_is_settled_each_time_anew(engine: sa.Engine) -> None:
    writer = a_writer(engine)
    assert not writer.landed()
    writer.commit({}, [said()])
    assert not writer.landed()
    assert writer.epoch == 3


def test_a_writer_in_doubt_leaves_the_one_that_took_over_alone(engine: sa.Engine) -> None:
    old = a_writer(engine)
    new = a_writer(engine)
    with pytest.raises(Fenced):
        old.landed()
    assert [entry.position for entry in new.commit({}, [said()])] == [1]


# The file.


def test_the_file_belongs_to_its_user_alone(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "store.db")
    create(url, store_epoch="one")
    engine = open_engine(url)
    a_writer(engine).commit({}, [said()])
    names = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert {"store.db", "store.lock"} <= set(names)
    assert set(names.values()) == {0o600}
    engine.dispose()


def test_creating_the_store_again_keeps_it(url: str, engine: sa.Engine) -> None:
    a_writer(engine).commit({"timers": {"t1": a_timer()}}, [said()])
    create(url, store_epoch="two")
    with Reader(engine).picture() as picture:
        assert (picture.store_epoch, picture.position, picture.rows("timers")) == ("one", 1, [a_timer()])


def test_a_read_only_engine_refuses_to_write(url: str) -> None:
    reader = open_engine(url, read_only=True)
    with pytest.raises(sa.exc.DBAPIError, match=r"(?i)read.?only"), reader.begin() as connection:
        connection.exec_driver_sql("DELETE FROM log_head")
    assert Reader(reader).position() == 0
    reader.dispose()


def test_raw_bytes_and_odd_text_come_back_as_they_were(engine: sa.Engine) -> None:
    letter = DeadLetter(
        id="d", owner="conductor", code="x", reason="żółw\n'\"", topic="t", raw=bytes(range(256)), received_us=1
    )
    a_writer(engine).commit({"dead_letters": {"d": letter}})
    with Reader(engine).picture() as picture:
        assert picture.rows("dead_letters") == [letter]


def test_a_nul_in_a_text_costs_no_row(engine: sa.Engine) -> None:
    """PostgreSQL's text cannot hold one: there it is kept, and found, as the symbol for it."""
    letter = DeadLetter(id="d\0", owner="conductor", code="x", reason="a\0b", topic="t", raw=b"\0", received_us=1)
    a_writer(engine).commit({"dead_letters": {"d\0": letter}})
    shown = "\0" if engine.dialect.name == "sqlite" else "\N{SYMBOL FOR NULL}"
    with Reader(engine).picture() as picture:
        (found,) = picture.rows("dead_letters", DEAD_LETTERS.c.id == "d\0")
    assert (found.id, found.reason, found.raw) == (f"d{shown}", f"a{shown}b", b"\0")


def test_many_rows_come_back_as_they_were_however_they_travel(engine: sa.Engine) -> None:
    odd = ["", "null", 'it\'s "so"', "\\u0041", "a\nb\t", "\N{SNOWMAN}\N{GRINNING FACE}", "{}", "x" * 5_000]
    wanted = {f"t{n}": a_timer(n, kind=odd[n % len(odd)], due_us=-(1 << 62) + n) for n in range(3 * len(odd))}
    words = [said(odd[n % len(odd)]) for n in range(3 * len(odd))]
    entries = a_writer(engine).commit({"timers": wanted}, words)
    assert {timer.id: timer for timer in timers(engine)} == wanted
    assert Reader(engine).entries(0) == entries


def test_among_many_rows_too_one_that_cannot_be_encoded_writes_none(engine: sa.Engine) -> None:
    writer = a_writer(engine)
    rows = {f"t{n}": a_timer(n) for n in range(20)} | {"odd": a_timer(21, id="odd", kind="\ud800")}
    with pytest.raises(Unwritable):
        writer.commit({"timers": rows})
    assert timers(engine) == []
