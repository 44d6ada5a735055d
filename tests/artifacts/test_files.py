"""Content under its own name: whole, once, private, and never outside its folder."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headwater.artifacts.files import Files, TreeFile
from headwater.errors import InvalidInput, NotFound

NAMES = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/"), min_size=1, max_size=12).filter(
        lambda name: name not in (".", "..")
    ),
    min_size=1,
    max_size=3,
).map("/".join)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "artifacts")


def left_behind(root: Path) -> list[str]:
    return [path.name for path in root.rglob(".draft-*")]


def test_content_lies_under_its_digest(files: Files, tmp_path: Path) -> None:
    digest = files.put_bytes(b"model")
    assert digest == hashlib.sha256(b"model").hexdigest()
    assert files.read(digest) == b"model"
    assert files.path(digest) == files.root / digest[:2] / digest
    (tmp_path / "same").write_bytes(b"model")
    assert files.put_file(tmp_path / "same") == files.put_stream([b"mo", b"del"]) == digest


@pytest.mark.parametrize("made_by", ["this process", "another that has not synced it yet"])
def test_content_is_on_the_disk_before_its_name_and_the_name_before_it_is_told(
    files: Files, monkeypatch: pytest.MonkeyPatch, made_by: str
) -> None:
    if made_by != "this process":
        (files.root / hashlib.sha256(b"one").hexdigest()[:2]).mkdir(parents=True)
    done, sync, move = list[str](), os.fsync, os.replace

    def fsync(handle: int) -> None:
        sync(handle)
        done.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "content")

    def replace(draft: str, place: Path) -> None:
        move(draft, place)
        done.append("name")

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    files.put_bytes(b"one")
    assert done == ["content", "folder", "name", "folder"]


def test_files_belong_to_their_user_alone(files: Files) -> None:
    path = files.path(files.put_bytes(b"x"))
    assert (path.stat().st_mode & 0o777, files.root.stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_stream_that_breaks_leaves_nothing(files: Files) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise OSError("the link is down")

    with pytest.raises(OSError, match="the link is down"):
        files.put_stream(broken())
    assert list(files.root.iterdir()) == []


def test_what_was_never_written_is_not_found(files: Files) -> None:
    with pytest.raises(NotFound, match="0000"):
        files.path("0" * 64)


@pytest.mark.parametrize("digest", ["", "../../etc/passwd", "0" * 63, "G" * 64, "A" * 64])
def test_what_is_no_digest_is_refused(files: Files, digest: str) -> None:
    with pytest.raises(InvalidInput, match="no artifact digest"):
        files.path(digest)


def test_puts_at_the_same_time_agree(files: Files) -> None:
    content, digests = os.urandom(1 << 20), list[str]()
    threads = [threading.Thread(target=lambda: digests.append(files.put_bytes(content))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(digests) == {hashlib.sha256(content).hexdigest()}
    assert files.read(digests[0]) == content
    assert left_behind(files.root) == []


# Trees.


def put_folder(folder: Path, contents: dict[str, bytes]) -> Path:
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_tree_with_odd_names_comes_back(
    files: Files, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    here = tmp_path_factory.mktemp("tree")
    contents: dict[str, bytes] = {}
    for name in data.draw(st.lists(NAMES, max_size=4)):
        if not any(other.startswith(f"{name}/") or name.startswith(f"{other}/") for other in contents):
            contents[name] = data.draw(st.binary(max_size=8))
    (here / "in").mkdir()
    digest = files.put_tree(put_folder(here / "in", contents))
    out = files.materialise(digest, here / "out")
    assert {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()} == contents


def test_the_digest_of_a_tree_depends_on_content_alone(files: Files, tmp_path: Path) -> None:
    one = put_folder(tmp_path / "one", {"b": b"2", "a": b"1"})
    two = put_folder(tmp_path / "two", {"a": b"1", "b": b"2", "left out": b"3"})
    assert files.put_tree(one) == files.put_tree(two, ["b", "a"])


def test_what_may_be_executed_stays_so(files: Files, tmp_path: Path) -> None:
    folder = put_folder(tmp_path / "in", {"run.sh": b"#!/bin/sh", "notes": b""})
    (folder / "run.sh").chmod(0o755)
    out = files.materialise(files.put_tree(folder), tmp_path / "out")
    assert os.access(out / "run.sh", os.X_OK)
    assert not os.access(out / "notes", os.X_OK)


@pytest.mark.parametrize("name", ["../escape", "/tmp/escape", "a/../../escape", ".", "", "a\0b"])
def test_a_tree_never_leaves_its_folder(files: Files, tmp_path: Path, name: str) -> None:
    evil = files.put_bytes(msgspec.json.encode({name: TreeFile(files.put_bytes(b"evil"))}))
    with pytest.raises(InvalidInput, match="no file inside its folder"):
        files.materialise(evil, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["artifacts"]


def test_a_tree_is_not_packed_from_outside_its_folder(files: Files, tmp_path: Path) -> None:
    put_folder(tmp_path, {"secret": b"x", "in/a": b"y"})
    with pytest.raises(InvalidInput, match="secret"):
        files.put_tree(tmp_path / "in", ["../secret"])


def test_a_name_that_is_no_text_is_refused_by_name(files: Files, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    os.close(os.open(os.fsencode(folder) + b"/\xff", os.O_CREAT | os.O_WRONLY))
    with pytest.raises(InvalidInput, match="not UTF-8"):
        files.put_tree(folder)


def test_a_tree_is_laid_out_once_whoever_comes_first(files: Files, tmp_path: Path) -> None:
    digest = files.put_tree(put_folder(tmp_path / "in", {f"f{n}": b"x" * n for n in range(30)}))
    target, errors = tmp_path / "nodes" / "v1", list[BaseException]()
    barrier = threading.Barrier(6)

    def lay() -> None:
        barrier.wait()
        try:
            assert len(list(files.materialise(digest, target).iterdir())) == 30
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=lay) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert left_behind(tmp_path) == []


def test_what_is_laid_out_already_is_left_alone(files: Files, tmp_path: Path) -> None:
    digest = files.put_tree(put_folder(tmp_path / "in", {"a": b"1"}))
    out = files.materialise(digest, tmp_path / "out")
    (out / "cache").write_bytes(b"mine")
    assert (files.materialise(digest, out) / "cache").read_bytes() == b"mine"


def test_a_tree_with_a_file_that_is_missing_is_not_laid_out(files: Files, tmp_path: Path) -> None:
    digest = files.put_bytes(msgspec.json.encode({"a": TreeFile("0" * 64)}))
    with pytest.raises(NotFound):
        files.materialise(digest, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert left_behind(tmp_path) == []
