"""What Registry, GpuPool, Scheduler and TableWriter remember: one struct for each row. Fields are the columns."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ..wire.terms import JSON


class FlowRow(msgspec.Struct, frozen=True, kw_only=True):
    """The newest code version of a flow. The key is (project, name)."""

    project: str
    name: str
    code_version: str
    manifest: JSON
    principal: str
    deployed_us: int


class CodeVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A deployed folder. `bundle` is the digest of its tree artifact, `manifest` what importing it declared."""

    version: str
    bundle: str
    manifest: JSON
    provenance: JSON = None
    principal: str
    deployed_us: int


class ModelVersion(msgspec.Struct, frozen=True, kw_only=True):
    """The key is (name, version); (run_id, ordinal) is unique, so a repeated request makes no second version."""

    name: str
    version: int
    project: str
    digest: str
    runtime: str
    signature: JSON
    metrics: JSON
    size_bytes: int
    run_id: str
    ordinal: int
    code_version: str
    tables: JSON
    principal: str
    registered_us: int


class ModelAlias(msgspec.Struct, frozen=True, kw_only=True):
    """A name for one version of a model, which can be moved. The key is (name, alias)."""

    name: str
    alias: str
    version: int
    principal: str
    moved_us: int


class DeploymentState(StrEnum):
    REQUESTED = "REQUESTED"
    READY = "READY"
    FAILED = "FAILED"
    STOPPED = "STOPPED"


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """What should be served under a model's name, and how it stands. The key is the name.

    Each replica leases `gpus_milli`, in thousandths; none where that is 0. `tier` is 0 where it is of the project's.
    """

    name: str
    project: str
    version: int
    digest: str
    replicas_min: int
    replicas_max: int
    gpus_milli: int = 0
    gpu_model: str = ""
    tier: int = 0
    state: DeploymentState = DeploymentState.REQUESTED
    reason: str = ""
    url: str = ""
    principal: str
    requested_us: int
    ready_us: int | None = None


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """`reason` is why the platform itself keeps it drained, until a person takes it back; `leaves_us` are the times
    at which it was lost lately."""

    id: str
    ray_node: str
    cpus_milli: int
    memory_bytes: int
    labels: JSON
    state: str = "READY"  # READY, DRAINED, LEFT
    joined_us: int
    seen_us: int  # when it changed last; of one that has LEFT, when it did
    reason: str = ""
    leaves_us: tuple[int, ...] = ()


class DeviceRow(msgspec.Struct, frozen=True, kw_only=True):
    """`illness` is what keeps it in quarantine beside what was left on it; errors up to those forgiven do not count."""

    id: str
    node: str
    model: str
    memory_bytes: int
    state: str = "READY"  # READY, QUARANTINED, LEFT
    reason: str = ""
    illness: str = ""
    ecc_forgiven: int = 0
    xids_forgiven: int = 0


class QuotaTree(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    tree: JSON
    principal: str
    applied_us: int


class QuotaNote(msgspec.Struct, frozen=True, kw_only=True):
    """What the Scheduler keeps beside the tree: `past`, `workload`, or `priority/STEP`."""

    name: str
    note: JSON
    principal: str = ""
    noted_us: int


class TableHead(msgspec.Struct, frozen=True, kw_only=True):
    """The newest announced snapshot of a table."""

    name: str
    snapshot_id: int | None
    metadata_location: str
    rows_total: int
    columns: JSON
    announced_us: int


class TableShare(msgspec.Struct, frozen=True, kw_only=True):
    """What a project has written of a table's files as they are. The key is (table, project)."""

    table: str
    project: str
    size_bytes: int


class CommitKey(msgspec.Struct, frozen=True, kw_only=True):
    """A commit that was made: asking for the same key again gives the same snapshot. The key is (table, key)."""

    table: str
    key: str
    snapshot_id: int
    rows_added: int
    committed_us: int
