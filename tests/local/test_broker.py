import shutil
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from headwater.errors import Conflict, Unavailable
from headwater.local.aot import Training, aot_file
from headwater.local.broker import Broker, wait_until
from headwater.local.home import this_process
from headwater.local.jars import kafka_folder, kafka_jars, read_lock, user_cache, wrong_jars
from headwater.local.ports import free_ports
from headwater.local.processes import descendants, identify, is_alive, start


@pytest.mark.asyncio(loop_scope="session")
async def test_a_message_goes_through_the_broker(broker: Broker) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("local.through", 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, enable_idempotence=True)
    await producer.start()
    await producer.send_and_wait("local.through", b"hello")
    await producer.stop()
    consumer = AIOKafkaConsumer("local.through", bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    record = await consumer.getone()
    await consumer.stop()
    assert record.value == b"hello"


def test_starting_a_running_broker_changes_nothing(broker: Broker) -> None:
    pid = broker.pid
    assert broker.start() == broker.bootstrap
    assert broker.pid == pid


def test_a_taken_port_is_refused_with_the_setting_to_change(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Conflict, match=rf"port {port} for the broker is taken.*HEADWATER_KAFKA__PORT"):
            Broker(tmp_path, port=port).start()


def test_a_broker_that_dies_says_what_it_last_said(tmp_path: Path) -> None:
    dying = start([sys.executable, "-c", "print('no room'); exit(3)"], log=tmp_path / "log", pid_file=tmp_path / "pid")
    with pytest.raises(Unavailable, match=r"status 3.*no room. The whole log is"):
        wait_until(lambda: False, dying, within_s=10.0)
    dying.end()


def test_a_broker_outlives_a_kill_with_its_data_and_ends_what_was_left(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    killed = "import os, pathlib, sys; from headwater.local.broker import Broker; "
    killed += (
        "b = Broker(pathlib.Path(sys.argv[1]), port=int(sys.argv[2])); b.start(); print(b.pid, flush=True); os._exit(9)"
    )
    argv = [sys.executable, "-c", killed, str(tmp_path), str(port)]
    told = subprocess.run(argv, capture_output=True, text=True, check=False)
    left = identify(int(told.stdout))
    assert left is not None
    again = Broker(tmp_path)  # the port is kept
    assert again.start() == f"127.0.0.1:{port}"
    assert not is_alive(left)
    pid = again.pid
    again.stop()
    assert pid is not None
    assert identify(pid) is None
    assert not (tmp_path / "kafka.pid").exists()


def test_every_jar_fits_the_lock_and_a_changed_one_is_found(tmp_path: Path) -> None:
    lock = read_lock()
    jars = kafka_jars(user_cache())
    assert [jar.name for jar in jars] == list(lock.sha256)
    for jar in jars:
        (tmp_path / jar.name).symlink_to(jar)
    (tmp_path / "re2j-1.8.jar").unlink()
    (tmp_path / "re2j-1.8.jar").write_bytes(b"another")
    assert wrong_jars(tmp_path, lock) == ["re2j-1.8.jar"]


def test_a_training_that_is_abandoned_leaves_nothing(tmp_path: Path) -> None:
    own = kafka_folder(tmp_path, read_lock())
    own.mkdir(parents=True)
    for jar in kafka_jars(user_cache()):
        shutil.copy(jar, own)
    before = set(descendants(this_process()))
    training = Training(tmp_path)
    training.abandon()
    assert not training.wait(0)
    assert [path.name for path in own.iterdir() if path.suffix != ".jar"] == []
    assert set(descendants(this_process())) <= before


@pytest.mark.faults
def test_a_trained_broker_starts_from_the_cache(tmp_path: Path) -> None:
    own = kafka_folder(tmp_path, read_lock())
    own.mkdir(parents=True)
    for jar in kafka_jars(user_cache()):
        shutil.copy(jar, own)
    broker = Broker(tmp_path / "broker", cache=tmp_path)
    broker.start()
    training = broker.train()
    assert training is not None
    assert training.wait(300)
    broker.stop()
    assert broker.train() is None
    broker.start()
    assert f"-XX:AOTCache={aot_file(tmp_path)}" in psutil.Process(broker.pid).cmdline()
    broker.stop()
