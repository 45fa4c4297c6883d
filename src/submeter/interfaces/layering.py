# SPDX-License-Identifier: Apache-2.0
"""Layers of a run from its folder: profiles and what is known of the machine, brought together."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from submeter.explaining.layers import LayerShares, shares_of
from submeter.explaining.profiles import by_phase
from submeter.records.devices import DeviceKind
from submeter.records.runs import Run
from submeter.storing import layers as kept
from submeter.storing.places import home as usual_home
from submeter.storing.places import run_folder

if TYPE_CHECKING:
    from submeter.records.explanations import Part
    from submeter.records.layers import LayerProfile

__all__ = ["layers_of", "machine_of", "parts_by_phase", "profiled_devices", "profiles_of"]


def profiles_of(run: Run, home: Path | None = None) -> "list[LayerProfile]":
    """Layer profiles beside *run*, one of each process that trained."""
    return kept.profiles(run_folder(usual_home() if home is None else home, run.id))


def machine_of(run: Run) -> str:
    """What a calibration of this machine is kept under."""
    return run.hosts[0].name if run.hosts else ""


def layers_of(run: Run, home: Path | None = None) -> LayerShares:
    """How the energy of a step of *run* is shared by its layers; without any if none were seen.

    The power of classes is what was fitted on the run's machine, where layers were repeated there.
    """
    profiles = profiles_of(run, home)
    device = next((p.device for p in profiles if p.times), "cpu")
    return shares_of(profiles, kept.kept_calibration(machine_of(run), device, home))


def parts_by_phase(found: LayerShares, run: Run) -> "dict[str, Sequence[Part]]":
    """Parts of the phases in which the training ran, for the tree of joules."""
    return by_phase(found, [p.path for p in run.phases])


def profiled_devices(found: LayerShares) -> frozenset[DeviceKind]:
    """Kinds of devices whose work the layers are."""
    if found.clock == "accelerator":
        return frozenset({DeviceKind.GPU})
    return frozenset({DeviceKind.CPU, DeviceKind.DRAM})
