"""The version of a model that a name means now."""

from __future__ import annotations

from ..core.inventory import ModelAlias, ModelVersion
from ..core.model_choice import choice_of
from ..wire.calls import PinnedModel
from .reader import Picture, Reader
from .schema import MODEL_ALIASES, MODEL_VERSIONS

NAMED_MAX = 10


def version_meant(reader: Reader, text: str) -> PinnedModel | str:
    """Of `name@version` or `name@alias`; in words, why there is none."""
    name, number, alias = choice_of(text)
    with reader.picture() as picture:
        if number is None:
            moved: list[ModelAlias] = picture.rows("model_aliases", MODEL_ALIASES.c.name == name)
            number = {one.alias: one.version for one in moved}.get(alias)
            if number is None:
                known = ", ".join(sorted(one.alias for one in moved)[:NAMED_MAX]) or "none"
                return f"Model {name!r} has no alias {alias!r}; it has {known}"
        return _version(picture, name, number)


def _version(picture: Picture, name: str, number: int) -> PinnedModel | str:
    mine = (MODEL_VERSIONS.c.name == name, MODEL_VERSIONS.c.version == number)
    found: list[ModelVersion] = picture.rows("model_versions", *mine)
    if not found:
        return f"Model {name!r} has no version {number}"
    row = found[0]
    return PinnedModel(
        name=row.name,
        version=row.version,
        digest=row.digest,
        runtime=row.runtime,
        signature=row.signature,
        metrics=row.metrics,
    )
