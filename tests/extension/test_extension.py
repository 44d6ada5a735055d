"""An extension from a package of its own, installed apart and used by flows; and one that is none."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest
from extension.headwater_fractions import CODEC, Counted
from extension.headwater_lines import LINES, LONG_RUNS

from headwater.artifacts import conformance
from headwater.core import trigger_kind
from headwater.errors import InvalidInput
from headwater.events import sources
from headwater.sdk import wrappers
from headwater.sdk.context import Current
from headwater.wire.entries.runs import RunSucceeded
from headwater.wire.envelope import Event
from headwater.wire.manifest import TriggerSpec
from headwater.wire.types import Entry

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


READ = """
import asyncio
from headwater.actors.intake import added_kinds
from headwater.events.ingest import Ingest
from headwater.events.sources import opened
from headwater.sdk.deploying.manifest import manifest_of
from pathlib import Path

class Owner:
    def __init__(self): self.taken, self.done = [], asyncio.Event()
    async def take(self, records):
        self.taken += [(one.record.offset, one.record.previous, one.said.id, one.said.data) for one in records]
        if len(self.taken) >= 3: self.done.set()
    async def gap(self, gap, topic_id): raise AssertionError(gap)
    def room(self): return 500

async def read(position):
    (source,) = opened(["lines:events.jsonl"], {"source/lines:events.jsonl": position} if position else {})
    owner = Owner()
    task = asyncio.create_task(Ingest(source, owner).run())
    if position is None: await asyncio.wait_for(owner.done.wait(), 60)
    else:
        while not owner.taken: await asyncio.sleep(0.01)
    task.cancel()
    return owner.taken

Path("events.jsonl").write_text("".join('{"type": "t", "data": %d}\\n' % n for n in range(3)))
assert asyncio.run(read(None)) == [
    (0, None, "events.jsonl/0", 0), (1, 1, "events.jsonl/1", 1), (2, 2, "events.jsonl/2", 2)]
assert asyncio.run(read(2)) == [(2, 2, "events.jsonl/2", 2)]
assert [kind.name for kind in added_kinds()] == ["long"]
FLOW = "from headwater.sdk import flow, on\\n@flow(project='eta', on=on.other('%s', '%s'))\\ndef f(run_id: str): ...\\n"
Path("flow.py").write_text(FLOW % ("long", "eta/train"))
assert manifest_of(Path("flow.py")).flows[0].triggers[0].name == "long:eta/train"
for kind, subject, words in (("long", "train", "write project/flow"), ("lnog", "eta/train", "Did you mean 'long'")):
    Path("flow.py").write_text(FLOW % (kind, subject))
    try: manifest_of(Path("flow.py"))
    except Exception as error: assert words in str(error), error
    else: raise AssertionError(kind)
"""


def test_an_installed_source_is_read_from_its_place_and_an_installed_trigger_kind_deployed(
    installed: Path, tmp_path: Path
) -> None:
    done = run(READ, tmp_path, installed)
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


def test_its_source_keeps_what_a_source_promises(tmp_path: Path) -> None:
    file = tmp_path / "e.jsonl"
    file.write_text("".join(f'{{"type": "t", "data": {{"n": {n}}}}}\n' for n in range(5)))
    due = [Event(id=f"e.jsonl/{n}", source="lines", type="t", data={"n": n}) for n in range(5)]
    asyncio.run(sources.check(LINES, str(file), due))
    with pytest.raises(InvalidInput, match="is no file"):
        LINES.open(str(tmp_path / "nowhere"))


def test_its_trigger_kind_keeps_what_a_kind_promises() -> None:
    spec = TriggerSpec(name="long", kind="long", subject="eta/train")
    wrong = TriggerSpec(name="long", kind="long", subject="train")
    (heard,) = trigger_kind.check(LONG_RUNS, a_long_run(), spec, wrong)
    assert heard.data == {"run_id": "r1", "took_s": 90.0}


def a_long_run() -> Entry:
    body = RunSucceeded(flow="train", duration_us=90_000_000)
    return Entry(position=1, body=body, subject="r1", project="eta", principal="p", time_us=1, run_id="r1", seq=1)


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
