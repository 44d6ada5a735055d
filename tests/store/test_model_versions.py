"""What a name means: a version, an alias, or nothing, in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from scenes.store import T0, Story

from headwater.core.inventory import ModelAlias, ModelVersion
from headwater.store.model_versions import version_meant
from headwater.store.reader import Reader
from headwater.wire.calls import PinnedModel


@pytest.fixture
def reader(bare_url: str, tmp_path: Path) -> Iterator[Reader]:
    story = Story(tmp_path, url=bare_url)
    for number in (1, 2):
        story.put("model_versions", a_version(number))
    story.put("model_aliases", ModelAlias(name="delay", alias="champion", version=1, principal="ann", moved_us=T0))
    engine = story.reader()
    yield Reader(engine)
    engine.dispose()
    story.close()


def a_version(number: int) -> ModelVersion:
    return ModelVersion(
        name="delay", version=number, project="eta", digest=f"d{number}", runtime="onnx", signature={"inputs": []},
        metrics={"mae": 1.0}, size_bytes=1, run_id=f"r{number}", ordinal=0, code_version="c", tables={},
        principal="ann", registered_us=T0,
    )  # fmt: skip


def test_a_name_with_a_version_or_an_alias_means_one_version(reader: Reader) -> None:
    first = PinnedModel(
        name="delay", version=1, digest="d1", runtime="onnx", signature={"inputs": []}, metrics={"mae": 1.0}
    )
    assert version_meant(reader, "delay@champion") == version_meant(reader, "delay@1") == first
    second = version_meant(reader, "delay@2")
    assert isinstance(second, PinnedModel)
    assert (second.version, second.digest) == (2, "d2")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("delay@shadow", "Model 'delay' has no alias 'shadow'; it has champion"),
        ("eta@champion", "Model 'eta' has no alias 'champion'; it has none"),
        ("delay@3", "Model 'delay' has no version 3"),
    ],
)
def test_what_is_not_there_is_said(reader: Reader, text: str, words: str) -> None:
    assert version_meant(reader, text) == words
