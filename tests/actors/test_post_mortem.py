from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from headwater.actors.work.post_mortem import LAST_LINES, cause_of, last_words

DYING = "import faulthandler, os; faulthandler.enable(); print('about to', flush=True); os.kill(os.getpid(), 11)"


def test_a_signal_is_told_with_the_last_words_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "0.1.log"
    with log.open("w") as out:
        subprocess.run([sys.executable, "-c", DYING], stdout=out, stderr=out, check=False)
    cause = cause_of(log, "fit", no_memory=True)
    assert cause is not None
    assert (cause.kind, cause.step) == ("signal", "fit")
    assert "Segmentation fault" in cause.message
    assert cause.last_words.startswith("about to")


def test_where_the_kernel_had_no_memory_left_that_is_the_cause(tmp_path: Path) -> None:
    log = tmp_path / "0.1.log"
    log.write_text("reading\n")
    cause = cause_of(log, "fit", no_memory=True)
    assert cause is not None
    assert (cause.kind, cause.last_words) == ("out_of_memory", "reading")


def test_a_process_that_left_no_word_has_no_known_cause(tmp_path: Path) -> None:
    assert cause_of(tmp_path / "none.log", "fit", no_memory=False) is None


def test_only_the_last_lines_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "0.1.log"
    log.write_text("".join(f"line {number}\n" for number in range(10_000)))
    words = last_words(log).splitlines()
    assert len(words) == LAST_LINES
    assert words[-1] == "line 9999"
