from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headwater.core.device_health import DeviceHealth, HealthBounds
from headwater.core.gpu_messages import (
    LOGICAL,
    Event,
    Examine,
    Examined,
    NodeGone,
    NodeReport,
    Part,
    Released,
    Reported,
)
from headwater.core.gpu_pool import GpuPool
from headwater.core.inbox import Ordered
from headwater.core.ledger import Ledger
from headwater.core.records.leases import Lease, LeaseState
from headwater.core.turn import Turn
from headwater.wire import calls
from headwater.wire.entries.events import CommandDone
from headwater.wire.entries.nodes import Device, DeviceQuarantined, DevicesFreed, NodeDrained, NodeJoined, NodeLeft


def a_report(*models: str, ray_node: str = "r1", **changes: Any) -> Reported:
    devices = tuple(Device(id=f"n/{number}", model=model) for number, model in enumerate(models))
    node = {"node": "n", "ray_node": ray_node, "cpus_milli": 4000, "memory_bytes": 8, "devices": devices}
    return Reported(NodeReport(**{**node, **changes}))


def a_lease(fence: int = 1, device: str = "n/0", state: LeaseState = LeaseState.RELEASING) -> Lease:
    facts = {"run_id": "r", "step_id": "r/1", "project": "eta", "since_us": 1, "released_us": 2}
    return Lease(fence=fence, device=device, node="n", milli=1000, state=state, **facts)  # type: ignore[arg-type]


def released(*leases: Lease, worker: str | None = "w", seen_empty: bool = True) -> Released:
    return Released(leases[0].fence, worker, seen_empty, leases)


def order(kind: str, **data: Any) -> Ordered:
    facts = {"source": "cli", "id": f"{kind} {data}", "kind": kind, "principal": "me", "project": "p"}
    return Ordered(order=calls.Order(**facts, data=data, sha256="s"))


class Scene:
    def __init__(self, *models: str, bounds: HealthBounds | None = None) -> None:
        self.pool = GpuPool(bounds)
        self.now_us = 0
        self.turn = Turn(0)
        self.written: dict[str, dict[Any, Any]] = {}
        if models:
            self.tell(a_report(*models))

    def tell(self, event: Event) -> list[Any]:
        """What was said."""
        self.now_us += 1
        self.turn = self.pool.decide(event, self.now_us)
        self.written = self.pool.book.changes()
        self.pool.settle()
        return [word.body for word in self.turn.said]

    def lease_states(self) -> list[str]:
        return [str(lease.state) for lease in self.written.get("leases", {}).values()]


def test_a_node_joins_once_and_again_only_when_it_changed() -> None:
    scene = Scene()
    (joined,) = scene.tell(a_report(LOGICAL))
    assert (joined.node, joined.ray_node, joined.devices[0].id) == ("n", "r1", "n/0")
    assert set(scene.written) == {"nodes", "devices"}
    assert scene.tell(a_report(LOGICAL)) == []
    assert scene.written == {}
    (again,) = scene.tell(a_report(LOGICAL, LOGICAL))
    assert len(again.devices) == 2
    assert len(scene.tell(a_report(LOGICAL, LOGICAL, ray_node="r2"))) == 1


def test_a_device_that_is_not_reported_any_more_has_left() -> None:
    scene = Scene(LOGICAL, LOGICAL)
    scene.tell(a_report(LOGICAL))
    assert scene.pool.devices["n/1"].state == "LEFT"


def test_logical_devices_that_were_seen_empty_are_free_at_once() -> None:
    scene = Scene(LOGICAL, LOGICAL)
    (freed,) = scene.tell(released(a_lease(), a_lease(device="n/1")))
    assert freed == DevicesFreed(fence=1, devices=("n/0", "n/1"))
    assert scene.lease_states() == ["FREE", "FREE"]
    assert scene.turn.said[0].project == "eta"
    assert len(scene.pool.leases) == 0


def test_what_was_not_seen_empty_is_looked_at_first() -> None:
    scene = Scene(LOGICAL)
    assert scene.tell(released(a_lease(), seen_empty=False)) == []
    assert scene.turn.effects == [Examine(1, (Part("n", "w", ("n/0",)),), "r/1:1")]
    assert scene.tell(released(a_lease(), seen_empty=False)) == []
    assert scene.turn.effects == []
    (freed,) = scene.tell(Examined(1, True))
    assert freed.devices == ("n/0",)


def test_a_real_device_is_looked_at_even_when_it_was_seen_empty() -> None:
    scene = Scene()
    real = (Device(id="GPU-5f", model="H100"),)
    scene.tell(a_report(devices=real))
    scene.tell(released(a_lease(device="GPU-5f")))
    assert scene.turn.effects == [Examine(1, (Part("n", "w", ("GPU-5f",)),), "r/1:1")]


def test_a_logical_device_is_one_whatever_model_it_is_taken_for() -> None:
    scene = Scene("H100")
    (freed,) = scene.tell(released(a_lease()))
    assert freed == DevicesFreed(fence=1, devices=("n/0",))


def test_an_attempt_that_no_worker_was_bound_to_left_nothing() -> None:
    scene = Scene("H100")
    (freed,) = scene.tell(released(a_lease(), worker=None, seen_empty=False))
    assert freed.fence == 1


def test_a_device_that_does_not_get_empty_is_quarantined_until_it_is_restored() -> None:
    scene = Scene(LOGICAL)
    scene.tell(released(a_lease(), seen_empty=False))
    (quarantined,) = scene.tell(Examined(1, False, "worker w lives"))
    assert quarantined == DeviceQuarantined(device="n/0", reason="worker w lives", node="n")
    assert scene.lease_states() == ["QUARANTINED"]
    assert scene.pool.devices["n/0"].state == "QUARANTINED"
    freed, done = scene.tell(order("device.restore", device="n/0"))
    assert freed == DevicesFreed(fence=0, devices=("n/0",))
    assert isinstance(done, CommandDone)
    assert scene.lease_states() == ["FREE"]
    assert scene.pool.devices["n/0"].state == "READY"


def test_a_quarantined_device_that_is_seen_empty_later_is_lent_again() -> None:
    scene = Scene(LOGICAL)
    scene.tell(released(a_lease(), seen_empty=False))
    scene.tell(Examined(1, False, "process 7 of it lives"))
    assert scene.tell(Examined(1, True)) == [DevicesFreed(fence=0, devices=("n/0",))]
    assert scene.lease_states() == ["FREE"]
    assert scene.pool.devices["n/0"].state == "READY"
    assert scene.tell(Examined(1, True)) == []


def test_a_shared_device_is_not_expected_to_be_empty_of_others() -> None:
    scene = Scene(LOGICAL)
    scene.tell(released(msgspec.structs.replace(a_lease(), milli=250), seen_empty=False))
    assert scene.turn.effects == [Examine(1, (Part("n", "w", ()),), "r/1:1")]


def test_a_quarantine_outlives_the_node() -> None:
    scene = Scene(LOGICAL)
    scene.tell(released(a_lease(), seen_empty=False))
    scene.tell(Examined(1, False, "worker w lives"))
    scene.tell(NodeGone("n", "gone"))
    joined, quarantined = scene.tell(a_report(LOGICAL, ray_node="r2"))
    assert isinstance(joined, NodeJoined)
    assert quarantined == DeviceQuarantined(device="n/0", reason="worker w lives", node="n")


def test_nothing_lives_on_a_node_that_has_left() -> None:
    scene = Scene(LOGICAL)
    scene.tell(released(a_lease(1), seen_empty=False))
    left, freed = scene.tell(NodeGone("n", "its machine is gone"))
    assert left == NodeLeft(node="n", reason="its machine is gone")
    assert scene.pool.nodes["n"].seen_us == scene.turn.now_us
    assert freed.fence == 1
    (freed,) = scene.tell(released(a_lease(2), seen_empty=False))
    assert freed.fence == 2
    assert scene.tell(NodeGone("n", "again")) == []


def test_a_drained_node_stays_drained_when_it_is_reported_anew() -> None:
    scene = Scene(LOGICAL)
    drained, done = scene.tell(order("node.drain", node="n", drained=True))
    assert drained == NodeDrained(node="n", drained=True)
    assert done.result == {"node": "n", "drained": True}
    assert scene.tell(a_report(LOGICAL, ray_node="r2"))[1] == NodeDrained(node="n", drained=True)
    assert scene.tell(order("node.drain", node="n", drained=False))[0] == NodeDrained(node="n", drained=False)


@pytest.mark.parametrize(
    ("kind", "data", "code"),
    [
        ("node.drain", {"node": "m"}, "not_found"),
        ("node.drain", {}, "not_found"),
        ("node.drain", {"node": "n", "drained": "no"}, "bad_command"),
        ("device.restore", {"device": "n/0"}, "not_quarantined"),
        ("node.explode", {}, "unknown_command"),
    ],
)
def test_a_command_that_does_not_fit_is_refused_in_the_log(kind: str, data: dict[str, Any], code: str) -> None:
    scene = Scene(LOGICAL)
    (refused,) = scene.tell(order(kind, **data))
    assert refused.code == code
    assert scene.turn.said[0].causation is not None
    assert [node.state for node in scene.pool.nodes.values()] == ["READY"]


def test_leases_that_are_held_or_free_are_not_touched() -> None:
    scene = Scene(LOGICAL)
    assert scene.tell(released(a_lease(state=LeaseState.HELD))) == []
    assert scene.tell(released(a_lease(state=LeaseState.FREE))) == []


EVENTS = st.sampled_from(
    [
        a_report(LOGICAL, LOGICAL),
        a_report("H100", ray_node="r2"),
        NodeGone("n", "gone"),
        released(a_lease(1), seen_empty=False),
        released(a_lease(2, "n/1")),
        Examined(1, True),
        Examined(1, False, "w lives"),
        order("node.drain", node="n"),
        order("device.restore", device="n/0"),
    ]
)


@given(st.lists(EVENTS, max_size=8), st.lists(EVENTS, max_size=4))
def test_a_rollback_leaves_the_pool_as_it_was(before: list[Event], undone: list[Event]) -> None:
    scene = Scene(LOGICAL)
    for event in before:
        scene.tell(event)
    pool = scene.pool
    picture = contents(pool)
    for event in undone:
        pool.decide(event, 99)
    pool.book.rollback()
    assert contents(pool) == picture


def contents(pool: GpuPool) -> list[dict[Any, Any]]:
    ledgers: tuple[Ledger[Any, Any], ...] = (pool.nodes, pool.devices, pool.leases, pool.examined, pool.mail.rows)
    return [{key: ledger[key] for key in ledger} for ledger in ledgers]


# Health.


def feels(device: str = "n/0", **health: Any) -> Reported:
    """A report of the node's one device and how it is."""
    return a_report(LOGICAL, health=(DeviceHealth(device=device, **health),))


@pytest.mark.parametrize(
    ("health", "illness", "says"),
    [
        ({"temperature_c": 90}, "hot", "90 °C, and 90 °C is the limit"),
        ({"ecc_uncorrected": 2}, "ecc", "2 memory errors (ECC)"),
        ({"xids": (13, 79)}, "xid", "XID error 79"),
        ({"silent": "GPU is lost"}, "silent", "GPU is lost"),
    ],
)
def test_an_ill_device_is_quarantined_once_and_told(health: dict[str, Any], illness: str, says: str) -> None:
    scene = Scene(LOGICAL)
    (said,) = scene.tell(feels(**health))
    assert (said.device, said.node, said.illness) == ("n/0", "n", illness)
    assert says in said.reason
    assert scene.written["devices"]["n/0"].state == "QUARANTINED"
    assert scene.tell(feels(**health)) == []
    assert scene.written.get("devices") is None


def test_a_device_that_is_well_is_not_written() -> None:
    scene = Scene(LOGICAL)
    assert scene.tell(feels(temperature_c=89, xids=(13, 31))) == []
    assert scene.written == {}


def test_a_hot_device_is_back_by_itself_when_it_is_cool_and_not_before() -> None:
    scene = Scene(LOGICAL)
    scene.tell(feels(temperature_c=95))
    assert scene.tell(feels(temperature_c=81)) == []
    assert scene.tell(feels(temperature_c=80)) == [DevicesFreed(fence=0, devices=("n/0",))]
    assert scene.pool.devices["n/0"].state == "READY"


def test_a_hot_device_with_errors_waits_for_a_person_whatever_its_temperature() -> None:
    scene = Scene(LOGICAL)
    scene.tell(feels(temperature_c=95))
    (said,) = scene.tell(feels(temperature_c=95, ecc_uncorrected=1))
    assert said.illness == "ecc"
    assert scene.tell(feels(temperature_c=40, ecc_uncorrected=1)) == []
    assert scene.pool.devices["n/0"].state == "QUARANTINED"


def test_what_a_person_takes_back_is_ill_again_only_by_new_errors() -> None:
    scene = Scene(LOGICAL)
    scene.tell(feels(ecc_uncorrected=3, xids=(79,)))
    freed, done = scene.tell(order("device.restore", device="n/0"))
    assert freed == DevicesFreed(fence=0, devices=("n/0",))
    assert isinstance(done, CommandDone)
    assert scene.tell(feels(ecc_uncorrected=3, xids=(79,))) == []
    (said,) = scene.tell(feels(ecc_uncorrected=4, xids=(79,)))
    assert "1 memory error (ECC)" in said.reason


def test_errors_that_are_counted_from_nothing_again_are_not_forgiven_in_advance() -> None:
    scene = Scene(LOGICAL)
    scene.tell(feels(ecc_uncorrected=3))
    scene.tell(order("device.restore", device="n/0"))
    assert scene.tell(feels(ecc_uncorrected=0)) == []  # its driver has started anew
    (said,) = scene.tell(feels(ecc_uncorrected=1))
    assert said.illness == "ecc"


def test_an_ill_device_whose_attempt_left_nothing_stays_out_of_service() -> None:
    scene = Scene(LOGICAL)
    scene.tell(released(a_lease(), seen_empty=False))
    scene.tell(feels(xids=(79,)))
    scene.tell(Examined(1, False, "process 7 is on n/0"))
    assert scene.pool.devices["n/0"].illness == "xid"
    assert scene.tell(Examined(1, True)) == []
    assert scene.lease_states() == ["FREE"]
    assert scene.pool.devices["n/0"].state == "QUARANTINED"


def test_a_hot_device_on_which_something_was_left_waits_for_both() -> None:
    scene = Scene(LOGICAL)
    scene.tell(released(a_lease(), seen_empty=False))
    scene.tell(Examined(1, False, "process 7 is on n/0"))
    scene.tell(feels(temperature_c=95))
    assert scene.tell(feels(temperature_c=20)) == []
    assert scene.pool.devices["n/0"].state == "QUARANTINED"
    assert scene.tell(Examined(1, True)) == [DevicesFreed(fence=0, devices=("n/0",))]


def comes_and_goes(scene: Scene, times: int) -> list[Any]:
    """What was said when it came back the last time."""
    said: list[Any] = []
    for _ in range(times):
        scene.tell(NodeGone("n", "its machine is gone"))
        said = scene.tell(a_report(LOGICAL))
    return said


def test_a_node_that_flaps_is_drained_and_a_person_takes_it_back() -> None:
    scene = Scene(LOGICAL)
    assert [type(body) for body in comes_and_goes(scene, 2)] == [NodeJoined]
    joined, drained = comes_and_goes(scene, 1)
    assert isinstance(joined, NodeJoined)
    assert drained.drained
    assert drained.reason.startswith("it left 3 times within 600 s")
    assert scene.tell(a_report(LOGICAL)) == []
    assert scene.pool.nodes["n"].state == "DRAINED"
    scene.now_us += 700_000_000
    assert [type(body) for body in comes_and_goes(scene, 1)] == [NodeJoined, NodeDrained]  # nobody took it back
    restored, _ = scene.tell(order("node.drain", node="n", drained=False))
    assert restored == NodeDrained(node="n", drained=False)
    assert [type(body) for body in comes_and_goes(scene, 2)] == [NodeJoined]


def test_leaving_in_order_or_seldom_is_no_flapping() -> None:
    scene = Scene(LOGICAL)
    for turn in range(4):  # drained first, as Ctrl-C does it, or not there when the platform started
        scene.tell(order("node.drain", node="n", turn=turn))
        scene.tell(NodeGone("n", "its machine is gone"))
        scene.tell(a_report(LOGICAL))
        scene.tell(NodeGone("n", "it was not there", was_told=True))
        scene.tell(a_report(LOGICAL))
    for _ in range(4):
        scene.now_us += 300_000_000
        said = comes_and_goes(scene, 1)
    assert [type(body) for body in said] == [NodeJoined]
    never = Scene(LOGICAL, bounds=HealthBounds(flaps_max=0))
    assert [type(body) for body in comes_and_goes(never, 9)] == [NodeJoined]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 3), st.booleans()), max_size=12))
def test_a_device_is_in_service_exactly_while_nothing_is_known_against_it(told: list[tuple[int, int, bool]]) -> None:
    scene = Scene(LOGICAL)
    hot, errors, forgiven = False, 0, 0
    for turn, (temperature_c, more, restore) in enumerate(told):
        if restore and scene.pool.devices["n/0"].state == "QUARANTINED":
            forgiven = scene.pool.health["n/0"].ecc_uncorrected
            scene.tell(order("device.restore", device="n/0", turn=turn))
            hot = False
        errors += more
        scene.tell(feels(temperature_c=temperature_c, ecc_uncorrected=errors))
        hot = temperature_c >= 90 or (hot and temperature_c > 80)
        ill = hot or errors > forgiven
        assert (scene.pool.devices["n/0"].state == "QUARANTINED") == ill
