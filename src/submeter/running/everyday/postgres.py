# SPDX-License-Identifier: Apache-2.0
"""Tasks over a PostgreSQL server of our own, in a temporary folder, reached by a socket."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

from submeter.running.everyday.tasks import Batched

NEEDED: Final = ("initdb", "postgres", "pgbench", "pg_isready")
ROLE: Final = "submeter"
LIMIT_S: Final = 60.0
_USERS: Final = ("postgres", "nobody")  # a server refuses to run as root
_SOCKET: Final = "socket"
_LOOK_S: Final = 0.05
_DONE: Final = re.compile(r"actually processed: (\d+)")
_QUERY: Final = """
SELECT bid, count(*), sum(abalance), avg(aid) FROM pgbench_accounts
WHERE aid % 7 <> 3 GROUP BY bid ORDER BY bid;
"""


def program(name: str) -> str | None:
    """Path of a program of PostgreSQL, the newest; Debian keeps them out of the way."""
    kept = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(kept[-1]) if kept else shutil.which(name)


def other_user() -> str | None:
    """Somebody to run a server as, where we are root."""
    import pwd  # elsewhere than on Unix there is none

    for name in _USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    return None


class _Server(Batched):
    """A server with the tables of pgbench at scale 1: 100 000 accounts."""

    quick = False

    def __init__(self, folder: Path, workers: int) -> None:
        super().__init__(folder, workers)
        self.server: subprocess.Popen[bytes] | None = None
        self.place: Path | None = None

    @classmethod
    def why_not(cls) -> str:
        lacking = [name for name in NEEDED if program(name) is None]
        if lacking:
            return f"PostgreSQL is not installed here ({', '.join(lacking)} not found)"
        if os.geteuid() == 0 and other_user() is None:
            return "PostgreSQL does not run as root, and there is nobody else"
        return ""

    def prepare(self) -> dict[str, object]:
        user = other_user() if os.geteuid() == 0 else None
        self.place = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a short path
        if user is not None:
            shutil.chown(self.place, user)
        data, place = str(self.place / "data"), str(self.place)
        words = ("-D", data, "-U", ROLE, "-A", "trust", "--no-sync", "-E", "UTF8")
        _call("initdb", *words, user=user, cwd=place)
        self.server = subprocess.Popen(
            [str(program("postgres")), "-D", data, "-k", place, "-c", "listen_addresses="],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            user=user, cwd=place,
        )  # fmt: skip
        self._await(place)
        _call("pgbench", "-i", "-q", "-s", "1", *self._where(place), cwd=place)
        (self.folder / _SOCKET).write_text(place, encoding="utf-8")
        (self.folder / "query.sql").write_text(_QUERY, encoding="utf-8")
        said = subprocess.run(
            [str(program("postgres")), "--version"], check=False, capture_output=True, text=True
        ).stdout
        found = re.search(r"\d+(\.\d+)*", said)
        return {"postgres": found[0] if found else ""}

    def _await(self, place: str) -> None:
        give_up = time.monotonic() + LIMIT_S
        while time.monotonic() < give_up:
            done = subprocess.run(
                [str(program("pg_isready")), "-q", "-h", place], check=False,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
            if done.returncode == 0:
                return
            if self.server is None or self.server.poll() is not None:
                break
            time.sleep(_LOOK_S)
        msg = "PostgreSQL did not start"
        raise RuntimeError(msg)

    def finish(self) -> None:
        if self.server is not None and self.server.poll() is None:
            self.server.terminate()
            try:
                self.server.wait(LIMIT_S / 2)
            except subprocess.TimeoutExpired:
                self.server.kill()
                self.server.wait()
        if self.place is not None:
            shutil.rmtree(self.place, ignore_errors=True)

    def _where(self, place: str) -> tuple[str, ...]:
        return ("-h", place, "-U", ROLE, "postgres")

    def _bench(self, *words: str) -> float:
        place = (self.folder / _SOCKET).read_text(encoding="utf-8")
        said = _call("pgbench", "-n", "-c", "1", "-j", "1", *words, *self._where(place))
        found = _DONE.search(said)
        return float(found[1]) if found else 0.0


class Transactions(_Server):
    """Transactions as in TPC-B: three updates, a look-up and an entry, made durable."""

    key, unit = "postgres-transactions", "transaction"

    def batch(self, way: str) -> float:
        del way
        return self._bench("-t", "50", "-M", "prepared")


class Query(_Server):
    """An aggregate over 100 000 accounts."""

    key, unit = "postgres-query", "query"

    def batch(self, way: str) -> float:
        del way
        return self._bench("-t", "5", "-f", str(self.folder / "query.sql"))


def _call(name: str, *words: str, user: str | None = None, cwd: str | None = None) -> str:
    """Run a program of PostgreSQL to its end; what it said."""
    done = subprocess.run(
        [str(program(name)), *words], check=True, user=user, cwd=cwd, timeout=LIMIT_S, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    return done.stdout
