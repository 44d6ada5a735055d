from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headwater.sdk.deploying import code_digest

MAIN = "from pkg_digested import helper\nimport json\ndef step():\n    from pkg_digested.deep import inner\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    package = tmp_path / "pkg_digested"
    package.mkdir()
    for name, text in {"__init__": "", "helper": "x = 1\n", "deep": "inner = 1\n", "other": "y = 1\n"}.items():
        (package / f"{name}.py").write_text(text)
    (tmp_path / "main_digested.py").write_text(MAIN)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if "_digested" in name]:
        del sys.modules[name]


def digest_now() -> str:
    code_digest._digest.cache_clear()
    return code_digest.code_digest(importlib.import_module("main_digested").step)


@pytest.mark.parametrize("name", ["main_digested.py", "pkg_digested/helper.py", "pkg_digested/deep.py"])
def test_what_the_step_imports_from_the_bundle_is_its_code(root: Path, name: str) -> None:
    before = digest_now()
    assert digest_now() == before
    with (root / name).open("a") as file:
        file.write("# changed\n")
    assert digest_now() != before


def test_what_it_does_not_import_is_not(root: Path) -> None:
    before = digest_now()
    (root / "pkg_digested" / "other.py").write_text("y = 2\n")
    assert digest_now() == before


def test_the_requirements_and_the_steps_own_packages_are_its_environment(root: Path) -> None:
    before = digest_now()
    (root / "requirements.txt").write_text("numpy==2\n")
    assert digest_now() != before
    step = importlib.import_module("main_digested").step
    assert code_digest.code_digest(step, ("a==1",)) != code_digest.code_digest(step)


def test_code_without_a_source_has_no_digest() -> None:
    assert code_digest.code_digest(len) == ""
