from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headwater.quota.alarms import HEAP_MIN, Alarms
from headwater.quota.messages import Demand, StepWaiting
from headwater.quota.queues import LineKey, line_of
from headwater.quota.undo import Undo


def key_of(project: str) -> LineKey:
    return line_of(StepWaiting("s", "r", project, "fit", Demand(1000), 0))


CHANGES = st.lists(
    st.tuples(st.sampled_from("abc"), st.none() | st.integers(0, 9)) | st.sampled_from(["mark", "back", "due"]),
    max_size=40,
)


@given(CHANGES)
def test_the_soonest_is_known_through_every_change_and_roll_back(changes: list[tuple[str, int | None] | str]) -> None:
    undo = Undo()
    alarms, meant, marked = Alarms(undo), dict[LineKey, int](), dict[LineKey, int]()
    undo.mark()
    for change in changes:
        if change == "mark":
            undo.mark()
            marked = dict(meant)
        elif change == "back":
            undo.back_to(0)
            alarms.rolled_back()
            meant = dict(marked)
        elif change == "due":
            due = [key for key, at_us in meant.items() if at_us <= 5]
            assert sorted(alarms.take_due(5)) == sorted(due)
            meant = {key: at_us for key, at_us in meant.items() if at_us > 5}
        else:
            name, at_us = change[0], change[1]
            alarms.put(key_of(name), at_us if isinstance(at_us, int) else None)
            meant.pop(key_of(name), None)
            meant |= {key_of(name): at_us} if isinstance(at_us, int) else {}
        assert alarms.at == meant
        assert alarms.soonest() == min(meant.values(), default=None)


def test_a_line_that_is_put_off_again_and_again_leaves_nothing_behind() -> None:
    alarms = Alarms(Undo())
    for at_us in range(10 * HEAP_MIN):
        alarms.put(key_of("a"), at_us % 7)
    assert len(alarms._heap) <= HEAP_MIN + 3
