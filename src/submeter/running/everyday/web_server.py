# SPDX-License-Identifier: Apache-2.0
"""A small web server for the everyday tasks: it makes each page anew from rows in memory.

Run as a program of its own (``python -I web_server.py``); it says its port and serves 127.0.0.1
until its input ends.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

ROWS: Final = 40
SIZE: Final = 400
_ROWS: Final = [
    {"id": i, "name": f"machine {i}", "load": (i * 37 % 100) / 100, "note": "all is well " * 3}
    for i in range(SIZE)
]


class Handler(BaseHTTPRequestHandler):
    """Answers ``/ID``: the rows from number ID on, as JSON."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave together

    def do_GET(self) -> None:  # the name is the library's
        """Write the rows."""
        first = int(self.path.lstrip("/") or 0) % SIZE
        rows = [_ROWS[(first + i) % SIZE] for i in range(ROWS)]
        body = json.dumps({"from": first, "rows": rows}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as in the library
        """Say nothing."""
        del format, args


def main() -> None:
    """Serve until the input ends."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        sys.stdout.write(f"{server.server_address[1]}\n")
        sys.stdout.flush()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.stdin.buffer.read()
        server.shutdown()


if __name__ == "__main__":
    main()
