"""Ledgers and groups go back to any mark, exactly."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headwater.core.ledger import Book, Groups, Ledger

KEYS = st.sampled_from("abc")
VALUES = st.integers(0, 3)


class AnyChanges(RuleBasedStateMachine):
    """Every state ever marked is remembered beside its mark; what is durable is kept as a store would keep it."""

    def __init__(self) -> None:
        super().__init__()
        self.book = Book()
        self.written: Ledger[str, int] = Ledger(self.book, "numbers")
        self.memory: Ledger[str, int] = Ledger(self.book)
        self.groups: Groups[str, int] = Groups(self.book)
        self.marks: list[tuple[int, Any]] = []
        self.store: dict[str, int] = {}

    def seen(self) -> Any:
        groups = [(group, self.groups.of(group)) for group in self.groups.groups()]
        return [{key: ledger[key] for key in ledger} for ledger in (self.written, self.memory)], groups

    @rule(key=KEYS, value=VALUES, written=st.booleans())
    def put(self, key: str, value: int, written: bool) -> None:
        (self.written if written else self.memory).put(key, value)

    @rule(key=KEYS, written=st.booleans())
    def remove(self, key: str, written: bool) -> None:
        (self.written if written else self.memory).remove(key)

    @rule(group=KEYS, member=VALUES)
    def add(self, group: str, member: int) -> None:
        self.groups.add(group, member)

    @rule(group=KEYS, member=VALUES)
    def discard(self, group: str, member: int) -> None:
        self.groups.discard(group, member)

    @rule()
    def mark(self) -> None:
        self.marks.append((self.book.mark(), self.seen()))

    @precondition(lambda self: self.marks)
    @rule(pick=st.integers(0, 100))
    def roll_back_to_a_mark(self, pick: int) -> None:
        del self.marks[pick % len(self.marks) + 1 :]
        mark, seen = self.marks[-1]
        self.book.rollback(mark)
        assert self.seen() == seen

    @rule()
    def roll_back_to_what_is_durable(self) -> None:
        self.book.rollback()
        self.marks.clear()
        assert {key: self.written[key] for key in self.written} == self.store
        assert self.book.changes() == {}

    @rule()
    def settle(self) -> None:
        for key, value in self.book.changes().get("numbers", {}).items():
            if value is None:
                self.store.pop(key, None)
            else:
                self.store[key] = value
        self.book.settle()
        self.marks.clear()

    @invariant()
    def changes_are_the_last_value_of_each_key(self) -> None:
        changes = self.book.changes()
        assert set(changes) <= {"numbers"}
        for key, value in changes.get("numbers", {}).items():
            assert value == self.written.get(key)
        after = {**self.store, **changes.get("numbers", {})}
        assert {key: value for key, value in after.items() if value is not None} == self.seen()[0][0]


TestAnyChanges = AnyChanges.TestCase
TestAnyChanges.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_a_member_comes_back_to_its_old_place() -> None:
    book = Book()
    groups: Groups[str, str] = Groups(book)
    for member in "abc":
        groups.add("g", member)
    book.settle()
    groups.discard("g", "b")
    groups.discard("g", "a")
    book.rollback()
    assert groups.of("g") == ["a", "b", "c"]


def test_a_group_comes_back_to_its_old_place() -> None:
    book = Book()
    groups: Groups[str, str] = Groups(book)
    for group in "abc":
        groups.add(group, "m")
    book.settle()
    groups.discard("a", "m")
    book.rollback()
    assert groups.groups() == ["a", "b", "c"]


def test_what_was_loaded_is_neither_written_nor_undone() -> None:
    book = Book()
    ledger: Ledger[str, int] = Ledger(book, "numbers")
    ledger.load("a", 1)
    book.rollback()
    assert (ledger["a"], book.changes()) == (1, {})


def test_a_row_that_was_never_there_is_not_deleted() -> None:
    book = Book()
    ledger: Ledger[str, int] = Ledger(book, "numbers")
    ledger.remove("a")
    assert book.changes() == {}


def test_memory_alone_is_not_written() -> None:
    book = Book()
    ledger: Ledger[str, int] = Ledger(book)
    ledger.put("a", 1)
    assert book.changes() == {}
