"""Identifiers made from what is handed in."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.wire.ids import RANDOM_BYTES, digest_of, uuid7

TIMES = st.integers(0, (1 << 48) * 1000 - 1)
RANDOM = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)


@given(time_us=TIMES, random=RANDOM)
def test_an_id_is_a_uuid_of_version_seven(time_us: int, random: bytes) -> None:
    made = uuid.UUID(uuid7(time_us, random))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == time_us // 1000
    assert str(made) == uuid7(time_us, random)


@given(earlier=TIMES, later=TIMES, one=RANDOM, other=RANDOM)
def test_ids_keep_the_order_of_their_times(earlier: int, later: int, one: bytes, other: bytes) -> None:
    if earlier < later:
        assert uuid7(earlier, one) < uuid7(later, other)


def test_other_random_bytes_make_another_id() -> None:
    assert uuid7(1, bytes(10)) != uuid7(1, bytes(7) + b"\1\0\0")


@pytest.mark.parametrize("count", [0, 9, 11])
def test_too_few_or_too_many_random_bytes_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"got {count}"):
        uuid7(1, bytes(count))


@given(one=st.lists(st.text(max_size=4), max_size=4), other=st.lists(st.text(max_size=4), max_size=4))
def test_only_the_same_words_have_the_same_digest(one: list[str], other: list[str]) -> None:
    assert (digest_of(*one) == digest_of(*other)) == (one == other)


def test_a_digest_is_the_same_in_every_release() -> None:
    assert digest_of("eta/train/t", "s", "e1") == "cbdeb52b340be198cf42069c9e16b02ee19ad49ad049d2d9a45ad7f57240424e"
