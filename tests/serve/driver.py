"""A process connected to Ray that drives `headwater.serve.apps`: one JSON call a line in, one answer a line out.

It is a process of its own because Serve reads its settings from the environment when it is first imported.
"""

from __future__ import annotations

import os
import sys

import msgspec
import ray

from headwater.errors import HeadwaterError
from headwater.serve import apps


def main(address: str) -> None:
    ray.init(address=address, _node_ip_address="127.0.0.1", namespace="headwater", log_to_driver=False)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what Ray prints is no answer
    print("ready", file=answers)
    for line in sys.stdin:
        name, arguments = msgspec.json.decode(line)
        if "desired" in arguments:
            arguments["desired"] = msgspec.convert(arguments["desired"], list[apps.ServeSpec])
        try:
            answer = {"result": getattr(apps, name)(**arguments)}
        except HeadwaterError as error:
            answer = {"refused": str(error)}
        print(msgspec.json.encode(answer).decode(), file=answers)
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
