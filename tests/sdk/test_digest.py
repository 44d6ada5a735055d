import enum
import math
import subprocess
import sys
from dataclasses import dataclass
from datetime import date

import numpy as np
import pytest

from headwater.sdk.running.digest import digest


@dataclass(frozen=True)
class Point:
    x: int
    y: object = None


class Colour(enum.Enum):
    RED = 1


def test_equal_values_have_one_digest_whatever_their_order() -> None:
    assert digest({"a": 1, "b": {3, 1, 2}}) == digest({"b": {2, 3, 1}, "a": 1})


@pytest.mark.parametrize(
    ("one", "another"),
    [
        (1, 1.0),
        (1, True),
        ("1", 1),
        ([1], (1,)),
        ("a", b"a"),
        (["ab", "c"], ["a", "bc"]),
        (Point(1), Point(2)),
        (np.zeros(2), np.zeros(2, np.float32)),
        (np.zeros((2, 1)), np.zeros((1, 2))),
        (date(2026, 1, 1), "2026-01-01"),
    ],
)
def test_values_that_differ_in_type_or_shape_differ(one: object, another: object) -> None:
    assert digest(one) is not None
    assert digest(one) != digest(another)


def test_a_nan_is_the_same_nan() -> None:
    assert digest(math.nan) == digest(float("nan")) is not None


def test_what_cannot_be_written_by_value_is_not_compared() -> None:
    assert digest([1, object()]) is None
    assert digest(Point(1, y=lambda: 0)) is None


def test_a_digest_is_the_same_in_another_process() -> None:
    code = "from headwater.sdk.running.digest import digest; print(digest([{'a', 'b', 'c'}, 1.5, {'k': None}]))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == digest([{"a", "b", "c"}, 1.5, {"k": None}])


def test_enums_count_by_name() -> None:
    assert digest(Colour.RED) == digest(Colour.RED) is not None
