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
from headwater.sdk.client import Client
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
