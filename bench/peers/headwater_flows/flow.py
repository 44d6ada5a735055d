"""The flows of `side_by_side` as Headwater has them; `metaflow_flows` holds the same."""

from __future__ import annotations

import numpy as np

from headwater.sdk import flow, step

FLOATS = 25_000_000


@step
def more(number: int) -> int:
    return number + 1


@step
def doubled(number: int) -> int:
    return 2 * number


@step
def total(numbers: list[int]) -> int:
    return sum(numbers)


@step
def random_floats(kept: int) -> np.ndarray:
    return np.random.default_rng(1).random(FLOATS)[-kept:].copy()


@step
def last(array: np.ndarray) -> float:
    return float(array[-1])


@flow(project="flights")
def straight(steps: int) -> int:
    number = more(0)
    for _ in range(steps - 1):
        number = more(number)
    result: int = number.result()
    return result


@flow(project="flights")
def fan_out() -> int:
    result: int = total([doubled(number) for number in range(100)]).result()
    assert result == 9_900
    return result


@flow(project="flights")
def handed_on(kept: int) -> float:
    result: float = last(random_floats(kept)).result()
    return result
