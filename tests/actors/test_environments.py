"""Packages of a step's own, made here and installed by the real installer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from scenes.wheel import a_wheel

from headwater.actors.environments import folder_of, name_of
from headwater.errors import InvalidInput


def test_two_versions_of_one_package_live_side_by_side(tmp_path: Path) -> None:
    said = []
    for version in ("1.0", "2.0"):
        folder = folder_of(tmp_path / "home", (a_wheel(tmp_path, version),))
        look = f"import sys; sys.path.insert(0, {str(folder)!r}); import tinytool; print(tinytool.VERSION)"
        said.append(subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True).stdout)
    assert said == ["1.0\n", "2.0\n"]


def test_what_is_installed_is_not_installed_again(tmp_path: Path) -> None:
    wanted = (a_wheel(tmp_path, "1.0"),)
    folder = folder_of(tmp_path / "home", wanted)
    (folder / "mark").touch()
    assert (folder_of(tmp_path / "home", wanted) / "mark").exists()
    assert [each.name for each in folder.parent.iterdir()] == [name_of(wanted)]


def test_what_cannot_be_installed_says_why(tmp_path: Path) -> None:
    missing = f"tinytool @ {(tmp_path / 'gone-1.0-py3-none-any.whl').as_uri()}"
    with pytest.raises(InvalidInput, match="cannot be installed"):
        folder_of(tmp_path / "home", (missing,))
    assert list((tmp_path / "home" / "envs").iterdir()) == []


def test_the_order_of_packages_does_not_matter() -> None:
    assert name_of(("a==1", "b==2")) == name_of(("b==2", "a==1")) != name_of(("a==1", "b==3"))
