"""The compiled lines against those in NumPy, which `test_board` holds against the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.quota.placement import lines as module
from headwater.quota.placement.lines import LOG_MAX, Lines, NumpyLines, compiled_lines
from headwater.quota.placement.placings import Asked
from headwater.quota.placement.potential import Potential
from headwater.quota.placement.workload import Kind

needs_compiled = pytest.mark.skipif(module.compiled is None, reason="installed without a compiler")
ROOMS, WIDEST = 5, 4
KINDS = st.builds(
    Kind,
    gpus_milli=st.sampled_from([1, 50, 160, 470, 810, 1000, 2000, 3000, 8000]),
    gpu_model=st.none(),
    cpus_milli=st.sampled_from([0, 1, 3152, 8000]),
    memory_bytes=st.sampled_from([0, 1000, 5 << 30]),
    weight=st.integers(1, 100_000),
)
CPUS, MEMORY = st.integers(0, 128_000), st.integers(0, 1 << 40)
FREE = st.integers(0, 1000) | st.sampled_from([0, 160, 320, 1000, 1000])
ROOM = st.tuples(CPUS, MEMORY, st.lists(FREE, max_size=WIDEST)) | st.just((-1, -1, list[int]()))
ASKED = st.builds(
    Asked,
    cpus=st.sampled_from([0, 3152, 16_000]),
    memory=st.sampled_from([0, 5 << 30]),
    gpus_milli=st.sampled_from([0, 1, 160, 470, 1000, 2000]),
    ranks=st.sampled_from([1, 1, 2, 3]),
)
ALLOWED = st.lists(st.booleans(), min_size=ROOMS, max_size=ROOMS).map(bytes)


def both(potentials: list[list[Kind]]) -> tuple[Lines, Lines]:
    of = np.arange(ROOMS) % len(potentials)
    measures = [Potential(kinds) for kinds in potentials]
    rooms = [np.zeros((ROOMS, 2 + WIDEST), np.int64) for _ in range(2)]
    return NumpyLines(rooms[0], of, measures), compiled_lines(rooms[1], of, measures)


@needs_compiled
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(KINDS, max_size=6), min_size=1, max_size=2),
    st.lists(st.tuples(ASKED, ALLOWED), min_size=1, max_size=3),
    st.lists(st.tuples(st.integers(0, ROOMS - 1), ROOM), max_size=12),
)
def test_compiled_lines_name_the_same_rooms(
    potentials: list[list[Kind]],
    opened: list[tuple[Asked, bytes]],
    written: list[tuple[int, tuple[int, int, list[int]]]],
) -> None:
    plain, compiled = both(potentials)
    for number, (asked, allowed) in enumerate(opened):
        plain.open(number, *asked, allowed)
        compiled.open(number, *asked, allowed)
    for at, (slot, room) in enumerate(written):
        plain.write(slot, *room)
        compiled.write(slot, *room)
        assert plain.best(at % len(opened)) == compiled.best(at % len(opened))
    for number in range(len(opened)):
        assert plain.best(number) == compiled.best(number)


@needs_compiled
def test_a_line_that_slept_longer_than_the_log_looks_at_every_room_again() -> None:
    for one in both([[Kind(500, None, 0, 0, 1)]]):
        one.open(0, 0, 0, 500, 1, bytes([1] * ROOMS))
        one.write(1, 0, 0, [1000])
        assert one.best(0) == (1, 0)
        one.write(2, 0, 0, [0, 500])
        for _ in range(2 * LOG_MAX):
            one.write(1, 0, 0, [400])
        assert one.best(0) == (2, 1)


def test_without_a_compiler_numpy_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "compiled", None)
    assert isinstance(module.lines(np.zeros((0, 2), np.int64), np.zeros(0, np.int64), []), NumpyLines)


@needs_compiled
def test_compiled_lines_refuse_what_would_reach_outside_their_rooms() -> None:
    _, compiled = both([[Kind(500, None, 0, 0, 1)]])
    with pytest.raises(IndexError, match="line 3 was not opened"):
        compiled.best(3)
    with pytest.raises(IndexError, match="no such room"):
        compiled.write(ROOMS, 0, 0, [])
    with pytest.raises(IndexError, match="more devices"):
        compiled.write(0, 0, 0, [0] * (WIDEST + 1))
    with pytest.raises(ValueError, match="0 to 1000"):
        compiled.write(0, 0, 0, [1001])
    with pytest.raises(ValueError, match="a byte for each room"):
        compiled.open(0, 0, 0, 500, 1, b"")
    rooms = np.zeros((1, 3), np.int64)
    with pytest.raises(ValueError, match="do not fit together"):
        module.compiled.Lines(rooms, bytes(8), [bytes(24)])
    with pytest.raises(IndexError, match="not there"):
        module.compiled.Lines(rooms, bytes(8), [])
    with pytest.raises(ValueError, match="one potential"):
        module.compiled.Lines(rooms, b"", [])
