from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from headwater.quota.placement.fragmentation import Room, fragmentation, stranded, unused
from headwater.quota.placement.potential import Potential
from headwater.quota.placement.workload import Kind

HALF = Kind(500, None, 4000, 0, 1)
ONE = Kind(1000, None, 8000, 0, 1)
KINDS = st.builds(
    Kind,
    gpus_milli=st.sampled_from([50, 160, 470, 810, 1000, 2000, 8000]),
    gpu_model=st.none(),
    cpus_milli=st.sampled_from([0, 3152, 8000]),
    memory_bytes=st.sampled_from([0, 5 << 30]),
    weight=st.integers(1, 100),
)
ROOMS = st.builds(
    Room,
    st.integers(0, 128_000),
    st.integers(0, 1 << 40),
    st.lists(st.integers(0, 1000) | st.just(1000), min_size=4, max_size=4).map(tuple),
)


def test_what_the_next_one_cannot_use_is_stranded() -> None:
    assert stranded(Room(8000, 0, (1000, 300)), HALF) == 300
    assert stranded(Room(8000, 0, (400, 300)), HALF) == 700
    assert stranded(Room(3000, 0, (1000, 300)), HALF) == 1300


def test_what_stays_idle_when_cpus_run_out_is_unused() -> None:
    room = Room(12_000, 0, (1000, 1000, 1000, 1000))
    assert stranded(room, ONE) == 0
    assert unused(room, ONE) == 2500


@given(st.lists(ROOMS, min_size=1, max_size=5), st.lists(KINDS, max_size=6))
def test_many_rooms_at_once_are_measured_as_one_by_one(rooms: list[Room], kinds: list[Kind]) -> None:
    rows = np.array([[room.cpus_milli, room.memory_bytes, *room.devices] for room in rooms], np.int64)
    assert Potential(kinds).of(rows).tolist() == [fragmentation(room, kinds) for room in rooms]
