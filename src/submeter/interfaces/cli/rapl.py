# SPDX-License-Identifier: Apache-2.0
"""What ``submeter doctor --fix rapl`` does: open the energy counters of the processor."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from submeter.errors import ActuatorError, SensorAbsentError, SensorPermissionError, UsageError
from submeter.sensors.powercap import find_zones

RULE_FILE: Final = "udev/rules.d/70-submeter-rapl.rules"
_READ_ALL, _READ_GROUP = 0o444, 0o440
_WARNING: Final = (
    "Whoever can read these counters can, with effort, learn what other programs compute\n"
    "(CVE-2020-8694). On a machine that you share, open them to one group: --group NAME."
)


class Fix(msgspec.Struct, frozen=True):
    """What will be done: a rule for every start of the machine, and the counters of today."""

    rule_path: Path
    rule: str
    counters: tuple[Path, ...]
    mode: int
    group: str

    def described(self) -> str:
        """Tell the rule, what it does, and what it gives away."""
        lines = [
            f"A udev rule, {self.rule_path}:",
            "",
            *(f"  {x}" for x in self.rule.splitlines()),
        ]
        lines += ["", f"and at once, for {len(self.counters)} counters:", ""]
        lines += [f"  {x}" for x in self._commands()]
        return "\n".join([*lines, "", _WARNING, "", *self.undo()])

    def undo(self) -> list[str]:
        """Tell how all of it is taken back."""
        counters = " ".join(str(c) for c in self.counters)
        owner = f"sudo chgrp root {counters} && " if self.group else ""
        return ["To undo:", f"  sudo rm {self.rule_path}", f"  {owner}sudo chmod 0400 {counters}"]

    def _commands(self) -> list[str]:
        owner = [f"chgrp {self.group} {c}" for c in self.counters] if self.group else []
        return owner + [f"chmod {self.mode:04o} {c}" for c in self.counters]


def plan_fix(sys_root: Path, etc_root: Path, group: str = "") -> Fix:
    """Say what has to be done so that the counters can be read; changes nothing.

    Raises
    ------
    SensorAbsentError
        If this machine shows no counter.
    UsageError
        If *group* is no name of a group.
    """
    if group and not group.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"“{group}” is no name of a group", remedy="getent group")
    counters = tuple(zone.counter for zone in find_zones(sys_root))
    if not counters:
        raise SensorAbsentError(
            f"there is no energy counter below {sys_root / 'class' / 'powercap'}",
            remedy="submeter doctor, or docs/guests.md for a virtual machine",
        )
    mode = _READ_GROUP if group else _READ_ALL
    owner = f"chgrp {group} /sys%p/energy_uj && " if group else ""
    rule = (
        "# Energy counters of the processor, readable without root. Made by submeter.\n"
        'SUBSYSTEM=="powercap", KERNEL=="intel-rapl*:*", ACTION=="add", '
        f"RUN+=\"/bin/sh -c '{owner}chmod {mode:04o} /sys%p/energy_uj'\"\n"
    )
    return Fix(etc_root / RULE_FILE, rule, counters, mode, group)


def apply_fix(fix: Fix, *, euid: Callable[[], int] | None = None) -> None:
    """Write the rule and open the counters; on failure say what state the machine is in.

    Raises
    ------
    SensorPermissionError
        If we are not root.
    ActuatorError
        If a part of it failed.
    """
    if (os.geteuid if euid is None else euid)() != 0:
        raise SensorPermissionError(
            "only root can open the counters", remedy="sudo submeter doctor --fix rapl --yes"
        )
    gid = _gid(fix.group)
    done: list[str] = []
    try:
        fix.rule_path.parent.mkdir(parents=True, exist_ok=True)
        fix.rule_path.write_text(fix.rule, encoding="utf-8")
        done.append(str(fix.rule_path))
        for counter in fix.counters:
            if gid is not None:
                os.chown(counter, -1, gid)
            counter.chmod(fix.mode)
            done.append(str(counter))
    except OSError as exc:
        state = f"done so far: {', '.join(done)}" if done else "nothing was changed"
        raise ActuatorError(
            f"{exc.filename or 'a counter'}: {exc.strerror} ({state})",
            remedy=fix.undo()[-1].strip(),
        ) from exc


def _gid(group: str) -> int | None:
    if not group:
        return None
    import grp

    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise UsageError(
            f"there is no group “{group}”", remedy=f"sudo groupadd --system {group}"
        ) from None
