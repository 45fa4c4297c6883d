# SPDX-License-Identifier: Apache-2.0
"""What ``submeter doctor`` finds out before it says anything."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from submeter.accounting.boundaries import footprint
from submeter.accounting.typical import Load, counted, typical_loads, typical_run
from submeter.catalog import pue_prior
from submeter.errors import SubmeterError
from submeter.interfaces.cli.looking import Look, look_at
from submeter.records.amounts import Amount
from submeter.records.devices import Channel, Device, DeviceKind, Measures
from submeter.records.factors import Factor
from submeter.records.figures import Basis, Figure, Missing
from submeter.records.places import Zone
from submeter.reporting.footprint_words import missing
from submeter.sensors import Finding, Roots, discover
from submeter.settings import Loaded, load
from submeter.storing.ledger import open_ledger
from submeter.storing.places import home

_READ_APART_S = 0.3


class Gain(msgspec.Struct, frozen=True):
    """Something to do, and the total's interval once it is done."""

    remedy: str
    total: Figure


class LedgerState(msgspec.Struct, frozen=True):
    """The ledger as it is; ``runs`` is None if there is none that opens."""

    path: Path
    runs: int | None
    size_bytes: int
    problems: tuple[str, ...] = ()


class Diagnosis(msgspec.Struct, frozen=True):
    """All that the doctor says."""

    machine: dict[str, str]
    findings: tuple[Finding, ...]
    total: Figure | None  # energy of a typical hour at the wall
    gains: tuple[Gain, ...]
    zone: Zone
    ledger: LedgerState
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        """Say it in the words of the JSON."""
        return {
            "machine": dict(self.machine),
            "findings": [
                {
                    "part": f.part,
                    "state": f.state,
                    "text": f.text,
                    "remedy": f.remedy,
                    "interval_ratio": missing("no interval")
                    if f.interval_ratio is None
                    else f.interval_ratio,
                }
                for f in self.findings
            ],
            "typical_hour": missing("nothing can be measured or modelled")
            if self.total is None
            else self.total.to_dict(),
            "gains": [{"remedy": g.remedy, "typical_hour": g.total.to_dict()} for g in self.gains],
            "zone": missing(self.zone.note) if self.zone.guessed else self.zone.code,
            "place": {"zone": self.zone.code, "name": self.zone.name, "how": self.zone.how},
            "ledger": {
                "path": str(self.ledger.path),
                "runs": missing("no ledger that opens")
                if self.ledger.runs is None
                else self.ledger.runs,
                "size_bytes": self.ledger.size_bytes,
                "problems": list(self.ledger.problems),
            },
            "warnings": list(self.warnings),
        }


def diagnose(where: Roots, *, visible_devices: str | None = None) -> Diagnosis:
    """Look at sensors, settings and ledger; changes nothing."""
    found = discover(where, visible_devices=visible_devices)
    try:
        looks = look_at(found.sensors, apart_s=_READ_APART_S)
    finally:
        found.close()
    loaded = load(strict=False)
    declared = loaded.settings.pue
    pue = pue_prior() if declared is None else declared
    loads = typical_loads([(x.device, x.channel) for x in looks], _powers_w(looks))
    rest, rest_ratio = _rest(looks)
    whole = _total(loads, rest, rest_ratio, pue)
    return Diagnosis(
        machine=found.machine,
        findings=tuple(found.findings),
        total=whole,
        gains=() if whole is None else _gains(whole, loads, rest, rest_ratio, pue),
        zone=_place(loaded),
        ledger=ledger_state(home() / "ledger.db"),
        warnings=loaded.warnings,
    )


def _place(loaded: Loaded) -> Zone:
    """Where a run that begins now would be."""
    from submeter.grid.place import place_of
    from submeter.grid.timezone import machine_timezone
    from submeter.settings.recording import recorded

    return place_of(recorded(loaded) | {"timezone": machine_timezone()})


def ledger_state(path: Path) -> LedgerState:
    """Open and check the ledger at *path*, if there is one."""
    try:
        size_bytes = path.stat().st_size
    except FileNotFoundError:
        return LedgerState(path, None, 0)
    except OSError as exc:
        return LedgerState(path, None, 0, (f"{path}: {exc.strerror}",))
    try:
        with open_ledger(path, create=False) as ledger:
            problems = tuple(ledger.check())
            return LedgerState(path, len(ledger.list()), size_bytes, problems)
    except SubmeterError as exc:
        return LedgerState(path, None, size_bytes, (str(exc),))


def _powers_w(looks: Sequence[Look]) -> dict[str, float]:
    """Power by device just now [W]."""
    powers_w: dict[str, float] = {}
    for look in looks:
        now_w = look.rate if look.channel.measures is Measures.ENERGY else None
        if look.channel.measures in {Measures.POWER, Measures.MEAN_POWER} and not isinstance(
            look.value, Missing
        ):
            now_w = look.value
        if now_w:
            powers_w.setdefault(look.device.id, now_w)
    return powers_w


def _rest(looks: Sequence[Look]) -> tuple[tuple[Device, Channel] | None, float | Missing]:
    """Rest of the node, and its part of the other devices' energy."""
    for look in looks:
        if look.channel.measures is Measures.REST_RATIO:
            return (look.device, look.channel), look.value
    return None, Missing("no model of the rest of the node")


def _total(
    loads: Sequence[Load],
    rest: tuple[Device, Channel] | None,
    rest_ratio: float | Missing,
    pue: Factor | float,
) -> Figure | None:
    if not loads:
        return None
    facility = footprint(typical_run(loads, rest, rest_ratio), pue).facility
    return facility.figure("J") if isinstance(facility, Amount) else None


def _gains(
    whole: Figure,
    loads: Sequence[Load],
    rest: tuple[Device, Channel] | None,
    rest_ratio: float | Missing,
    pue: Factor | float,
) -> tuple[Gain, ...]:
    """Try what would narrow the total, most helpful first."""
    tried: list[tuple[str, Figure | None]] = []
    if not isinstance(pue, int | float):
        remedy = "if your site tells its PUE: submeter config set pue 1.3"
        tried.append((remedy, _total(loads, rest, rest_ratio, pue.value)))
    if any(
        x.device.kind is DeviceKind.CPU and x.channel.basis is not Basis.MEASURED for x in loads
    ):
        better = counted(loads, DeviceKind.CPU)
        tried.append(("RAPL, where the host passes it on", _total(better, rest, rest_ratio, pue)))
    gains = [Gain(r, t) for r, t in tried if t is not None and _width(t) < 0.95 * _width(whole)]
    return tuple(sorted(gains, key=lambda g: _width(g.total)))


def _width(figure: Figure) -> float:
    return figure.high - figure.low
