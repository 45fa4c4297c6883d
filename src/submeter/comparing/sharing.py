# SPDX-License-Identifier: Apache-2.0
"""Which doubts two runs share: the same sensor, the same site, the same row of the catalog.

A key of doubt is unique within a run. Beside another run it needs to say whose it is: the gain of
``rapl-package`` is one doubt in two runs of one machine, and two doubts in runs of two machines.
What is not known to be shared is taken as independent, which never makes an interval narrower.
"""

from collections.abc import Callable, Mapping
from typing import Final

from submeter.records.figures import Quantity
from submeter.records.runs import Host, Run

# Of this run alone, whatever the machine: what was not read, how a run was split.
OF_THE_RUN: Final = ("unseen", "phase-split", "split-by-cpu-time", "forecast/")
OF_THE_SITE: Final = ("pue", "wue", "facility/", "cooling/")
OF_THE_CATALOG: Final = ("estimate/", "accelerator_facts/", "published/", "nvml-gain:")
_PLACED: Final = ("zone", "cloud", "pue", "cooling", "arrangement", "wue_l_per_kwh", "wet_bulb_c")
_TELLING: Final = ("cpu_model", "vcpus", "memory_bytes")  # of a host, beside its name
_AS_IF: Final = "asked_"  # begins what a replayed run was asked (circumstances.reckoning.ASKED)


def naming(run: Run) -> Callable[[str], str]:
    """A function that gives each key of doubt of *run* a name that is true beside other runs.

    Notes
    -----
    Doubts of readings and of models of devices are one on the same hosts; those of the facility
    on the same site (same hosts, or for runs that nobody metered the same words for the place);
    those of the catalog, of the grid and of a board with a serial number anywhere. What a single
    run missed, or how it was split, is its own; a replayed run was read when its parent was.
    """
    read = run.parent if run.origin == "replayed" and run.parent else run.id
    hosts, site = machine(run), _site(run)
    metered = {
        spread.source_key
        for row in run.devices
        if isinstance(row.share, Quantity)
        for spread in row.share.spreads
    }

    def name(key: str) -> str:
        if key.startswith(OF_THE_CATALOG):
            return key
        if key.startswith(OF_THE_RUN):
            return f"{key} in {read}"
        if key in metered:
            return f"{key} on {hosts}"
        return f"{key} at {site}" if key.startswith(OF_THE_SITE) else key

    return name


def machine(run: Run) -> str:
    """Name of the machine, or of all machines, that *run* was on; its own if none is known."""
    return " + ".join(sorted(map(_host, run.hosts))) or f"the machine of {run.parent or run.id}"


def machine_name(host: str, told: Mapping[str, str]) -> str:
    """Name of a machine by its host's name and what is *told* of it."""
    return " ".join((host, *(told.get(key, "") for key in _TELLING))).strip()


def _host(host: Host) -> str:
    return machine_name(host.name, host.machine)


def _site(run: Run) -> str:
    """Name of the facility around *run*."""
    asked = " ".join(f"{k}={v}" for k, v in sorted(run.place.items()) if k.startswith(_AS_IF))
    if run.origin in {"predicted", "published"}:
        placed = " ".join(f"{key}={run.place[key]}" for key in _PLACED if key in run.place)
        return placed if run.origin == "predicted" else f"{placed} of {run.id}"
    return f"{machine(run)} {asked}".strip()
