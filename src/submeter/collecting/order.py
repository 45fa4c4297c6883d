# SPDX-License-Identifier: Apache-2.0
"""The order that a collector is started with, kept as ``order.json`` in the run's folder."""

import msgspec


class Order(msgspec.Struct, frozen=True):
    """Everything that a collector, also a restarted one, needs to know about its run."""

    run_id: str
    folder: str  # the run's folder, absolute
    ledger: str  # the ledger file, absolute; "" if there is none to write
    leader_pid: int  # metered command, or measuring process
    owner_pid: int  # process that holds the other end of our stdin
    interval_s: float
    utc_ns: int
    t_ns: int
    name: str = ""
    command: tuple[str, ...] = ()
    tags: dict[str, str] = {}
    user: str = ""
    project: str = ""
    parent: str = ""
    attempt: int = 1
    place: dict[str, str] = {}
    code: dict[str, str] = {}
    visible_devices: str | None = None  # CUDA_VISIBLE_DEVICES of the run; None: not set
    sys_root: str = "/sys"
    proc_root: str = "/proc"
    nvml: bool = True
    notes: tuple[str, ...] = ()
    patient: bool = False  # the owner waits a tenth of a second for a counter that moves seldom
