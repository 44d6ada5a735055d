"""Models by name: registering a version from a flow, and using the version that a run sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import InvalidInput, NotFound
from ..quota.policy import tier_of
from ..quota.units import MILLI, amount
from ..wire.calls import RegisterCall
from .context import model_pins
from .future import Future
from .running.digest import digest
from .running.replay import Wish, current_execution

if TYPE_CHECKING:
    from .model import Model


@dataclass(frozen=True, slots=True)
class Serving:
    """Between how many replicas a served model keeps; none while nobody asks, where the least is 0.

    With `gpus` each replica leases that many devices, or that part of one, of `gpu_model` where one is named; as
    many replicas as `max_replicas` ask for a place, and as many stand as have one. `tier` 1 to 4 is that of these
    leases, otherwise the project's.
    """

    min_replicas: int = 1
    max_replicas: int = 1
    gpus: float | str = 0
    gpu_model: str | None = None
    tier: int | None = None

    def __post_init__(self) -> None:
        milli, tier = amount("gpu", self.gpus, where="Serving: gpus"), tier_of(self.tier, "Serving")
        if milli > MILLI and milli % MILLI:
            what = f"Serving: gpus is {self.gpus!r}"
            raise InvalidInput(what, remedy="A replica leases whole devices, or a part of one: write 2, or 0.5")
        if not milli and (self.gpu_model or tier):
            what = f"Serving has gpu_model {self.gpu_model!r} and tier {self.tier!r}, but no gpus"
            raise InvalidInput(what, remedy="They are of leased devices: give gpus too")
        if not 0 <= self.min_replicas <= self.max_replicas or self.max_replicas < 1:
            what = f"Serving({self.min_replicas}, {self.max_replicas}) is no range of replicas"
            raise InvalidInput(what, remedy="Write 0 <= min_replicas <= max_replicas, and at least one at most")

    def asked(self) -> dict[str, Any]:
        """As it travels: thousandths of a GPU, and nothing of what is not asked for."""
        leased = {
            "gpus_milli": amount("gpu", self.gpus, where="Serving: gpus"),
            "gpu_model": self.gpu_model,
            "tier": self.tier,
        }
        bounds: dict[str, Any] = {"replicas_min": self.min_replicas, "replicas_max": self.max_replicas}
        return bounds | {name: value for name, value in leased.items() if value}


class ModelVersion(msgspec.Struct, frozen=True):
    name: str
    version: int


def register(name: str, model: Model | Future[Model], serve: bool | Serving | None = True) -> ModelVersion:
    """The new version of model `name`, made exactly once per call of the run. Only in a flow.

    `serve=True` puts it behind HTTP with one replica; a `Serving` says how many; None registers it only.
    """
    running = current_execution("register()")
    from .model import Model

    value = model.result() if isinstance(model, Future) else model
    if not isinstance(value, Model):
        what = f"register({name!r}): {type(value).__qualname__} is no Model"
        raise InvalidInput(what, remedy="Return Model.save(...) from the step that trains it")
    call = RegisterCall(
        name=name,
        digest=value.digest,
        runtime=value.runtime,
        signature=msgspec.to_builtins(value.signature),
        metrics=value.metrics,
        size_bytes=value.size_bytes,
        serving=_serving(serve),
    )
    answer = running.result(running.issue(Wish("register", call, digest=digest([name, value.digest]))))
    return msgspec.convert(answer, ModelVersion)


def model(name: str, *, version: int | None = None, alias: str | None = None) -> Model:
    """The model as this run sees it: the same version in all its steps, however long it takes.

    Its newest version, or the one that is asked for; `model("delay@champion")` and `model("delay@3")` say the same in
    one word.
    """
    asked = _asked_for(name, version, alias)
    pin = model_pins.get()
    if pin is None:
        raise NotFound(f"There is no model {asked!r} here", remedy="Call model() in a flow or step of a run")
    from ..wire.v2 import Signature
    from .model import Model

    seen = pin(asked)
    signature = msgspec.convert(seen.signature, Signature)
    return Model(seen.digest, seen.runtime, signature, dict(seen.metrics or {}), 0)


def _asked_for(name: str, version: int | None, alias: str | None) -> str:
    said = [str(word) for word in (version, alias) if word is not None]
    if len(said) > 1 or (said and "@" in name):
        what = f"model({name!r}, version={version!r}, alias={alias!r}) asks for two versions at once"
        raise InvalidInput(what, remedy="Give the version or the alias, once")
    asked = f"{name}@{said[0]}" if said else name
    if not name or asked.endswith("@") or asked.count("@") > 1:
        raise InvalidInput(f"model({asked!r}) names no model", remedy='Write model("delay@champion") or model("delay")')
    return asked


def _serving(serve: bool | Serving | None) -> dict[str, Any] | None:
    if serve is None or serve is False:
        return None
    return (Serving() if serve is True else serve).asked()
