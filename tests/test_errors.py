"""Errors say what was wrong and what to do, wherever they have travelled."""

from __future__ import annotations

import pickle

import pytest

from headwater.errors import Conflict, HeadwaterError, InvalidInput, NotFound, Unavailable, did_you_mean

KINDS = [HeadwaterError, InvalidInput, NotFound, Conflict, Unavailable]


def test_a_message_holds_what_was_wrong_and_the_remedy() -> None:
    assert str(NotFound("No flow is named 'x'", remedy="Deploy it.")) == "No flow is named 'x'. Deploy it."
    assert str(NotFound("No flow is named 'x'")) == "No flow is named 'x'"


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_the_way_between_processes(kind: type[HeadwaterError]) -> None:
    error = pickle.loads(pickle.dumps(kind("what", remedy="how")))
    assert (type(error), error.what, error.remedy, str(error)) == (kind, "what", "how", "what. how")


@pytest.mark.parametrize(
    ("word", "known", "hint"),
    [
        ("trian", ["train", "score"], "Did you mean 'train'?"),
        ("zzz", ["train", "score"], "Known: score, train"),
        ("x", [], ""),
        ("zzz", [f"flow_{n:02}" for n in range(20)], "Known: " + ", ".join(f"flow_{n:02}" for n in range(10))),
    ],
)
def test_the_nearest_known_word_is_offered(word: str, known: list[str], hint: str) -> None:
    assert did_you_mean(word, known) == hint
