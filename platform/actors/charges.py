"""To whom artifacts are charged, as the rows have it. Asked only where a result or a model is an artifact."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from ..artifacts.files import Files
from ..core.records.storage import StoredArtifact
from ..errors import NotFound
from ..store.reader import Reader
from ..store.schema import STORED_ARTIFACTS
from ..wire import calls

IN_ONE_MAX = 400


@dataclass(frozen=True, slots=True)
class Charges:
    reader: Reader
    files: Files

    async def of_results(self, reports: Sequence[calls.Report]) -> tuple[StoredArtifact, ...]:
        payloads = (report.outcome.payload for report in reports)
        return await self._of([payload.digest for payload in payloads if payload is not None and payload.digest])

    async def of_models(self, commands: Sequence[calls.Command]) -> tuple[StoredArtifact, ...]:
        return await self._of(
            [command.call.digest for command in commands if isinstance(command.call, calls.RegisterCall)]
        )

    async def ended(self, digests: Sequence[str]) -> tuple[StoredArtifact, ...]:
        """The charges of those that are really gone: one may have been put again meanwhile."""
        return await self._of(await asyncio.to_thread(self._gone, digests))

    def _gone(self, digests: Sequence[str]) -> list[str]:
        return [digest for digest in digests if not self._is_there(digest)]

    def _is_there(self, digest: str) -> bool:
        try:
            self.files.path(digest)
        except NotFound:
            return False
        return True

    async def _of(self, digests: Sequence[str]) -> tuple[StoredArtifact, ...]:
        return await asyncio.to_thread(self._read, digests) if digests else ()

    def _read(self, digests: Sequence[str]) -> tuple[StoredArtifact, ...]:
        found: list[StoredArtifact] = []
        with self.reader.picture() as picture:
            for start in range(0, len(digests), IN_ONE_MAX):
                some = STORED_ARTIFACTS.c.digest.in_(digests[start : start + IN_ONE_MAX])
                found += picture.rows("stored_artifacts", some)
        return tuple(found)
