from __future__ import annotations

import pytest

from headwater.quota import units


@pytest.mark.parametrize(
    ("flavour", "written", "value"),
    [
        ("cpu", 0.5, 500),
        ("cpu", "1500m", 1500),
        ("gpu", 0.1, 100),
        ("gpu", "2", 2000),
        ("memory", "8GiB", 8 << 30),
        ("memory", "1.5 KiB", 1536),
        ("memory", "2MB", 2_000_000),
        ("memory", 17, 17),
    ],
)
def test_an_amount_is_read_exactly_and_comes_back(flavour: str, written: object, value: int) -> None:
    assert units.amount(flavour, written, where="x") == value
    assert units.amount(flavour, units.stored(flavour, value), where="x") == value


@pytest.mark.parametrize(
    ("flavour", "value", "says"),
    [
        ("gpu", 1000, "1 GPU"),
        ("gpu", 500, "0.5 GPUs"),
        ("H100", 8000, "8 H100 GPUs"),
        ("cpu", 1250, "1.25 CPUs"),
        ("memory", 8 << 30, "8 GiB of memory"),
    ],
)
def test_an_amount_is_said_as_people_do(flavour: str, value: int, says: str) -> None:
    assert units.shown(flavour, value) == says
