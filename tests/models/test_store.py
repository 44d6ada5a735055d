from __future__ import annotations

from pathlib import Path

import pytest

from headwater.errors import NotFound
from headwater.models.store import ArtifactStore, FolderArtifacts, artifacts, current_artifacts


def a_folder(root: Path, text: str = "a") -> Path:
    (root / "below").mkdir(parents=True)
    (root / "below" / "file").write_text(text)
    return root


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return FolderArtifacts(tmp_path / "artifacts", tmp_path / "models")


def test_a_folder_comes_back_by_its_digest(store: ArtifactStore, tmp_path: Path) -> None:
    digest = store.put_folder(a_folder(tmp_path / "one"))
    assert (store.folder(digest) / "below" / "file").read_text() == "a"


def test_equal_folders_share_a_digest_and_others_do_not(store: ArtifactStore, tmp_path: Path) -> None:
    digest = store.put_folder(a_folder(tmp_path / "one"))
    assert store.put_folder(a_folder(tmp_path / "two")) == digest
    assert store.put_folder(a_folder(tmp_path / "three", "b")) != digest


def test_an_unknown_digest_is_not_found(store: ArtifactStore) -> None:
    with pytest.raises(NotFound, match="Artifact 0000"):
        store.folder("0" * 64)


def test_the_context_decides_and_otherwise_a_temporary_folder(store: ArtifactStore) -> None:
    assert artifacts() is artifacts()
    token = current_artifacts.set(store)
    try:
        assert artifacts() is store
    finally:
        current_artifacts.reset(token)
