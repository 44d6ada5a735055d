"""Everything that can be set, and where each value came from.

The packaged `configs/local.toml` names every key and gives its default, so that the file is the
reference and a key that it lacks is an error here. Later sources win: a file (`--config`), the
environment (`HEADWATER_HTTP__PORT=9000`), the command's flags. A key that nobody knows is refused.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from .errors import InvalidInput, did_you_mean

PACKAGED = Path(__file__).parent / "configs"
PREFIX = "HEADWATER_"
NODE_HOST = "HEADWATER_NODE_HOST"  # in the environment of Ray's processes: the address of their machine
NOT_SETTINGS = {
    "HEADWATER_URL",
    "HEADWATER_TOKEN",
    "HEADWATER_CONFIG",
    "HEADWATER_CRASH",
    "HEADWATER_HAPROXY",
    "HEADWATER_RAY_TREE",
    NODE_HOST,
    "HEADWATER_ATTEMPT",
    "HEADWATER_SEATS",
}
FREE_FORM = "quota"  # its keys are names that users give; the quota engine checks them

Port = Annotated[int, Field(ge=0, le=65_535)]
Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(gt=0)]


def _not_ours(topic: str) -> str:
    if topic.startswith("headwater."):
        raise ValueError("topics of Headwater are read as they are")
    return topic


AddedSource = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}:.{1,200}$")]
ForeignTopic = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9._-]{1,249}:(json|bytes|avro|protobuf)$"), AfterValidator(_not_ours)
]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Http(Section):
    host: str
    port: Port


class Serve(Section):
    host: str
    port: Port
    request_timeout_s: Seconds
    min_replicas: Count
    max_replicas: Count


class Kafka(Section):
    bootstrap: str
    port: Port
    ready_within_s: Seconds
    stop_within_s: Seconds


class Ray(Section):
    host: str
    port: Port
    cpus: Count
    object_store_bytes: Count
    fork_workers: bool
    ready_within_s: Seconds
    stop_within_s: Seconds


class Store(Section):
    url: str
    lock_within_s: Seconds
    silent_within_s: Seconds
    reach_within_s: Seconds
    instance_lease_s: Seconds
    archive_after_s: Annotated[float, Field(ge=0)]
    archive_every_s: Seconds
    archive_batch: Annotated[int, Field(ge=1, le=10_000)]
    inbox_retention_s: Seconds
    log_keep_s: Annotated[float, Field(ge=0)]
    letters_keep_s: Annotated[float, Field(ge=0)]
    open_letters_keep_s: Annotated[float, Field(ge=0)]
    cache_keep_s: Annotated[float, Field(ge=0)]
    usage_keep_s: Annotated[float, Field(ge=0)]
    code_keep_s: Annotated[float, Field(ge=0)]
    trees_keep_s: Annotated[float, Field(ge=0)]


class Data(Section):
    catalog_uri: str
    warehouse: str


class Leases(Section):
    lease_lifetime_s: Seconds
    claim_within_s: Seconds
    stop_grace_s: Seconds
    empty_within_s: Seconds


class Devices(Section):
    temperature_max_c: Annotated[int, Field(ge=1, le=200)]
    temperature_back_c: Annotated[int, Field(ge=0, le=200)]
    ecc_uncorrected_max: Count
    xids_ignored: tuple[Count, ...]
    flaps_max: Count
    flap_window_s: Seconds

    @model_validator(mode="after")
    def _cools_before_it_is_back(self) -> Self:
        if self.temperature_back_c >= self.temperature_max_c:
            raise ValueError("temperature_back_c must be below temperature_max_c")
        return self


class Runs(Section):
    evict_after_s: Seconds
    stuck_after_s: Seconds
    host_runs: Count
    hosts: Annotated[int, Field(ge=1)]
    host_idle_s: Seconds
    lost_limit: Count
    preempted_limit: Count
    crash_limit: Count
    depth_limit: Count
    sub_run_limit: Count


class Events(Section):
    max_bytes: Count
    publish_within_s: Seconds
    command_within_s: Seconds
    foreign_topics: tuple[ForeignTopic, ...]
    schema_registry: str
    sources: tuple[AddedSource, ...]
    replays_per_s: Seconds

    @model_validator(mode="after")
    def _registry_is_named(self) -> Self:
        coded = [topic for topic in self.foreign_topics if topic.endswith((":avro", ":protobuf"))]
        if coded and not self.schema_registry:
            raise ValueError(f"foreign_topics names {coded[0]}, and events.schema_registry is empty")
        return self


class Owners(Section):
    silent_after_s: Seconds
    start_within_s: Seconds
    restart_limit: Count
    restart_window_s: Seconds
    restart_backoff_s: Seconds


class Web(Section):
    subscriber_buffer: Count
    heartbeat_s: Seconds


class Views(Section):
    window_s: Seconds
    keep_s: Seconds


class Artifacts(Section):
    result_max_bytes: Count
    keep_s: Seconds
    grace_s: Seconds
    collect_every_s: Seconds


class Logs(Section):
    file_max_bytes: Count
    total_max_bytes: Count
    keep_s: Seconds
    sweep_every_s: Seconds


class Tables(Section):
    announce_poll_s: Seconds


class Settings(Section):
    """One frozen value that is handed down; configs/local.toml says what each key means."""

    home: Path
    node: str
    gpus: Count
    http: Http
    serve: Serve
    kafka: Kafka
    ray: Ray
    store: Store
    data: Data
    leases: Leases
    devices: Devices
    runs: Runs
    events: Events
    owners: Owners
    web: Web
    views: Views
    tables: Tables
    artifacts: Artifacts
    logs: Logs
    quota: dict[str, Any]
    _origins: dict[str, str] = PrivateAttr(default_factory=dict)

    def origins(self) -> Mapping[str, str]:
        """Dotted key → where its value came from: `default`, a file's path, `environment …` or `flag …`."""
        return MappingProxyType(self._origins)

    def flat(self) -> dict[str, object]:
        """Dotted key → value, for showing."""
        return dict(_leaves(self.model_dump(mode="json")))

    def quota_seed(self) -> dict[str, Any]:
        """The `[quota]` section with `gpus` as the guarantee of a single cohort that leaves its own out."""
        cohorts: dict[str, dict[str, Any]] = self.quota.get("cohort", {})
        if len(cohorts) != 1:
            return self.quota
        ((name, body),) = cohorts.items()
        below = sum(_gpus(project) for project in body.get("projects", {}).values())
        if "gpu" in body or "teams" in body or below > self.gpus:
            return self.quota
        return {**self.quota, "cohort": {name: {"gpu": self.gpus, **body}}}


def _gpus(project: Mapping[str, Any]) -> float:
    quota = project.get("gpu", 0)
    nominal = quota.get("nominal", 0) if isinstance(quota, Mapping) else quota
    return float(nominal) if isinstance(nominal, int | float) else 0.0


def load(
    file: Path | None = None,
    *,
    flags: Mapping[str, object] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of this process. `flags` are dotted keys; those that are None were not given.

    Raises InvalidInput naming the key, the value and its origin.
    """
    environment = os.environ if environment is None else environment
    defaults = read_packaged("local")
    origins = {key: "default" for key, _ in _leaves(defaults)}
    values: dict[str, Any] = defaults
    file = file or (Path(environment["HEADWATER_CONFIG"]) if environment.get("HEADWATER_CONFIG") else None)
    if file is not None:
        values = _merged(values, _read(file), origins, origin=str(file))
    for name, key, text in _from_environment(environment):
        values = _merged(values, _nested(key, _value(text)), origins, origin=f"environment {name}")
    for key, value in (flags or {}).items():
        if value is not None:
            values = _merged(values, _nested(key, value), origins, origin=f"flag --{key.split('.')[-1]}")
    return _validated(values, origins)


def read_packaged(name: str) -> dict[str, Any]:
    """A file of `configs/` as it was written: `local` or `cluster`."""
    return tomllib.loads((PACKAGED / f"{name}.toml").read_text())


def _validated(values: dict[str, Any], origins: dict[str, str]) -> Settings:
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        what = f"{key} = {first['input']!r} ({origins.get(key, 'default')}) does not fit: {first['msg']}"
        raise InvalidInput(what, remedy="configs/local.toml says what each key means") from None
    settings._origins.update(origins)
    return settings


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except FileNotFoundError:
        raise InvalidInput(f"there is no configuration file {file}", remedy="Check the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} is not TOML: {error}", remedy="Mend that line") from None


def _from_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    for name, text in sorted(environment.items()):
        if name.startswith(PREFIX) and name not in NOT_SETTINGS:
            yield name, name.removeprefix(PREFIX).lower().replace("__", "."), text


def _value(text: str) -> object:
    """`text` as TOML would read it; what is no TOML value is a plain string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _nested(key: str, value: object) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    assert isinstance(value, dict)
    return value


def _merged(
    below: dict[str, Any], above: Mapping[str, Any], origins: dict[str, str], *, origin: str, path: str = ""
) -> dict[str, Any]:
    """`below` with the values of `above` put over it; refuses a key that `below` does not have."""
    result = dict(below)
    for name, value in above.items():
        key = f"{path}{name}"
        if key == FREE_FORM:
            _replace_free_form(result, value, origins, origin)
        elif name not in below:
            raise InvalidInput(f"{origin} sets {key}, which is not a setting", remedy=did_you_mean(name, below))
        elif isinstance(below[name], dict):
            result[name] = _merged(below[name], _section(key, value, origin), origins, origin=origin, path=f"{key}.")
        else:
            result[name], origins[key] = value, origin
    return result


def _section(key: str, value: object, origin: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{origin} sets {key} to {value!r}, but it is a section", remedy=f"Write [{key}]")
    return value


def _replace_free_form(result: dict[str, Any], value: object, origins: dict[str, str], origin: str) -> None:
    """A tree is given whole: two trees laid over each other would be nobody's."""
    for key in [each for each in origins if each.startswith(f"{FREE_FORM}.")]:
        del origins[key]
    result[FREE_FORM] = _section(FREE_FORM, value, origin)
    origins.update({f"{FREE_FORM}.{key}": origin for key, _ in _leaves(result[FREE_FORM])})


def _leaves(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value
