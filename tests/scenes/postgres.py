"""A real PostgreSQL of the tests' own: one server for the session, a database for each test that asks."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg
from psycopg import sql

from headwater.local.ports import free_ports
from headwater.store.engine import open_engine
from headwater.store.migrate import upgrade

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
ABSENT = "" if BINARIES else "PostgreSQL is not installed: apt-get install postgresql"
SETTINGS = {"max_connections": 200, "shared_buffers": "64MB"}


class Server:
    """Runs on 127.0.0.1, as a user of its own where we are root, with its data under a short path."""

    def __init__(self, *, fsync: str = "off") -> None:
        self._settings = {**SETTINGS, "fsync": fsync}
        self._bin = BINARIES[-1].parent
        self._as = _someone_else()
        self.folder = Path(tempfile.mkdtemp(prefix="hwpg-", dir="/tmp"))
        self._data = self.folder / "data"
        (self.port,) = free_ports(1)
        self._numbers, self._made = itertools.count(1), ""
        if self._as is not None:
            os.chown(self.folder, self._as, -1)
        self._run("initdb", "-D", str(self._data), "-U", "headwater", "-A", "trust", "-E", "UTF8", "--no-sync")
        self.start()

    def start(self) -> None:
        options = [f"-c {name}={value}" for name, value in self._settings.items()]
        options += [f"-p {self.port}", "-c listen_addresses=127.0.0.1", f"-c unix_socket_directories={self.folder}"]
        self._control("start", "-l", str(self.folder / "log"), "-o", " ".join(options))

    def stop(self, mode: str = "fast") -> None:
        """`immediate` is a crash: what was not committed is gone, and the next start recovers."""
        self._control("stop", "-m", mode)

    def database(self) -> str:
        """The URL of a new, empty database."""
        return self._database("template1")

    def migrated(self) -> str:
        """The URL of a new database that has the tables, and no row."""
        if not self._made:
            self._made = self.database().rpartition("/")[2]
            engine = open_engine(self._dsn(self._made))
            with engine.begin() as connection:
                upgrade(connection)
            engine.dispose()
        return self._database(self._made)

    def _database(self, template: str) -> str:
        name = f"t{next(self._numbers)}"
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(f"CREATE DATABASE {name} TEMPLATE {template}"))
        return self._dsn(name)

    def remove(self) -> None:
        self.stop("immediate")
        shutil.rmtree(self.folder)

    def _dsn(self, name: str) -> str:
        return f"postgresql://headwater@127.0.0.1:{self.port}/{name}"

    def _control(self, *words: str) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-w", "-t", "60", *words)

    def _run(self, program: str, *words: str) -> None:
        argv, said = [str(self._bin / program), *words], self.folder / "said"
        with said.open("ab") as out:  # a file: the server inherits it, and would hold a pipe open
            done = subprocess.run(
                argv, user=self._as, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=90
            )
        if done.returncode:
            raise RuntimeError(f"{program} {words}: {said.read_text()}")


def _someone_else() -> int | None:
    """The server refuses to run as root."""
    return pwd.getpwnam("postgres").pw_uid if os.geteuid() == 0 else None
