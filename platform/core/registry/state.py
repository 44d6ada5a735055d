"""What the Registry knows, in ledgers of one book."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from ...wire.calls import Order
from ...wire.entries.events import CommandRefused
from ...wire.manifest import FlowSpec
from ...wire.terms import JSON
from ...wire.types import AnyBody, Said
from ..inbox import Inbox
from ..inventory import CodeVersion, Deployment, FlowRow, ModelAlias, ModelVersion
from ..ledger import Book, Ledger
from ..records.inbox import Offset
from ..turn import Turn
from .manifests import Known, full_name, projects_of, waits_for

OWNER: Final = "registry"
LOG: Final = "log"
CURSOR_LAG_MAX: Final = 1_000


class Replicas(msgspec.Struct, frozen=True):
    """Between how many replicas a deployment keeps, and what each of them leases, in thousandths of a GPU."""

    least: int = 0
    most: int = 1
    gpus_milli: int = 0
    gpu_model: str = ""
    tier: int = 0


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """The Registry's tables as they stand in the store. `tree` is the newest quota tree."""

    flows: Iterable[FlowRow] = ()
    versions: Iterable[ModelVersion] = ()
    aliases: Iterable[ModelAlias] = ()
    deployments: Iterable[Deployment] = ()
    offsets: Iterable[Offset] = ()
    tree: JSON = None


class State:
    """Ledgers with a table are written; `newest`, `made` and `projects` are indexes that live in memory."""

    def __init__(self, *, replicas: Replicas | None = None) -> None:
        self.replicas = replicas or Replicas()
        self.book = Book()
        self.mail = Inbox(self.book, OWNER)
        self.flows: Ledger[tuple[str, str], FlowRow] = Ledger(self.book, "flows")
        self.code: Ledger[str, CodeVersion] = Ledger(self.book, "code_versions")
        self.versions: Ledger[tuple[str, int], ModelVersion] = Ledger(self.book, "model_versions")
        self.aliases: Ledger[tuple[str, str], ModelAlias] = Ledger(self.book, "model_aliases")
        self.deployments: Ledger[str, Deployment] = Ledger(self.book, "deployments")
        self.newest: Ledger[str, ModelVersion] = Ledger(self.book)
        self.made: Ledger[tuple[str, int], ModelVersion] = Ledger(self.book)
        self._projects: Ledger[str, frozenset[str]] = Ledger(self.book)
        self._read: Ledger[str, int] = Ledger(self.book)

    def load(self, rows: Rows) -> None:
        for flow in rows.flows:
            self.flows.load((flow.project, flow.name), flow)
        for row in sorted(rows.versions, key=lambda each: each.version):
            self.versions.load((row.name, row.version), row)
            self.newest.load(row.name, row)
            self.made.load((row.run_id, row.ordinal), row)
        for alias in rows.aliases:
            self.aliases.load((alias.name, alias.alias), alias)
        for deployment in rows.deployments:
            self.deployments.load(deployment.name, deployment)
        self.mail.load(rows.offsets)
        self._projects.load(LOG, projects_of(rows.tree))
        self._read.load(LOG, (self.mail.next_of(LOG) or 1) - 1)

    @property
    def cursor(self) -> int:
        """The position of the log up to which this machine has read."""
        return self._read[LOG]

    def read_up_to(self, position: int, *, answered: bool) -> None:
        """The log is read so far. The cursor's row is written along with an answer, otherwise now and then."""
        self._read.put(LOG, position)
        if answered or position - (self.mail.next_of(LOG) or 1) >= CURSOR_LAG_MAX:
            self.mail.put_next(LOG, position + 1)

    def known(self) -> Known:
        flows = [msgspec.convert(row.manifest, FlowSpec) for row in self.flows.values()]
        return Known(self._projects[LOG], {full_name(flow): waits_for(flow) for flow in flows})

    def learn_tree(self, tree: JSON) -> None:
        self._projects.put(LOG, projects_of(tree))

    def put_version(self, row: ModelVersion) -> None:
        self.versions.put((row.name, row.version), row)
        self.newest.put(row.name, row)
        self.made.put((row.run_id, row.ordinal), row)

    def tidy(self) -> None:
        """After a commit: rows that are only written leave memory."""
        for version in list(self.code):
            self.code.forget(version)
        self.mail.tidy()


def refuse(order: Order, code: str, reason: str) -> CommandRefused:
    return CommandRefused(command=order.id, code=code, reason=reason)


class Speaker(msgspec.Struct, frozen=True):
    """For whom a word is said, and what it answers."""

    project: str
    principal: str
    cause: str | None = None


def say(turn: Turn, body: AnyBody, subject: str, speaker: Speaker) -> None:
    turn.said.append(
        Said(
            body=body,
            subject=subject,
            project=speaker.project,
            principal=speaker.principal,
            time_us=turn.now_us,
            causation=speaker.cause,
        )
    )
