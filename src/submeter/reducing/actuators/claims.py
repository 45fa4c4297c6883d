# SPDX-License-Identifier: Apache-2.0
"""Who may set the limits of a board on this machine: one at a time, whatever home it uses.

A claim is the name of a socket that nobody connects to: the kernel gives it to one process, takes
it back when the last that holds it has ended, and leaves no file behind.
"""

import contextlib
import errno
import socket
from collections.abc import Iterable

from submeter.errors import ActuatorError

__all__ = ["Claims", "claim"]


class Claims:
    """Claims of some boards, held until they are closed or all who hold them have ended."""

    def __init__(self, sockets: list[socket.socket]) -> None:
        self._sockets = sockets

    @property
    def fds(self) -> list[int]:
        """Numbers to hand to a child that is to hold them too."""
        return [s.fileno() for s in self._sockets]

    def close(self) -> None:
        """Give them up here."""
        for one in self._sockets:
            with contextlib.suppress(OSError):
                one.close()
        self._sockets = []


def claim(uuids: Iterable[str]) -> Claims:
    """Claim boards, all or none.

    Raises
    ------
    ActuatorError
        If somebody else sets limits on one of them.
    """
    claims, uuid = Claims([]), ""
    try:
        for uuid in sorted(uuids):
            made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            claims._sockets.append(made)  # noqa: SLF001  # ours
            made.bind(f"\0submeter-limits-{uuid}"[:100].encode())
    except OSError as exc:
        claims.close()
        if exc.errno != errno.EADDRINUSE:
            raise ActuatorError(
                f"board {uuid} cannot be claimed: {exc.strerror or exc}", remedy="submeter limits"
            ) from exc
        raise ActuatorError(
            f"another submeter sets limits on board {uuid} now",
            remedy="submeter limits says which; wait for its end",
        ) from exc
    return claims
