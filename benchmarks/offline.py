# SPDX-License-Identifier: Apache-2.0
"""The tests of carbon, water and money where there is no network: `make test-offline`.

Runs pytest inside a network namespace of its own, in which nothing but the loopback interface is
up: what reaches for a name or an address elsewhere fails at once. Where the kernel does not let
users make one, it says so and ends with 3.
"""

import fcntl
import shutil
import socket
import struct
import subprocess
import sys
from typing import Final

FOLDERS: Final = tuple(
    f"tests/{room}"
    for room in (
        "accounting", "circumstances", "grid", "providers", "catalog", "records", "reporting",
    )
)  # fmt: skip
NOT_PERMITTED: Final = 3
_SIOCGIFFLAGS: Final = 0x8913  # linux/sockios.h
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 0x1
_UNSHARE: Final = ("unshare", "--map-root-user", "--net")


def why_not() -> str:
    """Why no empty namespace can be made here; "" if it can."""
    if shutil.which("unshare") is None:
        return "unshare (util-linux) is not installed"
    done = subprocess.run([*_UNSHARE, "true"], capture_output=True, text=True, check=False)
    return done.stderr.strip() if done.returncode else ""


def inside() -> tuple[str, ...]:
    """Command that runs another one, given behind it, in an empty namespace with loopback."""
    return (*_UNSHARE, sys.executable, "-m", "benchmarks.offline", "--inside")


def raise_loopback() -> None:
    """Bring ``lo`` up, which a new namespace has down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh22x", b"lo", 0)
        (flags,) = struct.unpack_from("16xh", fcntl.ioctl(control, _SIOCGIFFLAGS, request))
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | _IFF_UP))


def make_sure_it_is_empty() -> None:
    """End with an error where there is a way out, since the tests would prove nothing then."""
    interfaces = sorted(name for _, name in socket.if_nameindex())
    others = [name for name in interfaces if name != "lo"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        way_out = probe.connect_ex(("192.0.2.1", 9)) == 0  # an address kept for documents
    if way_out:
        raise SystemExit(f"this namespace has a way out ({', '.join(others) or 'lo'})")


def main() -> int:
    if sys.argv[1:2] == ["--inside"]:
        raise_loopback()
        make_sure_it_is_empty()
        return subprocess.run(sys.argv[2:], check=False).returncode
    why = why_not()
    if why:
        print(f"not tested: {why}")
        return NOT_PERMITTED
    command = [*inside(), sys.executable, "-m", "pytest", "-q", *(sys.argv[1:] or FOLDERS)]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
