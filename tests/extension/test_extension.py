"""An extension from a package of its own, installed apart and used by flows; and one that is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from extension.headwater_fractions import CODEC, Counted

from headwater.artifacts import conformance
from headwater.sdk import wrappers
from headwater.sdk.context import Current

HERE = Path(__file__).parent
USED = """
from fractions import Fraction
from pathlib import Path
from headwater.artifacts.files import Files
from headwater.artifacts.payloads import content_of, payload_of
from headwater.sdk import flow, step
from headwater.sdk.running.serialise import decode, encode

@step
def half(n): return Fraction(n, 2)

@flow(project="eta")
def halves(): return sum(each.result() for each in [half(1), half(3)])

assert halves() == 2
payload = payload_of(Files(Path("artifacts")), encode(Fraction(1, 3), place="x"))
assert (payload.codec, payload.inline) == ("fraction", b"1/3"), payload
assert decode(payload.codec, content_of(Files(Path("artifacts")), payload)) == Fraction(1, 3)
from headwater_fractions import COUNTED
assert COUNTED.calls == {"half": 2}, COUNTED.calls
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the extension installed into it."""
    folder = tmp_path_factory.mktemp("extension")
    source, target = folder / "source", folder / "site"
    shutil.copytree(HERE, source, ignore=shutil.ignore_patterns("__pycache__", "test_*"))
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--offline", "--no-deps"]
    where = ["--no-build-isolation", "--python", sys.executable, "--target", str(target), str(source)]
    subprocess.run([*uv, *where], check=True, timeout=120)
    return target


def run(code: str, folder: Path, site: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True,
                          check=False, timeout=120)  # fmt: skip


def test_an_installed_extension_is_found_and_used(installed: Path, tmp_path: Path) -> None:
    done = run(USED, tmp_path, installed)
    assert done.returncode == 0, done.stderr


def test_an_entry_point_that_is_no_codec_is_named(installed: Path, tmp_path: Path) -> None:
    broken = tmp_path / "site"
    shutil.copytree(installed, broken)
    (broken / "headwater_fractions.py").write_text("CODEC = 3")
    done = run("from headwater.sdk.running.serialise import encode; encode(object, place='x')", tmp_path, broken)
    assert "'headwater_fractions:CODEC' is no artifact codec, but 3" in done.stderr
    assert "Uninstall or mend the package" in done.stderr


def test_its_codec_keeps_what_a_codec_promises(tmp_path: Path) -> None:
    conformance.check(CODEC, Fraction(22, 7), Fraction.__eq__, tmp_path)


def test_its_wrapper_keeps_what_a_wrapper_promises() -> None:
    wrappers.check(Counted())


def test_a_wrapper_that_swallows_is_found_out() -> None:
    class Swallowing(Counted):
        def around(self, call: object, place: Current) -> object:
            try:
                return call()  # type: ignore[operator]
            except KeyError:
                return None

    with pytest.raises(AssertionError, match="swallows"):
        wrappers.check(Swallowing())


def test_the_first_wrapper_is_the_outermost() -> None:
    seen: list[str] = []

    class Named(Counted):
        def __init__(self, word: str) -> None:
            super().__init__()
            self.word = word

        def around(self, call: object, place: Current) -> object:
            seen.append(self.word)
            return call()  # type: ignore[operator]

    assert wrappers.through((Named("outer"), Named("inner")), lambda: 3, Current()) == 3
    assert seen == ["outer", "inner"]
