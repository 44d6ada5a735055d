import os
import re
import shutil
import tomllib
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from setuptools import build_meta

GENERATED = {"__pycache__"}


@pytest.fixture(scope="session")
def project(repo_root: Path) -> dict[str, Any]:
    return tomllib.loads((repo_root / "pyproject.toml").read_text())


def folders(root: Path) -> list[Path]:
    """Every folder of code below `root`; links are data."""
    found = []
    for path, names, _ in os.walk(root):
        names[:] = [name for name in names if name not in GENERATED]
        found += [Path(path) / name for name in names if not (Path(path) / name).is_symlink()]
    return sorted(found)


def test_the_packages_listed_are_the_folders_there_are(repo_root: Path, project: dict[str, Any]) -> None:
    root = repo_root / "platform"
    there = ["headwater", *(".".join(("headwater", *each.relative_to(root).parts)) for each in folders(root))]
    assert sorted(project["tool"]["setuptools"]["packages"]) == sorted(there)


def test_each_folder_has_an_empty_init_but_the_one_that_users_import(repo_root: Path) -> None:
    root = repo_root / "platform"
    assert not (root / "__init__.py").exists()
    inits = {each / "__init__.py" for each in folders(root)}
    assert [path for path in inits if not path.is_file()] == []
    assert [path for path in inits - {root / "sdk" / "__init__.py"} if path.read_text()] == []


def test_imports_inside_the_platform_are_relative(repo_root: Path) -> None:
    absolute = re.compile(r"^\s*(from|import) (headwater|platform)\b", re.MULTILINE)
    files = (repo_root / "platform").rglob("*.py")
    assert [str(path) for path in files if absolute.search(path.read_text())] == []


def test_the_standard_platform_module_is_still_found() -> None:
    import platform

    assert platform.system()


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-bootstrap.lock"])
def test_a_lock_has_a_hash_for_everything_and_names_no_address(repo_root: Path, name: str) -> None:
    text = (repo_root / name).read_text()
    assert "://" not in text
    entries = re.split(r"\n(?=\S)", text.strip())
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_wheel_carries_configuration_and_data(
    repo_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Built from a copy, so that no build folder is left in the tree."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("platform", "configs"):
        shutil.copytree(repo_root / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns(*GENERATED))
    for name in ("pyproject.toml", "setup.py", "LICENSE"):
        shutil.copy(repo_root / name, copy)
    (copy / "README.md").write_text("Headwater")
    (copy / "src").mkdir()
    (copy / "src" / "headwater").symlink_to("../platform")
    monkeypatch.chdir(copy)
    with zipfile.ZipFile(tmp_path / build_meta.build_wheel(str(tmp_path))) as wheel:
        names = set(wheel.namelist())
    wanted = {
        "headwater/configs/local.toml",
        "headwater/configs/cluster.toml",
        "headwater/py.typed",
        "headwater/serve/headwater_serving.py.txt",
    }
    wanted |= {"headwater/local/kafka_jars.toml", "headwater/local/loopback/haproxy.sh", "headwater/errors.py"}
    assert wanted - names == set()
    assert [name for name in names if name.startswith("platform/")] == []
    core = [name for name in names if re.fullmatch(r"headwater/quota/placement/compiled\..*\.so", name)]
    assert len(core) == (find_spec("headwater.quota.placement.compiled") is not None)  # as could be built here
