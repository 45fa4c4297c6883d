# SPDX-License-Identifier: Apache-2.0
"""What hardware a run reserved, by the devices and the machine that it recorded."""

from collections import Counter
from typing import Final

from submeter.accounting.embodied import Hardware
from submeter.accounting.picking import accelerator_hardware, server_hardware
from submeter.catalog.accelerators import family_of
from submeter.catalog.cpus import match_cpu
from submeter.records.devices import DeviceKind
from submeter.records.runs import Host, Run

SOCKETS: Final = 2  # of the server around a guest that sees one: the usual build


def hardware_of(run: Run, life_years: float | None = None) -> tuple[Hardware, ...]:
    """Accelerators of *run* with their share of a host; a share of a server where it has none.

    Notes
    -----
    All accelerators that the run recorded were reserved for as long as it lasted, however busy
    they were. A host holds those that the run saw there. Without accelerators the share of a
    server goes by hardware threads: those of the machine over those of its model times sockets.
    """
    rows: list[Hardware] = []
    with_boards: set[str] = set()
    seen = Counter(
        (d.device.host, d.device.name) for d in run.devices if d.device.kind is DeviceKind.GPU
    )
    on_host = Counter(d.device.host for d in run.devices if d.device.kind is DeviceKind.GPU)
    for (host, name), count in seen.items():
        with_boards.add(host)
        found = family_of(name)
        rows.append(
            accelerator_hardware(
                found.key if found.how == "name" else None,
                count,
                in_host=on_host[host],
                life_years=life_years,
            )
        )
    rows += [
        server_hardware(ratio, life_years=life_years)
        for host in run.hosts
        if host.name not in with_boards and (ratio := _server_ratio(host)) is not None
    ]
    return tuple(rows)


def _server_ratio(host: Host) -> float | None:
    """Part of a server that the machine *host* is; None where its processor is not known."""
    try:
        threads = float(host.machine.get("vcpus", ""))
        sockets = float(host.machine.get("sockets", "") or 1)
    except ValueError:
        return None
    model = match_cpu(host.machine.get("cpu_model", ""))
    if model.threads is None or threads <= 0:
        return None
    guest = bool(host.machine.get("virtualisation"))
    return min(1.0, threads / (model.threads * (SOCKETS if guest else max(1.0, sockets))))
