"""What property tests try follows from the code alone."""

from __future__ import annotations

from pathlib import Path

from fuzz import property_tests
from hypothesis import given, settings
from hypothesis import strategies as st


def tried() -> list[tuple[int, str]]:
    seen: list[tuple[int, str]] = []

    @given(st.integers(), st.text())
    @settings(max_examples=20)
    def any_two(number: int, text: str) -> None:
        seen.append((number, text))

    any_two()
    return seen


def test_a_property_test_tries_the_same_examples_each_time() -> None:
    assert len(tried()) == 20
    assert tried() == tried()


def test_nothing_is_remembered_from_one_run_to_the_next() -> None:
    assert settings().database is None
    assert settings().deadline is None


def test_every_file_with_a_property_test_is_found(repo_root: Path) -> None:
    found = property_tests()
    assert "tests/quota/test_scheduler_invariants.py" in found
    assert all((repo_root / file).is_file() for file in found)
