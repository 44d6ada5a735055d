"""Labels within their bounds, and what is told where they are not."""

from __future__ import annotations

from typing import Any

import pytest

from headwater.errors import InvalidInput
from headwater.wire.labels import LABELS_MAX, carries, checked, labels_of, problem_of


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("team=a", "not an object"),
        ({f"n{number}": "x" for number in range(LABELS_MAX + 1)}, f"{LABELS_MAX} is the bound"),
        ({"": "x"}, "no name"),
        ({"-a": "x"}, "'-a' is no name"),
        ({"a" * 64: "x"}, "no name"),
        ({"a": ""}, "1 to 120"),
        ({"a": "x" * 121}, "'a' is"),
        ({"a": 3}, "'a' is 3"),
        ({"a": "x\ny"}, "'a' is"),
    ],
)
def test_a_label_that_cannot_be_one_is_named(labels: Any, words: str) -> None:
    assert words in problem_of(labels)
    with pytest.raises(InvalidInput, match="NAME=VALUE"):
        checked(labels)


def test_labels_are_read_from_texts_and_found_again() -> None:
    labels = labels_of(["team=a", "app.io/part=x=y", "team=b"])
    assert labels == {"team": "b", "app.io/part": "x=y"}
    assert carries(labels, [("team", "b")])
    assert not carries(labels, [("team", "b"), ("tier", "1")])
    assert not carries(None, [("team", "b")])
    assert carries(None, [])
    with pytest.raises(InvalidInput, match="no label"):
        labels_of(["team"])
