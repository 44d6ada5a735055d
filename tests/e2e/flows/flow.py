"""Small flows of two teams: each shows one thing that a platform must do for user code."""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from urllib.request import Request, urlopen

from msgspec.structs import replace
from onnx import TensorProto, helper

from headwater.models.store import artifacts
from headwater.sdk import Model, Table, current, flow, model, on, publish, register, sleep, step


@flow(project="eta", on=on.event("number.came"))
def double(n: int) -> int:
    """Twice the number."""
    twice_n: int = twice(n).result()
    return twice_n


@step
def twice(n: int) -> int:
    return 2 * n


@flow(project="eta")
def divide(n: int) -> float:
    """Fails for zero."""
    share: float = share_of(n).result()
    return share


@step
def share_of(n: int) -> float:
    print(f"sharing one among {n}")
    return per_head(n)


def per_head(n: int) -> float:
    return 1 / n


@flow(project="eta", on=on.event("word.said"))
def tell(word: str) -> None:
    """Passes the word on."""
    publish("word.spread", {"word": word})


@flow(project="eta", on=on.event("word.spread"))
def hear(word: str) -> str:
    return word.upper()


@flow(project="flights")
def surroundings() -> dict[str, str]:
    """What a worker with a device sees."""
    seen: dict[str, str] = look_around().result()
    return seen


@step(gpus=1)
def look_around() -> dict[str, str]:
    return {"system": platform.system(), "python": platform.python_version(), "step": current().step}


@flow(project="eta")
def add() -> dict[str, float]:
    """Registers the model `adder` and leaves a row in a table."""
    register("adder", make_adder())
    keep_a_row().result()
    return {}


@step
def make_adder() -> Model:
    inputs = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["rows"]) for name in ("left", "right")]
    output = helper.make_tensor_value_info("sum", TensorProto.DOUBLE, ["rows"])
    graph = helper.make_graph([helper.make_node("Add", ["left", "right"], ["sum"])], "adder", inputs, [output])
    return Model.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8))


@flow(project="eta")
def keep_adder(name: str) -> int:
    """A version of a model that is not served."""
    return register(name, make_adder(), serve=None).version


@flow(project="eta")
def use_champion(name: str, gate: int) -> list[float]:
    """Sees its champion, waits at the gate, and uses it here and in a step."""
    seen = model(f"{name}@champion")
    stand_at(gate).result()
    sums: list[float] = use_model(seen, name).result()
    return sums


@step
def use_model(given: Model, name: str) -> list[float]:
    champion = model(name, alias="champion")
    assert champion == given
    return [float(value) for value in champion.predict({"left": [1.0], "right": [10.0]})["sum"]]


@flow(project="eta")
def cached_of(n: int, gate: int, notes: str) -> int:
    """Calls a cached step before what feeds it is there."""
    stood = stand_and_give(n, gate)
    kept: int = tenfold(stood, notes).result()
    return kept


@step
def stand_and_give(n: int, gate: int) -> int:
    stand(gate)
    return n


@step(cache=True)
def tenfold(n: int, notes: str) -> int:
    with Path(notes).open("a") as book:
        book.write(f"{n}\n")
    return 10 * n


@flow(project="eta")
def add_unloadable() -> None:
    """Registers a model that no replica can load."""
    register("unloadable", make_unloadable())


@step
def make_unloadable() -> Model:
    good = make_adder()
    with tempfile.TemporaryDirectory() as name:
        shutil.copytree(good.folder, name, dirs_exist_ok=True)
        (Path(name) / "model.onnx").write_bytes(b"made by a newer version")
        broken: Model = replace(good, digest=artifacts().put_folder(Path(name)))
    return broken


@step
def keep_a_row() -> None:
    import pyarrow as pa

    Table("lake.kept").append(pa.table({"number": [1]}))


@flow(project="eta")
def wait_at(gate: int, notes: str) -> int:
    """Notes that it began, then waits until somebody at the gate lets it go; the attempt that got through."""
    note(notes).result()
    attempt: int = stand_at(gate).result()
    return attempt


@step
def note(notes: str) -> None:
    with Path(notes).open("a") as book:
        book.write(f"{current().step_id} {current().attempt}\n")


@step
def stand_at(gate: int) -> int:
    return stand(gate)


def stand(gate: int) -> int:
    """Says who it is at a port, and stands there; Python gets a word in between, so that it can be stopped."""
    with socket.create_connection(("127.0.0.1", gate)) as line:
        line.sendall(json.dumps({"pid": os.getpid(), "attempt": current().attempt}).encode() + b"\n")
        line.settimeout(0.1)
        while True:
            try:
                word = line.recv(1)
            except TimeoutError:
                continue
            if word:
                return current().attempt
            raise ConnectionError("the gate is gone")


@flow(project="eta")
def queue_up(gate: int) -> list[int]:
    """Two steps that want the one GPU, each at the gate when it has it."""
    standing = [hold_device(gate), hold_device(gate)]
    return [each.result() for each in standing]


@step(gpus=1, max_runtime="10m")
def hold_device(gate: int) -> int:
    return stand(gate)


@flow(project="eta")
def pay(service: str, gate: int) -> int:
    """Has an effect outside the platform, then waits at the gate; the attempt that got through."""
    attempt: int = have_effect(service, gate).result()
    return attempt


@step
def have_effect(service: str, gate: int) -> int:
    asked = Request(service, method="POST", headers={"Idempotency-Key": current().idempotency_key})
    urlopen(asked, timeout=30).close()
    return stand(gate)


@step
def say_lines(which: int, lines: int) -> int:
    """Half on stdout, half on stderr, and every hundredth logged as well."""
    for number in range(lines):
        print(f"out {which} {number}", file=(sys.stdout, sys.stderr)[number % 2])
        if number % 100 == 0:
            logging.getLogger("talk").info("%d", number)
    return 1


@flow(project="eta")
def talk(steps: int, lines: int) -> int:
    return sum(done.result() for done in [say_lines(which, lines) for which in range(steps)])


@flow(project="eta", on=on.event("note.wanted"))
def take_note(notes: str) -> int:
    """Leaves a line in a file; the attempt whose line counted."""
    attempt: int = jot(notes).result()
    return attempt


@flow(project="eta", on=on.event("note.wanted.once"))
def take_note_once(notes: str) -> int:
    """The same, as an effect that must not happen twice."""
    attempt: int = jot_once(notes).result()
    return attempt


@step
def jot(notes: str) -> int:
    return write_line(notes)


@step(effect="once")
def jot_once(notes: str) -> int:
    return write_line(notes)


def write_line(notes: str) -> int:
    with Path(notes).open("a") as book:
        book.write(f"{current().step_id} {current().attempt}\n")
    return current().attempt


@flow(project="eta")
def keep_one(table: str) -> None:
    """Leaves one row in a table of that name."""
    append_one(table).result()


@step
def append_one(table: str) -> None:
    import pyarrow as pa

    Table(table).append(pa.table({"number": [1]}))


@flow(project="eta")
def fan_out(count: int, notes: str) -> int:
    """All steps are there before the first is asked for."""
    return sum(each.result() for each in [note_of(number, notes) for number in range(count)])


@step
def note_of(number: int, notes: str) -> int:
    """Leaves a line for each time it ran."""
    with open(notes, "a") as lines:
        lines.write(f"{number}\n")
    return number


@flow(project="eta", on=on.all_of(on.event("left.came"), on.event("right.came"), within="1h", key="data.pair"))
def join_two(pair: str) -> str:
    return pair


@flow(project="eta", on=on.event("echo.heard"))
def echo(voice: str) -> None:
    """Starts itself again."""
    publish("echo.heard", {"voice": voice})


@flow(project="eta")
def nap() -> None:
    """Has the platform look at its clock."""
    sleep(0.1)


@flow(project="eta", on=on.event("webhook.github"))
def look_at_github(action: str) -> str:
    return action


@flow(project="eta")
def hash_twice(word: str) -> list[int]:
    """How a host hashes a text, and how a worker does."""
    return [hash(word), hash_once(word).result()]


@step
def hash_once(word: str) -> int:
    return hash(word)
