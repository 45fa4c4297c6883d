# SPDX-License-Identifier: Apache-2.0
"""Layer profiles beside a run, and what repeating layers told of a machine.

``layers.<pid>`` lies in the run's folder and is written over as a whole at most once a second, so
that whoever is killed leaves the last one behind; it goes where the run goes, in archives too.
"""

import re
from pathlib import Path
from typing import Final

import msgspec

from submeter.records.layers import LAYERS_SCHEMA, LayerCalibration, LayerProfile
from submeter.storing import places
from submeter.storing.folders import write_whole

__all__ = ["keep", "keep_calibration", "kept_calibration", "profiles", "reason", "say_why"]

PATTERN: Final = "layers.*"
WHY: Final = "no-layers."
FOLDER: Final = "layer-power"
MOST_BYTES: Final = 32 * 2**20
_MOST_WORDS: Final = 500
_STRANGE: Final = re.compile(r"[^A-Za-z0-9_.-]+")


def keep(folder: Path, profile: LayerProfile, *, number: int | None = None) -> None:
    """Write *profile* into the folder of its run, over the one of the same process.

    Raises
    ------
    OSError
        If it cannot be written; the one before stays.
    """
    path = folder / f"layers.{profile.pid if number is None else number}"
    write_whole(path, msgspec.json.encode(profile))


def profiles(folder: Path) -> list[LayerProfile]:
    """Profiles of a run, by process; what cannot be read is left out."""
    found = []
    for path in sorted(folder.glob(PATTERN)):
        try:
            if path.stat().st_size <= MOST_BYTES and not path.is_symlink():
                profile = msgspec.json.decode(path.read_bytes(), type=LayerProfile)
                found += [profile] if profile.schema == LAYERS_SCHEMA else []
        except (OSError, msgspec.DecodeError, ValueError, RecursionError):
            continue
    return found


def say_why(folder: Path, pid: int, words: str) -> None:
    """Leave a sentence that says why this process has no profile.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    write_whole(folder / f"{WHY}{pid}", words[:_MOST_WORDS].encode("utf-8", "replace"))


def reason(folder: Path) -> str:
    """What the processes of a run say of why they have no profile, the first one; "" if none."""
    for path in sorted(folder.glob(f"{WHY}*")):
        try:
            with path.open("rb") as file:
                return file.read(_MOST_WORDS).decode("utf-8", "replace")
        except OSError:
            continue
    return ""


def keep_calibration(made: LayerCalibration, home: Path | None = None) -> Path:
    """Keep what repeating layers told of this machine; one file for each device.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path = _path(made.machine, made.device, home)
    path.parent.mkdir(mode=places.PRIVATE_FOLDER, parents=True, exist_ok=True)
    write_whole(path, msgspec.json.encode(made))
    return path


def kept_calibration(
    machine: str, device: str, home: Path | None = None
) -> LayerCalibration | None:
    """What is kept of *machine* and *device*, None if nothing can be read."""
    try:
        with _path(machine, device, home).open("rb") as file:
            found = msgspec.json.decode(file.read(MOST_BYTES), type=LayerCalibration)
    except (OSError, msgspec.DecodeError, ValueError):
        return None
    return found if found.schema == LAYERS_SCHEMA else None


def _path(machine: str, device: str, home: Path | None) -> Path:
    name = _STRANGE.sub("_", f"{machine}.{device}")[:120]
    return (places.home() if home is None else home) / FOLDER / f"{name}.json"
