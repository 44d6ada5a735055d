"""Web in a process of its own on a real Ray: it answers, hears the log, and its errors are sentences."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from scenes.store import Story, a_run, accepted, run_id

from headwater.local.ray_head import RayHead

DRIVER = """
import json, sys
import ray
from headwater.actors.roster import long_lived
from headwater.actors.wiring import Wiring
from headwater.config import load
from headwater.errors import InvalidInput
from headwater.sdk import Client
from headwater.store.engine import open_engine
from headwater.store.queries import Queries, Scope
from headwater.store.schema import LOG_HEAD
from headwater.web.actor import Web

address, home, url, run_id = sys.argv[1:]
ray.init(address=address, namespace="headwater", _node_ip_address="127.0.0.1", log_to_driver=False)

class Conductor:
    async def order(self, order):
        if order.data["flow"] == "bad":
            raise InvalidInput("The flow is bad", remedy="Mend it.")
        return {"done": {"run_id": "started"}}

    async def attach(self, name):
        return 0

    async def describe(self):
        return {"name": "conductor", "pid": 7, "mailbox": 0, "last_event": "", "last_event_us": 0, "restarts": 0,
                "memory_bytes": 1}

wiring = Wiring(home=home, store_url=url, bootstrap="127.0.0.1:9", settings=load(environment={}), http_port=0,
                serve_port=8001)
web = long_lived(Web, "web_test", wiring)
conductor = long_lived(Conductor, "conductor", )
address = ray.get(web.start.remote())
said = {}
with Client(address, "secret") as hw:
    said["runs"] = [run.id for run in hw.runs()]
    said["started"] = hw.run("good").id
    try:
        hw.run("bad")
    except InvalidInput as error:
        said["error"] = str(error)
    watch = hw.runs[run_id].watch()
    said["first"] = next(watch).type
    entry = Queries(open_engine(url)).log(Scope(), after=1, upto=2).entries[0]
    ray.get(web.follow.remote(1, 2, [entry]))
    said["second"] = next(watch).type
    watch.close()
    said["parts"] = {part: word for part, word in hw.ready().parts.items() if part in ("store", "conductor")}
    said["scheduler"] = hw.ready().parts["scheduler"]
said["again"] = ray.get(web.start.remote()) == address
said["pid"] = ray.get(web.describe.remote())["pid"] > 0
for actor in (web, conductor):
    ray.kill(actor)
print(json.dumps(said))
"""


def test_web_answers_and_pushes_from_a_process_of_its_own(ray_head: RayHead, tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.put("runs", a_run(1))
    story.say(accepted(), run=run_id(1))
    story.say(accepted(), run=run_id(1))
    story.close()
    (tmp_path / "token").write_text("secret")
    (tmp_path / "secret").write_bytes(b"secret")
    answer = subprocess.run(
        [sys.executable, "-c", DRIVER, ray_head.address, str(tmp_path), story.url, run_id(1)],
        env={**os.environ, **ray_head.environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    said = json.loads(answer.stdout.splitlines()[-1])
    assert said["runs"] == [run_id(1)]
    assert said["started"] == "started"
    assert said["error"] == "The flow is bad. Mend it."
    assert (said["first"], said["second"]) == ("run.accepted", "run.accepted")
    assert said["parts"] == {"store": "ok", "conductor": "ok"}
    assert "is not there" in said["scheduler"]
    assert (said["again"], said["pid"]) == (True, True)


APPENDS = """
import asyncio, json, sys
import pyarrow as pa
import ray
from headwater.actors.roster import long_lived, table_writer
from headwater.actors.wiring import Wiring
from headwater.config import load
from headwater.errors import HeadwaterError
from headwater.web.owners import RayOwners
from headwater.web.seams import Append

address, home, url = sys.argv[1:]
ray.init(address=address, namespace="headwater", _node_ip_address="127.0.0.1", log_to_driver=False)
wiring = Wiring(home=home, store_url=url, bootstrap="127.0.0.1:9", settings=load(environment={}), http_port=0,
                serve_port=8001)
writer = table_writer(wiring)
ray.get(writer.start.remote())
with pa.OSFile(f"{home}/rows.arrows", "w") as sink, pa.ipc.new_stream(sink, pa.schema({"x": pa.int64()})) as out:
    for start in (0, 1000):
        out.write_batch(pa.record_batch({"x": pa.array(range(start, start + 1000))}))
with open(f"{home}/bad.arrows", "wb") as sink:
    sink.write(b"no arrow stream")

async def main():
    owners = RayOwners()
    order = Append(table="lake.x", path=f"{home}/rows.arrows", key="k1", project="eta", principal="token:local")
    first, again = await owners.append(order), await owners.append(order)
    try:
        await owners.append(Append(table="lake.x", path=f"{home}/bad.arrows", key="k2", project="", principal="p"))
    except HeadwaterError as error:
        refused = str(error)
    return [first.rows_added, first.already, again.already, again.snapshot_id == first.snapshot_id, refused]

print(json.dumps(asyncio.run(main())))
ray.kill(writer)
"""


def test_an_arrow_stream_becomes_one_commit_under_its_key(ray_head: RayHead, tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.close()
    (tmp_path / "secret").write_bytes(b"secret")
    answer = subprocess.run(
        [sys.executable, "-c", APPENDS, ray_head.address, str(tmp_path), story.url],
        env={**os.environ, **ray_head.environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    rows, already, again, same, refused = json.loads(answer.stdout.splitlines()[-1])
    assert (rows, already, again, same) == (2000, False, True, True)
    assert refused.startswith("The body is no Arrow IPC stream")
