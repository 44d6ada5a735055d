from __future__ import annotations

import subprocess
from pathlib import Path

from headwater.sdk.deploying.bundle import bundle_of, code_version, pack, unpack, unpacked
from headwater.sdk.deploying.provenance import PLACE, Source, beside, source_of, taken_from


def git(folder: Path, *words: str) -> None:
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "-C", str(folder), *author, *words], check=True, capture_output=True)


def a_repository(folder: Path) -> Path:
    git(folder, "init", "-q")
    (folder / "flows.py").write_text("a = 1\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


def test_a_clean_folder_has_its_commit_and_no_diff(tmp_path: Path) -> None:
    source = source_of(a_repository(tmp_path))
    assert len(source.commit) == 40
    assert (source.is_dirty, source.diff, source.untracked) == (False, "", ())


def test_changes_and_new_files_are_kept(tmp_path: Path) -> None:
    folder = a_repository(tmp_path)
    (folder / "flows.py").write_text("a = 2\n")
    (folder / "new.py").write_text("b = 1\n")
    source = source_of(folder / "flows.py")
    assert source.is_dirty
    assert "+a = 2" in source.diff
    assert source.untracked == ("new.py",)


def test_the_address_of_a_repository_holds_no_token(tmp_path: Path) -> None:
    git(a_repository(tmp_path), "remote", "add", "origin", "https://me:token@example.org/flows.git")
    assert source_of(tmp_path).remote == "https://example.org/flows.git"


def test_a_folder_outside_a_repository_has_no_source(tmp_path: Path) -> None:
    assert source_of(tmp_path) == Source()


def test_it_travels_beside_the_code_and_is_no_part_of_its_version(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    bundle = bundle_of(a_repository(folder))
    arrived = unpack(pack(bundle, beside(folder)), tmp_path / "arrived")
    assert PLACE in arrived.names
    provenance = taken_from(arrived.folder)
    assert provenance.source == source_of(folder)
    assert provenance.environment.packages["msgspec"]
    assert code_version(unpacked(arrived.folder)) == code_version(bundle)


def test_code_that_came_without_it_is_taken_as_well(tmp_path: Path) -> None:
    assert taken_from(tmp_path).source == Source()
