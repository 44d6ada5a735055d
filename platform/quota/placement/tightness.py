"""Nodes and shared devices from the tightest on, by GPU model: what a best fit is found in.

Most decisions ask for neither order, so a change only notes its node, and the orders take in what was noted
when they are asked.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping
from typing import NamedTuple, TypeVar

from .node import Node

Room = tuple[int, int, str]  # whole GPUs free, CPUs free, node
Share = tuple[int, str]  # free, device
Item = TypeVar("Item", Room, Share)


class Entry(NamedTuple):
    model: str
    room: Room
    shares: tuple[Share, ...]


class Tightness:
    def __init__(self, nodes: Mapping[str, Node]) -> None:
        self._nodes = nodes
        self._entries: dict[str, Entry] = {}
        self._touched: dict[str, None] = {}
        self._by_room: dict[str, list[Room]] = {}
        self._partly: dict[str, list[Share]] = {}

    def touch(self, node_id: str) -> None:
        """The node changed, came or went."""
        self._touched[node_id] = None

    def by_room(self) -> dict[str, list[Room]]:
        """The nodes in service, by model."""
        self._follow()
        return self._by_room

    def partly(self) -> dict[str, list[Share]]:
        """The devices that are shared already, by model."""
        self._follow()
        return self._partly

    def _follow(self) -> None:
        for node_id in self._touched:
            before = self._entries.pop(node_id, None)
            if before is not None:
                _discard(self._by_room[before.model], before.room)
                for share in before.shares:
                    _discard(self._partly[before.model], share)
            node = self._nodes.get(node_id)
            if node is not None and node.in_service:
                self._enter(node_id, _entry(node))
        self._touched.clear()

    def _enter(self, node_id: str, entry: Entry) -> None:
        self._entries[node_id] = entry
        insort(self._by_room.setdefault(entry.model, []), entry.room)
        for share in entry.shares:
            insort(self._partly.setdefault(entry.model, []), share)


def _entry(node: Node) -> Entry:
    usable = [device for device in node.devices.values() if not device.quarantined]
    shares = tuple((device.free, device.id) for device in usable if 0 < device.free < device.total)
    return Entry(node.spec.gpu_model, (node.whole_free, node.cpus_free, node.spec.id), shares)


def _discard(ordered: list[Item], item: Item) -> None:
    del ordered[bisect_left(ordered, item)]
