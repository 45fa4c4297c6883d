# SPDX-License-Identifier: Apache-2.0
"""Zones of a fake powercap tree: energy counters and all that goes wrong with them."""

import os
import shutil
from math import inf
from pathlib import Path
from typing import Final, Literal

from submeter.testing.cells import EACCES_SOURCE, EIO_SOURCE, Cell
from submeter.testing.waveforms import Waveform
from submeter.units import UJ_PER_J, s_to_ns

# Linux computes the energy unit in whole nanojoules (intel_rapl_common.c): 2^-14 J for Intel,
# 2^-16 J for AMD, times 2^32 - 1 counts.
INTEL_UNIT_NJ: Final = 61_035
INTEL_RANGE_UJ: Final = 262_143_328_850
AMD_UNIT_NJ: Final = 15_258
AMD_RANGE_UJ: Final = 65_532_610_987

State = Literal["present", "absent", "with_parent", "eio", "refused", "empty", "fifo"]
_LINKS: Final[dict[State, str]] = {"eio": EIO_SOURCE, "refused": EACCES_SOURCE}


class Zone:
    """One powercap zone, its true power and its script of faults.

    Every fault takes the machine's time at which it starts [s]; those with ``until_s`` end there.
    Faults are written into the script before their time; those of the past are shown at the next
    ``at`` of the machine.

    Parameters
    ----------
    folder
        The zone's real folder; ``energy_uj`` and the rest are made in it.
    links
        Folder ``class/powercap``, in which the zone is linked by its name.
    label
        Content of ``name``: package-0, dram, psys, ...
    waveform
        The true power.
    device_id
        Device whose energy this is; empty for a part or a second view of another zone.
    range_uj, unit_nj
        Content of ``max_energy_range_uj`` and size of one count [nJ].
    start_uj
        Counter at the machine's time 0 [uJ].
    update_s
        How often the counter is refreshed [s].
    gain
        What all that is counted is multiplied with; the truth is not.
    limit_w
        Power limit of a package [W].
    mode
        Permissions of ``energy_uj``; 0o400 is what Linux gives it, and refuses other users.
    """

    def __init__(
        self,
        folder: Path,
        links: Path,
        label: str,
        waveform: Waveform,
        *,
        device_id: str,
        parent: "Zone | None" = None,
        range_uj: int = INTEL_RANGE_UJ,
        unit_nj: int = INTEL_UNIT_NJ,
        start_uj: int = 1_234_567_890,
        update_s: float = 0.001,
        gain: float = 1.0,
        limit_w: float = 270.0,
        mode: int = 0o444,
    ) -> None:
        self.folder = folder
        self.label = label
        self.waveform = waveform
        self.device_id = device_id
        self.parent = parent
        self.range_uj = range_uj
        self.unit_nj = unit_nj
        self.start_uj = start_uj
        self.update_ns = s_to_ns(update_s)
        self.gain = gain
        self._counts = range_uj * 1000 // unit_nj + 1  # how many counts there are until a wrap
        self._link = links / folder.name
        self._resets: list[float] = []
        self._freezes: list[tuple[float, float]] = []
        self._offsets: list[tuple[float, float, float]] = []
        self._states: list[tuple[State, float, float]] = []
        self.shown: State = "present"  # what the files are now
        self._cell = Cell(folder / "energy_uj", mode=mode)
        self._make(limit_w)

    def _make(self, limit_w: float) -> None:
        self.folder.mkdir(parents=True)
        self._link.symlink_to(os.path.relpath(self.folder, self._link.parent))
        limit_uw = round(limit_w * 1e6)
        texts = {"name": self.label, "enabled": "1", "uevent": "",
                 "max_energy_range_uj": str(self.range_uj)}  # fmt: skip
        if self.parent is None:
            texts |= {
                "constraint_0_name": "long_term", "constraint_0_time_window_us": "999424",
                "constraint_0_max_power_uw": str(limit_uw),
                "constraint_0_power_limit_uw": str(limit_uw),
            }  # fmt: skip
        for name, text in texts.items():
            (self.folder / name).write_text(f"{text}\n")
        self._cell.write(b"%020d\n" % self.value_uj(0.0))

    # ---- the script ----

    def reset(self, at_s: float) -> None:
        """Start again from 0 at *at_s*, as after a driver reload."""
        self._resets.append(at_s)

    def step_back(self, at_s: float, by_uj: float) -> None:
        """Count *by_uj* less from *at_s* on."""
        self._offsets.append((at_s, inf, -by_uj))

    def jump(self, at_s: float, by_uj: float, *, until_s: float = inf) -> None:
        """Count *by_uj* more from *at_s* on, for good or until *until_s*."""
        self._offsets.append((at_s, until_s, by_uj))

    def freeze(self, at_s: float, *, until_s: float = inf) -> None:
        """Stop to refresh the counter, while the load goes on."""
        self._freezes.append((at_s, until_s))

    def vanish(self, at_s: float, *, until_s: float = inf) -> None:
        """Take the zone and those below it away; files held open read empty then."""
        self._states.append(("absent", at_s, until_s))

    def fail(self, at_s: float, *, until_s: float = inf) -> None:
        """Answer reads with EIO."""
        self._states.append(("eio", at_s, until_s))

    def refuse(self, at_s: float = -inf, *, until_s: float = inf) -> None:
        """Refuse to open the counter (EACCES), also to root where the kernel has a way."""
        self._states.append(("refused", at_s, until_s))

    def empty(self, at_s: float, *, until_s: float = inf) -> None:
        """Read as an empty file."""
        self._states.append(("empty", at_s, until_s))

    def hang(self, at_s: float, *, until_s: float = inf) -> None:
        """Hang who opens the counter (a FIFO in its place), until it is released."""
        self._states.append(("fifo", at_s, until_s))

    def show_range(self, text: str | None) -> None:
        """Let ``max_energy_range_uj`` read *text*; None: reading it fails with EIO."""
        cell = Cell(self.folder / "max_energy_range_uj")
        if text is None:
            cell.link_to(EIO_SOURCE)
        else:
            cell.renew(f"{text}\n".encode())

    # ---- what it shows ----

    def value_uj(self, t_s: float) -> int:
        """Counter at *t_s* as its file says it [uJ], if it says anything."""
        t_ns = s_to_ns(t_s)
        for from_s, until_s in self._freezes:
            if from_s <= t_s < until_s:
                t_ns = min(t_ns, s_to_ns(from_s))
        seen_s = t_ns // self.update_ns * self.update_ns / 1e9 if self.update_ns else t_ns / 1e9
        past = [at_s for at_s in self._resets if at_s <= t_s]
        if past:
            used_j = self.waveform.energy_j(max(past), max(seen_s, *past))
        else:
            used_j = self.waveform.energy_j(0.0, seen_s)
        total_uj = used_j * self.gain * UJ_PER_J + (0 if past else self.start_uj)
        for at_s, until_s, by_uj in self._offsets:
            if at_s <= t_s < until_s:
                total_uj += by_uj
        # half a nanojoule: a sum of floats must not fall short of a whole count
        counts = int((total_uj * 1000 + 0.5) // self.unit_nj) % self._counts
        return counts * self.unit_nj // 1000

    def truth_j(self, t0_s: float, t1_s: float) -> float:
        """Energy that the zone's part really used [J]."""
        return self.waveform.energy_j(t0_s, t1_s)

    def at(self, t_s: float) -> None:
        """Show the counter as it is at *t_s*."""
        state = self._state(t_s) if self._states or self.parent else "present"
        if state != self.shown:
            self._leave(self.shown, t_s)
            self._enter(state)
            self.shown = state
        if state == "present":
            self._cell.write(b"%020d\n" % self.value_uj(t_s))

    def adopt(self, t_s: float) -> None:
        """Take over from another process that has shown *t_s*."""
        self.shown = self._state(t_s)
        self._cell.drop()

    def drop(self) -> None:
        """Let go of the files; the next ``at`` opens them again."""
        self._cell.drop()

    def close(self) -> None:
        """Let go of the files, and of who hangs in them."""
        if self.shown == "fifo":
            self._cell.release()
        self._cell.drop()

    def _state(self, t_s: float) -> State:
        if self.parent is not None and self.parent._state(t_s) in ("absent", "with_parent"):  # noqa: SLF001 - a zone itself
            return "with_parent"
        found: State = "present"
        for state, from_s, until_s in self._states:
            if from_s <= t_s < until_s:
                found = state
        return found

    @property
    def _hidden(self) -> Path:
        """Where the folder lies while the zone is away, outside of the tree."""
        return self._link.parents[3] / ".gone" / self.folder.name

    def _leave(self, state: State, t_s: float) -> None:
        content = b"%020d\n" % self.value_uj(t_s)
        if state == "absent":  # whoever finds the folder again finds a good file in it
            Cell(self._hidden / "energy_uj", mode=self._cell.mode).renew(content)
            self._hidden.rename(self.folder)
        elif state not in ("present", "empty"):
            self._cell.renew(content)
        if state in ("absent", "with_parent"):
            self._link.symlink_to(os.path.relpath(self.folder, self._link.parent))

    def _enter(self, state: State) -> None:
        if state == "present":
            return
        if state == "refused":
            self._refuse()
            return
        self._cell.blank()
        if state in ("absent", "with_parent"):
            self._cell.path.unlink(missing_ok=True)
            self._link.unlink(missing_ok=True)
        if state == "absent":
            self._hidden.parent.mkdir(exist_ok=True)
            shutil.rmtree(self._hidden, ignore_errors=True)
            self.folder.rename(self._hidden)
        elif state == "fifo":
            self._cell.fifo()
        elif state == "eio":
            self._cell.link_to(EIO_SOURCE)

    def _refuse(self) -> None:
        if os.geteuid() == 0:
            self._cell.link_to(EACCES_SOURCE)
        else:
            self._cell.path.chmod(0o000)
            self._cell.drop()
