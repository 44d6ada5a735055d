"""Content-addressed files under one root: a name is the SHA-256 of what it holds.

Bytes are hashed while they are written to a temporary file, which is fsynced and renamed into
place: a name that is there is whole. Writing what is there already changes nothing. A tree is an
artifact too: JSON that maps relative paths to (digest, executable).
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

import msgspec

from ..core.collection import Kept
from ..errors import InvalidInput, NotFound
from .encoded import Part
from .hashing import Hashing

CHUNK_BYTES: Final = 1 << 20
SLICE_BYTES: Final = 1 << 23
HELD_AHEAD_MAX: Final = 1 << 20  # pieces that may wait to be hashed: views of memory that is there anyway
MADE_AHEAD_MAX: Final = 8  # and of memory that was made for them
DRAFT: Final = ".draft-"
LOCK: Final = ".lock"


class TreeFile(msgspec.Struct, frozen=True, array_like=True):
    digest: str
    executable: bool = False


class Files:
    """Artifacts under `root`, which is made when the first is put. Safe for several processes at once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._durable: set[Path] = set()

    def path(self, digest: str) -> Path:
        """Where the artifact lies; raises NotFound where it is not there."""
        path = self._place(digest)
        if not path.is_file():
            raise NotFound(f"Artifact {digest} is not in {self.root}", remedy="It was collected, or never written.")
        return path

    def read(self, digest: str) -> bytes:
        return self.path(digest).read_bytes()

    def put_bytes(self, content: bytes) -> str:
        """The digest under which `content` now lies."""
        return self._put(iter((content,)))

    def put_file(self, path: Path) -> str:
        with path.open("rb") as source:
            return self._put(_chunks(source))

    def put_stream(self, chunks: Iterable[bytes]) -> str:
        return self._put(iter(chunks))

    def put_parts(self, parts: Iterable[Part]) -> tuple[str, int]:
        """The digest and the size of what the parts make together. Large views are written from where they lie."""
        hashing = Hashing(ahead_max=HELD_AHEAD_MAX if isinstance(parts, Sequence) else MADE_AHEAD_MAX)
        size_bytes = 0
        with self._drafted(hashing) as sink:
            for part in parts:
                view = memoryview(part).cast("B")
                size_bytes += view.nbytes
                for start in range(0, view.nbytes, SLICE_BYTES):
                    piece = view[start : start + SLICE_BYTES]
                    hashing.update(piece)
                    _write(sink, piece)
        return hashing.digest(), size_bytes

    def mapped(self, digest: str) -> memoryview:
        """The content, mapped: pages are read when they are touched. Writing to it changes this view only."""
        with self.path(digest).open("rb") as source:
            if not os.fstat(source.fileno()).st_size:
                return memoryview(b"")
            return memoryview(mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_COPY))

    def there(self) -> Iterator[Kept]:
        """Every artifact, in no order."""
        for folder in self.root.glob("[0-9a-f][0-9a-f]"):
            for path in folder.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    seen = path.stat()
                    yield Kept(path.name, seen.st_size, seen.st_mtime_ns // 1000)

    def remove(self, digest: str, *, before_us: int) -> bool:
        """Whether the artifact is gone now: one that was put again since that time stays."""
        path = self._place(digest)
        with self.kept_still(alone=True):
            if not path.is_file() or path.stat().st_mtime_ns // 1000 >= before_us:
                return False
            path.unlink()
            return True

    def remove_drafts(self, *, before_us: int) -> None:
        """Takes away what a process that died has left half written."""
        for path in self.root.glob(f"{DRAFT}*"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime_ns // 1000 < before_us:
                    path.unlink()

    def claim(self, digest: str) -> bool:
        """Whether the artifact is there and, as if it had just been put, stays for the grace of collections."""
        path = self._place(digest)
        if not path.is_file():
            return False
        with self.kept_still(), contextlib.suppress(FileNotFoundError):
            os.utime(path)
            return True
        return False

    def put_tree(self, folder: Path, names: Iterable[str] | None = None) -> str:
        """The digest of a tree artifact with the named files of `folder`, or with all of them."""
        chosen = sorted(names) if names is not None else sorted(_names(folder))
        for name in chosen:
            _require_portable(name)
        tree = {name: TreeFile(self.put_file(folder / name), os.access(folder / name, os.X_OK)) for name in chosen}
        return self.put_bytes(msgspec.json.encode(tree, order="sorted"))

    def tree(self, digest: str) -> dict[str, TreeFile]:
        return msgspec.json.decode(self.read(digest), type=dict[str, TreeFile])

    def materialise(self, digest: str, target: Path) -> Path:
        """The tree as a folder at `target`, made once and whole; what is there already is left alone."""
        if target.is_dir():
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=target.parent))
        try:
            for name, file in self.tree(digest).items():
                self._lay(draft, name, file)
            draft.rename(target)
        except OSError:
            if not target.is_dir():  # otherwise another process was first, with the same content
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return target

    def _lay(self, draft: Path, name: str, file: TreeFile) -> None:
        _require_portable(name)
        place = draft / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(self.read(file.digest))
        if file.executable:
            place.chmod(0o755)

    def _place(self, digest: str) -> Path:
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise InvalidInput(f"{digest!r} is no artifact digest", remedy="A digest is 64 hex digits.")
        return self.root / digest[:2] / digest

    def _put(self, chunks: Iterator[bytes]) -> str:
        return self.put_parts(chunks)[0]

    @contextlib.contextmanager
    def _drafted(self, hashing: Hashing) -> Iterator[int]:
        """A file to write to, durable under the digest of its content once the block has ended well."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, draft = tempfile.mkstemp(prefix=DRAFT, dir=self.root)
        try:
            try:
                yield handle
                os.fsync(handle)
            finally:
                os.close(handle)
            place = self._place(hashing.digest())
            self._make_durably(place.parent)
            with self.kept_still():
                os.replace(draft, place)
            _sync_folder(place.parent)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
        finally:
            hashing.close()

    def _make_durably(self, folder: Path) -> None:
        """Another process may have made the folder a moment ago, and not yet have synced its name."""
        folder.mkdir(exist_ok=True)
        if folder not in self._durable:
            _sync_folder(self.root)
            self._durable.add(folder)

    @contextlib.contextmanager
    def kept_still(self, *, alone: bool = False) -> Iterator[None]:
        """Keeps the collection off what is being put; the collection asks to be `alone`, and waits for that."""
        with (self.root / LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            yield


def _require_portable(name: str) -> None:
    """Names of a tree are relative, stay inside it, and are text."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
        raise InvalidInput(f"The tree names {name!r}, which is no file inside its folder", remedy="Pack it again.")
    if not name.isascii() and name != name.encode("utf-8", "replace").decode():
        raise InvalidInput(f"The file name {name!r} is not UTF-8", remedy="Rename the file.")


def _write(sink: int, piece: memoryview) -> None:
    while piece:
        piece = piece[os.write(sink, piece) :]


def _sync_folder(folder: Path) -> None:
    """Makes a name in the folder as durable as what it names."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _chunks(source: BinaryIO) -> Iterator[bytes]:
    while chunk := source.read(CHUNK_BYTES):
        yield chunk


def _names(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_file():
            yield path.relative_to(folder).as_posix()
