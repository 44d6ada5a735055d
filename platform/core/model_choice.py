"""Which version of a model a name means: `delay` the newest, `delay@3` the third, `delay@champion` the alias's."""

from __future__ import annotations

from typing import NamedTuple


class ModelChoice(NamedTuple):
    """At most one of `version` and `alias` is given."""

    name: str
    version: int | None = None
    alias: str = ""


def choice_of(text: str) -> ModelChoice:
    """What the text means: neither names nor aliases hold an @, and an alias begins with a letter."""
    name, _, word = text.partition("@")
    if word.isdecimal():
        return ModelChoice(name, version=int(word))
    return ModelChoice(name, alias=word)
