"""Careful starts: notes before each record, and one that has killed three starts set aside."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headwater.core.care import HEALTHY_AFTER, TRIES_MAX, Care
from headwater.core.records.inbox import Offset, Trying


class Starts:
    """An owner over its starts: what it noted is kept, what it took advances; `poison` kills at parsing."""

    def __init__(self, poison: set[int], end: int, *, at_once: int = 5) -> None:
        self.poison, self.end, self.at_once = poison, end, at_once
        self.next, self.unclean, self.deaths = 0, False, 0
        self.note: Trying | None = None
        self.taken: list[int] = []
        self.set_aside: list[int] = []

    def start(self) -> bool:
        """Reads to the end; False where it died."""
        offset = Offset(owner="o", topic="t", partition=0, next=self.next)
        care = Care("o", unclean=self.unclean, notes=[self.note] if self.note else [], offsets=[offset])
        self.unclean = True
        while self.next < self.end:
            if not self._read(care, range(self.next, min(self.end, self.next + (1 if care.careful else self.at_once)))):
                self.deaths += 1
                return False
        return True

    def _read(self, care: Care, batch: range) -> bool:
        if care.careful:
            note = care.attempt("t", 0, batch[0])
            if note is None:
                self.set_aside.append(batch[0])
                self.next = batch[-1] + 1
                return True
            self.note = note
        if self.poison & set(batch):
            return False
        self.taken += batch
        self.next = batch[-1] + 1
        care.survived(len(batch))
        return True


def to_the_end(starts: Starts) -> None:
    for _ in range(TRIES_MAX * len(starts.poison) + 1):
        if starts.start():
            return
    raise AssertionError("it dies for ever")


def test_a_record_that_kills_in_health_is_set_aside_after_three_restarts() -> None:
    starts = Starts({3}, 10)
    to_the_end(starts)
    assert (starts.deaths, starts.set_aside) == (TRIES_MAX, [3])
    assert starts.taken == [0, 1, 2, 4, 5, 6, 7, 8, 9]


@given(poison=st.sets(st.integers(0, 30), max_size=4), at_once=st.integers(1, 8))
def test_whatever_kills_is_set_aside_and_all_else_is_taken_once(poison: set[int], at_once: int) -> None:
    starts = Starts(poison, 31, at_once=at_once)
    to_the_end(starts)
    assert starts.set_aside == sorted(poison)
    assert starts.taken == [offset for offset in range(31) if offset not in poison]
    assert starts.deaths <= TRIES_MAX * len(poison)


def test_a_start_after_a_clean_stop_takes_no_care() -> None:
    assert not Care("o", unclean=False, notes=[], offsets=[]).careful


def test_a_start_counts_as_healthy_after_so_many_records() -> None:
    care = Care("o", unclean=True, notes=[], offsets=[])
    care.survived(HEALTHY_AFTER - 1)
    assert care.careful
    care.survived(1)
    assert not care.careful


def test_a_record_that_comes_again_in_one_start_counts_once() -> None:
    care = Care("o", unclean=True, notes=[], offsets=[])
    assert care.attempt("t", 0, 7) == care.attempt("t", 0, 7)


def test_a_note_of_a_record_that_was_taken_is_void() -> None:
    note = Trying(owner="o", topic="t", partition=0, offset=7, count=TRIES_MAX)
    taken = Offset(owner="o", topic="t", partition=0, next=8)
    assert Care("o", unclean=True, notes=[note], offsets=[taken]).attempt("t", 0, 8) is not None
    assert Care("o", unclean=True, notes=[note], offsets=[]).attempt("t", 0, 7) is None


def test_other_partitions_go_on_while_one_is_tried() -> None:
    note = Trying(owner="o", topic="t", partition=0, offset=7, count=TRIES_MAX - 1)
    care = Care("o", unclean=True, notes=[note], offsets=[])
    other = care.attempt("t", 1, 3)
    assert other is not None
    assert other.count == 1
