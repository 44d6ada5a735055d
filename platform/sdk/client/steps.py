"""Steps of a run and what they gave: described at once, read where they lie, fetched whole."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ...errors import InvalidInput
from ...wire.api.artifacts import ArtifactView, Collected
from ...wire.api.runs import RunDetail
from ...wire.api.steps import AttemptView, StepView
from ...wire.terms import JSON, Failure
from .call import Call, Program, ask, checked, get, listing

if TYPE_CHECKING:
    from .async_link import AsyncLink
    from .link import Link

HEAD_ROWS = 5
PICKLES = ("pickle", "frames")


class _Described:
    """What is known of a result without reading it."""

    def __init__(self, view: ArtifactView) -> None:
        self.view = view

    def __repr__(self) -> str:
        kind = self.about.get("type", self.codec)
        return f"<{type(self).__name__} {self.view.name} of {self.view.run_id}: {kind}, {self.size_bytes} bytes>"

    @property
    def digest(self) -> str:
        """Its SHA-256; empty where it is so small that it lies in the database."""
        return self.view.digest

    @property
    def codec(self) -> str:
        return self.view.codec

    @property
    def size_bytes(self) -> int:
        return self.view.size_bytes

    @property
    def about(self) -> dict[str, Any]:
        """What it is: its type, its schema or shape, its value where that is small."""
        return self.view.about if isinstance(self.view.about, dict) else {}

    @property
    def schema(self) -> JSON:
        """Columns with their types, tensors, or the type and shape of an array; None of what has no schema."""
        about = self.about
        known = about.get("schema") or about.get("tensors")
        return known or ({"dtype": about["dtype"], "shape": about["shape"]} if "dtype" in about else None)

    @property
    def path(self) -> str:
        if self.digest:
            return f"/v1/artifacts/{self.digest}"
        return f"/v1/runs/{quote(self.view.run_id, safe='')}/steps/{self.view.ordinal}/result"


class Artifact(_Described):
    def __init__(self, link: Link, view: ArtifactView) -> None:
        super().__init__(view)
        self._link = link

    def head(self, rows: int = HEAD_ROWS) -> JSON:
        """Its first rows as the platform reads them, without unpickling; None where it cannot."""
        return self._link.do(head(self.path, rows))

    def content(self) -> bytes:
        """It as it is kept: an Arrow file, a `.npy` file, a safetensors file, a text, a pickle."""
        return self._link.do(content(self.path))

    def save(self, path: str | Path) -> Path:
        return _saved(Path(path), self.content())

    def load(self, *, unpickle: bool = False) -> Any:
        """The value. A pickle runs code of who made it: it is loaded only where you say `unpickle=True`."""
        _refuse_pickle(self.view, allowed=unpickle)
        return loaded(self.codec, self.content())


class AsyncArtifact(_Described):
    def __init__(self, link: AsyncLink, view: ArtifactView) -> None:
        super().__init__(view)
        self._link = link

    @classmethod
    async def of(cls, link: AsyncLink, digest: str) -> AsyncArtifact:
        return cls(link, await link.do(artifact(digest)))

    def head(self, rows: int = HEAD_ROWS) -> Awaitable[JSON]:
        return self._link.do(head(self.path, rows))

    def content(self) -> Awaitable[bytes]:
        return self._link.do(content(self.path))

    async def save(self, path: str | Path) -> Path:
        return _saved(Path(path), await self.content())

    async def load(self, *, unpickle: bool = False) -> Any:
        _refuse_pickle(self.view, allowed=unpickle)
        return loaded(self.codec, await self.content())


class _Seen:
    """A step as the run's detail shows it."""

    def __init__(self, run: RunDetail, view: StepView) -> None:
        self._run, self.view = run, view

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name} #{self.ordinal} {self.state}>"

    @property
    def name(self) -> str:
        return self.view.name

    @property
    def ordinal(self) -> int:
        return self.view.ordinal

    @property
    def state(self) -> str:
        return self.view.state

    @property
    def failure(self) -> Failure | None:
        return self.view.failure

    @property
    def attempts(self) -> tuple[AttemptView, ...]:
        return self.view.attempts


class Step(_Seen):
    def __init__(self, link: Link, run: RunDetail, view: StepView) -> None:
        super().__init__(run, view)
        self._link = link

    @property
    def artifact(self) -> Artifact | None:
        """What it gave back, as soon as it has ended well."""
        found = artifact_of(self._run, self.view)
        return None if found is None else Artifact(self._link, found)

    @property
    def inputs(self) -> dict[str, Any]:
        """By argument: the artifact of the step that feeds it, or its type and, where that is small, its value."""
        return {
            name: Artifact(self._link, known) if isinstance(known, ArtifactView) else known
            for name, known in inputs_of(self._run, self.view).items()
        }


class AsyncStep(_Seen):
    def __init__(self, link: AsyncLink, run: RunDetail, view: StepView) -> None:
        super().__init__(run, view)
        self._link = link

    @property
    def artifact(self) -> AsyncArtifact | None:
        found = artifact_of(self._run, self.view)
        return None if found is None else AsyncArtifact(self._link, found)

    @property
    def inputs(self) -> dict[str, Any]:
        return {
            name: AsyncArtifact(self._link, known) if isinstance(known, ArtifactView) else known
            for name, known in inputs_of(self._run, self.view).items()
        }


def artifact_of(run: RunDetail, step: StepView) -> ArtifactView | None:
    """What the step gave back, from its accepted attempt."""
    for attempt in step.attempts:
        if attempt.state == "SUCCEEDED":
            return ArtifactView(
                digest=attempt.artifact or "",
                codec=attempt.codec,
                size_bytes=attempt.size_bytes,
                run_id=run.id,
                step_id=step.id,
                ordinal=step.ordinal,
                name=step.name,
                project=run.project,
                attempt=attempt.number,
                created_us=attempt.ended_us or 0,
                about=attempt.about,
            )
    return None


def inputs_of(run: RunDetail, step: StepView) -> dict[str, Any]:
    """By argument: an ArtifactView, or what is known of it."""
    said = step.inputs if isinstance(step.inputs, dict) else {}
    by_ordinal = {each.ordinal: each for each in run.steps}
    found: dict[str, Any] = {}
    for name, known in said.items():
        fed_by = by_ordinal.get(known["ordinal"]) if known.get("type") == "future" else None
        found[name] = (artifact_of(run, fed_by) if fed_by is not None else None) or known
    return found


def artifacts(**filters: object) -> Program[list[ArtifactView]]:
    return listing("/v1/artifacts", ArtifactView, **filters)


def artifact(digest: str, rows: int = HEAD_ROWS) -> Program[ArtifactView]:
    return get(f"/v1/artifacts/{quote(digest, safe='')}", ArtifactView, rows=rows)


def collect(dry_run: str) -> Program[Collected]:
    return ask(Call("POST", f"/v1/artifacts/collect?dry_run={dry_run}"), Collected)


def head(path: str, rows: int) -> Program[JSON]:
    seen: ArtifactView = yield from get(path, ArtifactView, rows=rows)
    return seen.head


def content(path: str) -> Program[bytes]:
    return checked((yield Call("GET", f"{path}/content")))


def loaded(codec: str, raw: bytes) -> Any:
    from ..running.serialise import decode

    return decode(codec, memoryview(bytearray(raw)))


def _refuse_pickle(view: ArtifactView, *, allowed: bool) -> None:
    if view.codec in PICKLES and not allowed:
        what = f"The result of {view.name} is a pickle, which runs code of who made it when it is loaded"
        raise InvalidInput(what, remedy="Trust it with load(unpickle=True), or return a table, arrays or text.")


def _saved(path: Path, raw: bytes) -> Path:
    path.write_bytes(raw)
    return path
