# SPDX-License-Identifier: Apache-2.0
"""HTTP requests against a server of our own on this machine."""

import http.client
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from submeter.running.everyday.tasks import Batched

REQUESTS: Final = 25  # a batch
_GRACE_S: Final = 5.0
_SERVER: Final = Path(__file__).with_name("web_server.py")
_PORT: Final = "port"


class Requests(Batched):
    """Requests over connections that stay open; client and server both count."""

    key, unit, paced = "http", "request", True

    def __init__(self, folder: Path, workers: int) -> None:
        super().__init__(folder, workers)
        self.server: subprocess.Popen[bytes] | None = None
        self.connection: http.client.HTTPConnection | None = None
        self.turn = 0

    def prepare(self) -> dict[str, object]:
        self.server = subprocess.Popen(
            [sys.executable, "-I", str(_SERVER)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        said = self.server.stdout.readline() if self.server.stdout else b""
        if not said.strip().isdigit():
            msg = "the web server did not start"
            raise RuntimeError(msg)
        (self.folder / _PORT).write_bytes(said)
        return {"server": "http.server, one process, a thread for each connection"}

    def finish(self) -> None:
        if self.server is None:
            return
        for pipe in (self.server.stdin, self.server.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self.server.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()

    def open(self, worker: int) -> None:
        port = int((self.folder / _PORT).read_text())
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.turn = worker * 1000

    def batch(self, way: str) -> float:
        count = 1 if way == "paced" else REQUESTS
        return float(sum(self._asked() for _ in range(count)))

    def _asked(self) -> bool:
        if self.connection is None:
            return False
        self.turn += 1
        self.connection.request("GET", f"/{self.turn}")
        answer = self.connection.getresponse()
        body = answer.read()
        return answer.status == http.client.OK and bool(json.loads(body)["rows"])

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
