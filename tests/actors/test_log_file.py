"""Logs keep their beginning and their end, lose nothing within their bound, and say what they left out."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from headwater.actors.work.log_file import TAILS, LogFile, pieces, read_at, read_whole


def whole(path: Path) -> str:
    return b"".join(part.content for part in read_whole(path)).decode()


def test_within_its_bound_a_log_is_one_file_with_every_line(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "1.1.log", 1 << 20)
    lines = [f"line {number}\n" for number in range(5_000)]
    for line in lines:
        log.write(line)
    log.close()
    assert whole(tmp_path / "1.1.log") == "".join(lines)
    assert len(pieces(tmp_path / "1.1.log")) == 1


def test_over_its_bound_the_beginning_and_the_end_stay_and_the_gap_is_counted(tmp_path: Path) -> None:
    path, bound = tmp_path / "1.1.log", 1 << 19
    log = LogFile(path, bound)
    written = "".join(f"{number:07d}\n" for number in range(400_000))
    for start in range(0, len(written), 800):
        log.write(written[start : start + 800])
    log.close()
    parts = list(read_whole(path))
    assert sum(piece.path.stat().st_size for piece in pieces(path)) <= 1.2 * bound
    assert len(pieces(path)) <= TAILS + 1
    assert [part.left_out for part in parts if part.left_out] == [
        len(written) - sum(len(part.content) for part in parts)
    ]
    for part in parts:
        assert written[part.offset : part.offset + len(part.content)].encode() == part.content
    assert parts[0].offset == 0
    assert parts[-1].offset + len(parts[-1].content) == len(written)


def test_what_a_child_writes_past_us_is_bounded_too(tmp_path: Path) -> None:
    path = tmp_path / "1.1.log"
    moved: list[int] = []
    log = LogFile(path, 1 << 16, moved.append)
    os.write(log.stream.fileno(), b"x" * (1 << 16))
    log.look()
    assert len(moved) == 1
    log.write("after\n")
    log.close()
    assert whole(path) == "x" * (1 << 16) + "after\n"


def test_a_log_that_is_taken_up_again_goes_on_where_it_was(tmp_path: Path) -> None:
    path, bound = tmp_path / "flow.log", 1 << 16
    for word in ("a", "b", "c"):
        log = LogFile(path, bound)
        log.write(f"{word * 20_000}\n")
        log.look()
        log.close()
    assert whole(path) == "".join(f"{word * 20_000}\n" for word in "abc")


def test_threads_write_whole_lines_while_files_change(tmp_path: Path) -> None:
    path = tmp_path / "1.1.log"
    log = LogFile(path, 1 << 24)
    threads = [
        threading.Thread(target=lambda name=name: [log.write(f"{name} {number}\n") for number in range(2_000)])
        for name in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    lines = whole(path).splitlines()
    for name in range(8):
        assert [line for line in lines if line.startswith(f"{name} ")] == [
            f"{name} {number}" for number in range(2_000)
        ]


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.integers(0, 400), st.integers(1, 40))
def test_any_place_can_be_read_from(contents: list[bytes], offset: int, most: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "1.1.log"
        start = 0
        for content in contents:
            (path if not start else path.with_name(f"{path.name}@{start}")).write_bytes(content)
            start += len(content)
        everything = b"".join(contents)
        part = read_at(path, offset, most)
        if part is None:
            assert offset >= len(everything)
        else:
            assert everything[part.offset : part.offset + len(part.content)] == part.content
            assert (part.offset, part.left_out) == (offset, 0)
