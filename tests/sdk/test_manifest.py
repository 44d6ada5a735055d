import subprocess
from pathlib import Path

import pytest

from headwater.errors import InvalidInput
from headwater.sdk.deploying.bundle import Bundle, bundle_of, code_version, pack, unpack
from headwater.sdk.deploying.manifest import manifest_of
from headwater.sdk.problem import Problem

GOOD = """
from headwater.sdk import flow, step, on
from parts.tools import x
print("noise")

@step(gpus=1, memory="1GiB")
def fit(a): return a

@flow(project="eta", on=[on.event("trips.landed", where="data.rows > 0"), on.commit("lake.trips")])
def train(day: str, n: int = 3):
    'Trains.'
"""


def written(folder: Path, text: str = GOOD, name: str = "train.py") -> Path:
    (folder / "parts").mkdir(exist_ok=True)
    (folder / "parts" / "tools.py").write_text("x = 1\n")
    (folder / name).write_text(text)
    return folder


def problem_of(folder: Path) -> Problem:
    with pytest.raises(Problem) as caught:
        manifest_of(folder)
    return caught.value


def test_a_folder_declares_its_flows_steps_and_triggers(tmp_path: Path) -> None:
    manifest = manifest_of(written(tmp_path))
    (train,) = manifest.flows
    assert (train.name, train.project, train.function, train.line) == ("train", "eta", "train:train", 10)
    assert [trigger.name for trigger in train.triggers] == ["event:trips.landed", "commit:lake.trips"]
    assert train.parameters["required"] == ["day"]
    assert [(step.name, step.demand.gpus_milli) for step in manifest.steps] == [("fit", 1000)]


def test_one_file_can_be_deployed_alone(tmp_path: Path) -> None:
    text = "from headwater.sdk import flow\n@flow(project='p')\ndef one(): ...\n"
    assert manifest_of(written(tmp_path, text) / "train.py").flows[0].function == "train:one"


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("rows > 0", "rows >", 9, "no CEL"),
        ('where="data.rows > 0"', 'map={"dya": "1"}', 9, "Did you mean 'day'"),
        ('where="data.rows > 0"', 'map={"n": "1"}', 9, "leaves out 'day'"),
        ('where="data.rows > 0"', 'key="data."', 9, "its key 'data.' cannot be used"),
        ('where="data.rows > 0"', 'schema={"type": "thing"}', 9, "no JSON Schema"),
        ('where="data.rows > 0"', 'filter="x"', 9, "no option 'filter'"),
        ('on.commit("lake.trips")', 'on.cron("0 0 30 2 *")', 9, "no cron expression"),
        ('on.commit("lake.trips")', 'on.cron("0 6 * * *", tz="Mars/X")', 9, "time zone 'Mars/X'"),
        ('on.commit("lake.trips")', 'on.cron("0 6 * * *", catch_up="some")', 9, "catch_up is 'some'"),
        ('on.commit("lake.trips")', 'on.all_of(on.event("a"), on.event("b"))', 9, "a join needs a window"),
        ('on.commit("lake.trips")', 'on.all_of(on.event("a"), within="-1h")', 9, "no length of time"),
        ('where="data.rows > 0"', "batch=(0, 5)", 9, "batch is 0 events"),
        ('where="data.rows > 0"', "batch=5", 9, r"batch is 5.*\(100"),
        ('where="data.rows > 0"', "concurrency=(1, 'drop')", 9, "drop-oldest"),
        ('where="data.rows > 0"', 'batch=(5, 5), debounce=3, map={"day": "data"}', 9, "2 ways"),
        ("parts.tools", "partz.tools", 3, "Did you mean 'parts'"),
        ("gpus=1", "gpu=1", 6, "Did you mean 'gpus'"),
        ("def train(", "def train((", 10, "never closed|invalid syntax"),
        ('on.commit("lake.trips")', 'on.event("trips.landed")', 9, "two triggers are named"),
        ("day: str", "day: Frame", 10, "Frame"),
        ("@flow", "raise SystemExit(3)\n@flow", 9, "SystemExit"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(tmp_path: Path, old: str, new: str, line: int, said: str) -> None:
    problem = problem_of(written(tmp_path, GOOD.replace(old, new)))
    assert (problem.file, problem.line) == ("train.py", line)
    with pytest.raises(Problem, match=said):
        raise problem


def test_an_import_error_shows_the_users_frames_alone(tmp_path: Path) -> None:
    frames = problem_of(written(tmp_path, "import parts.tools\n1 / 0\n")).frames
    assert "1 / 0" in frames
    assert "headwater" not in frames
    assert "importlib" not in frames


def test_a_folder_without_a_flow_is_refused(tmp_path: Path) -> None:
    assert "No flow was found" in problem_of(written(tmp_path, "x = 1\n")).what


def test_a_module_that_hides_pythons_own_is_refused(tmp_path: Path) -> None:
    assert "hides Python's own module 'queue'" in problem_of(written(tmp_path, name="queue.py")).what


def test_a_process_that_dies_while_importing_is_told(tmp_path: Path) -> None:
    assert "exit code 9" in problem_of(written(tmp_path, "import os\nos._exit(9)\n")).what


def test_a_bundle_holds_what_git_would_not_ignore(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    written(tmp_path)
    (tmp_path / ".gitignore").write_text("data/\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "big.bin").write_bytes(b"x")
    assert bundle_of(tmp_path).names == ("parts/tools.py", "train.py")


def test_without_git_caches_and_environments_stay_out(tmp_path: Path) -> None:
    written(tmp_path)
    for folder in ("__pycache__", ".venv", "venv"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.py").write_text("")
    assert bundle_of(tmp_path).names == ("parts/tools.py", "train.py")


def test_the_code_version_follows_content_requirements_and_python(tmp_path: Path) -> None:
    bundle = bundle_of(written(tmp_path))
    before = code_version(bundle)
    assert code_version(bundle_of(tmp_path)) == before
    assert code_version(bundle, python="3.99") != before
    (tmp_path / "requirements.txt").write_text("numpy\n")
    assert code_version(bundle_of(tmp_path)) != before


def test_a_packed_bundle_unpacks_to_the_same_version(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    bundle = bundle_of(written(tmp_path / "a"))
    assert pack(bundle) == pack(bundle)
    assert code_version(unpack(pack(bundle), tmp_path / "b")) == code_version(bundle)


def test_an_upload_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no gzipped tar"):
        unpack(b"hello", tmp_path / "b")


def test_an_upload_cannot_leave_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "outside.py").write_text("x = 1")
    with pytest.raises(InvalidInput):
        unpack(pack(Bundle(tmp_path / "a", ("../outside.py",))), tmp_path / "c" / "b")
    assert not (tmp_path / "c" / "outside.py").exists()
