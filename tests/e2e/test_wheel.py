"""The wheel in an empty environment, from the project's own lock: what it brings, alone and with its extras."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from scenes.life import FREE_PORTS, environment, homes, processes_of

SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "platform", "src", "configs", "examples")
UV = Path(sys.executable).with_name("uv")
PLATFORM_ONLY = ("ray", "sqlalchemy", "aiokafka", "fastapi", "alembic", "faust")
HELLO = """
from headwater.sdk import flow, on, step

@flow(project="flights", on=on.event("number.arrived"))
def squares(number: int) -> int:
    return sum(part.result() for part in [square(n) for n in range(number)])

@step
def square(n: int) -> int:
    return n * n
"""
LIGHT = f"""
import importlib.util, sys
from headwater.sdk import Client, Model, Table, flow, on, step

@step
def square(n: int) -> int:
    return n * n

@flow(project="eta")
def squares(n: int) -> int:
    return sum(square(i).result() for i in range(n))

assert squares(4) == 14
assert Client("http://127.0.0.1:9", "token").models["delay"] is not None
for name in {PLATFORM_ONLY!r}:
    assert name == "sqlalchemy" or importlib.util.find_spec(name) is None, name + " was installed"
    assert name not in sys.modules, name + " was imported"
"""


@pytest.fixture(scope="session")
def wheel(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the sources, so that nothing of an earlier build gets in."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source = repo_root / name
        if source.is_dir():
            shutil.copytree(source, folder / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    said(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder / "dist", folder, cwd=folder)
    (built,) = (folder / "dist").glob("*.whl")
    return built


def installed(wheel: Path, folder: Path, *, extras: str, root: Path) -> Path:
    """The `bin` of a fresh environment that holds the wheel with its extras, in the lock's versions and hashes."""
    said(UV, "venv", "--python", sys.executable, folder, cwd=folder.parent)
    words: list[str | Path] = [
        UV,
        "pip",
        "install",
        "--python",
        folder / "bin" / "python",
        "--constraint",
        root / "requirements.lock",
    ]
    words.append(f"headwater{extras} @ {wheel.as_uri()}")
    known = ran(*words, "--offline", cwd=folder.parent)  # what `make setup` has fetched
    if known.returncode != 0:
        said(*words, cwd=folder.parent)
    return folder / "bin"


def ran(*words: str | Path, cwd: Path, within_s: float = 400.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in words], cwd=cwd, env=environment(None), capture_output=True, text=True,
        timeout=within_s, check=False,
    )  # fmt: skip


def said(*words: str | Path, cwd: Path) -> str:
    done = ran(*words, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_alone_gives_flows_and_the_client_without_ray(wheel: Path, repo_root: Path, tmp_path: Path) -> None:
    bin_folder = installed(wheel, tmp_path / "env", extras="", root=repo_root)
    said(bin_folder / "python", "-c", LIGHT, cwd=tmp_path)
    assert "publish" in said(bin_folder / "headwater", "--help", cwd=tmp_path)
    refused = ran(bin_folder / "headwater", "up", cwd=tmp_path)
    assert refused.returncode == 1
    assert "headwater[platform" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.faults
def test_the_wheel_with_its_extras_passes_the_tour_outside_the_repository(wheel: Path, repo_root: Path) -> None:
    with homes() as folder:
        bin_folder = installed(wheel, folder / "env", extras="[platform,examples]", root=repo_root)
        headwater, home, outside = bin_folder / "headwater", folder / "home", folder / "outside"
        (outside / "hello").mkdir(parents=True)
        (outside / "hello" / "flow.py").write_text(HELLO)
        assert "offline the same within" in said(headwater, "demo", "--home", home, *FREE_PORTS, cwd=outside)
        assert processes_of(folder) == []
        said(headwater, "up", "--detach", "--home", home, *FREE_PORTS, cwd=outside)
        here = ("env", f"HEADWATER_HOME={home}", headwater)
        assert "flights/squares" in said(*here, "deploy", "hello", cwd=outside)
        run = json.loads(said(*here, "run", "start", "squares", "-p", "number=4", "--json", cwd=outside))["id"]
        assert "run.succeeded" in said(*here, "watch", run, cwd=outside)
        assert "train_delay" in said(*here, "runs", cwd=outside)
        said(headwater, "down", "--home", home, cwd=outside)
        assert processes_of(folder) == []
