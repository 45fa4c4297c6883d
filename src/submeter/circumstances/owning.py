# SPDX-License-Identifier: Apache-2.0
"""Which hardware a run reserved, and what the catalog knows of making it."""

import re
from collections import Counter
from typing import Final

from submeter.accounting.boundaries import SCOPE
from submeter.accounting.embodied import Hardware, accelerator_share
from submeter.accounting.published import ACCELERATORS, BOARD
from submeter.accounting.ratios import spanning
from submeter.accounting.scopes import Arrangement
from submeter.catalog import facts as catalog
from submeter.catalog.accelerators import accelerator_fact, family_of
from submeter.catalog.cpus import match_cpu
from submeter.errors import CoverageError
from submeter.records.devices import DeviceKind
from submeter.records.factors import Factor
from submeter.records.runs import Run
from submeter.units import H_PER_YEAR

FAMILY_WIDER: Final = 1.5  # others stand in for a device that nobody has looked at
UNKNOWN_WIDER: Final = 2.0  # nobody knows the device: from a desktop's board to a chip of a pod
EIGHT: Final = 8  # accelerators in a host that was built around them: HGX, OAM
_MANY: Final = 4
_MOST_ACCELERATORS: Final = 1e8  # that one run can have held: all that were built in years
GUESTS_SOCKETS: Final = 2  # of the server around a virtual machine: the usual build
_BUILT_AROUND: Final = re.compile(r"sxm|oam|hgx|\bmi[23]\d\d[ax]\b|gaudi", re.IGNORECASE)
_DESK: Final = "ademe-desktop"


def accelerator_hardware(
    name: str,
    reserved: float,
    *,
    in_host: float = EIGHT,
    host: str = "",
    instance: str = "",
    life_years: float | None = None,
) -> Hardware:
    """What a run reserved of accelerators of a *name*, with their share of the hosts.

    Parameters
    ----------
    name
        Key of the catalog, or what the driver says; "" where nobody knows.
    in_host
        How many of them sit in a host.
    host
        Row of ``embodied`` that is the host without them; by their number where not given.
    instance
        Row of ``instances``, whose host is known better than that of a typical server.

    Notes
    -----
    A device without a figure of its own takes the spread of its family; one without relatives
    the span of all accelerators, widened; one without a name the span of all published figures
    per accelerator-hour, widened more. Each says so.
    """
    life = _life("lifetime-accelerator", life_years)
    each, note = _accelerator(name)
    if each is None:
        prior = spanning("embodied/any/per_h", [accelerator_hour()], wider=UNKNOWN_WIDER)
        return Hardware(name or "unknown accelerator", life, reserved, per_h=prior, notes=(note,))
    row = host or ("host-8-accelerators" if in_host >= _MANY else "server")
    known = bool(instance) and catalog.has("instance_facts", instance, "host_embodied_kg")
    return Hardware(
        name=name,
        lifetime=life,
        accelerators=reserved,
        accelerator=each,
        host=catalog.fact("instance_facts", instance, "host_embodied_kg")
        if known
        else catalog.fact("embodied", row, "embodied_kg"),
        host_ratio=accelerator_share(reserved, in_host),
        notes=(note,) if note else (),
    )


def server_hardware(
    cpu_ratio: float, *, host: str = "server", life_years: float | None = None
) -> Hardware:
    """Share of a machine without accelerators, by the processors that a run reserved."""
    return Hardware(
        name=host,
        lifetime=_life("lifetime-server", life_years),
        host=catalog.fact("embodied", host, "embodied_kg"),
        host_ratio=cpu_ratio,
    )


def hardware_of(
    run: Run,
    *,
    arrangement: Arrangement = Arrangement.OWN_SITE,
    cpu_ratio: float | None = None,
    instance: str = "",
    life_years: float | None = None,
) -> tuple[Hardware, ...]:
    """All hardware that *run* reserved, a row for each kind of board on each host.

    Parameters
    ----------
    cpu_ratio
        Part of a host's processors that was reserved, where there are no accelerators; all of
        the machine if not known, which the note says.
    instance
        Row of ``instances`` where a cloud's machine was leased.

    Notes
    -----
    Boards of a form that is only built in eights (SXM, OAM) take an eighth of such a host each;
    others share one server between those that the run held. At home the host is a desktop.
    """
    if SCOPE in run.place:
        return _published(run, life_years)
    desk = _DESK if arrangement is Arrangement.HOME else ""
    hosts = dict.fromkeys((*(h.name for h in run.hosts), *(d.device.host for d in run.devices)))
    found: list[Hardware] = []
    for name in hosts:
        devices = [d.device for d in run.devices if d.device.host == name]
        boards = Counter(d.name for d in devices if d.kind is DeviceKind.GPU)
        found += [
            accelerator_hardware(
                board,
                count,
                in_host=_in_host(board, sum(boards.values()), instance),
                host=desk,
                instance=instance,
                life_years=life_years,
            )
            for board, count in sorted(boards.items())
        ]
        if not boards and devices:
            found.append(_bare(cpu_ratio, desk or "server", life_years))
    return tuple(found)


def server_ratio(run: Run) -> float | None:
    """Part of a server that the first host of *run* is; None where its processor is not known.

    Notes
    -----
    By hardware threads: those of the machine over those of its processor's model times sockets.
    A guest is taken to sit in a server of two sockets; where only the family of its processor is
    told, threads are the family's TDP over its watts per thread.
    """
    machine = run.hosts[0].machine if run.hosts else {}
    try:
        threads = float(machine.get("vcpus", ""))
        sockets = max(1.0, float(machine.get("sockets", "") or 1))
    except ValueError:
        return None
    model = match_cpu(machine.get("cpu_model", ""))
    typical = model.threads or model.tdp_w / model.w_per_thread
    guest = bool(machine.get("virtualisation"))
    if threads <= 0 or (model.threads is None and not guest):
        return None
    return min(1.0, threads / (typical * (GUESTS_SOCKETS if guest else sockets)))


def accelerator_hour() -> Factor:
    """Span of published figures per accelerator-hour [kgCO2e/h], of different boundaries."""
    return catalog.fact("embodied", "accelerator-hour", "embodied_kg_per_h")


def _published(run: Run, life_years: float | None) -> tuple[Hardware, ...]:
    """Hardware of a run that was published: its accelerators in hosts of eight, if it tells."""
    if not run.hosts:
        return ()
    told = run.hosts[0].machine
    try:
        held = float(told[ACCELERATORS])
    except (KeyError, ValueError):
        return ()
    if BOARD not in told or not 0 < held < _MOST_ACCELERATORS:
        return ()
    return (accelerator_hardware(told[BOARD], held, life_years=life_years),)


def _bare(cpu_ratio: float | None, host: str, life_years: float | None) -> Hardware:
    made = server_hardware(1.0 if cpu_ratio is None else cpu_ratio, host=host,
                           life_years=life_years)  # fmt: skip
    if cpu_ratio is not None:
        return made
    note = "the whole machine is taken: what part of its processors was reserved is not known"
    return Hardware(made.name, made.lifetime, host=made.host, host_ratio=1.0, notes=(note,))


def _in_host(board: str, held: int, instance: str) -> float:
    row = catalog.attributes("instances", instance) if instance else None
    if row and row["accelerator_count"]:
        return max(float(row["accelerator_count"]), held)
    built = _BUILT_AROUND.search(board) or _BUILT_AROUND.search(family_of(board).key)
    return max(EIGHT, held) if built else held


def _accelerator(name: str) -> tuple[Factor | None, str]:
    """What making one accelerator emitted, and how that is known."""
    if not name:
        words = "an accelerator that nobody knows"
        return None, f"{words}: the span of all published figures per hour, widened"
    row = family_of(name)
    try:
        found = accelerator_fact(row, "embodied_kg")
    except CoverageError:
        prior = catalog.fact("embodied", "accelerator", "embodied_kg")
        wide = spanning("embodied/accelerator/embodied_kg", [prior], wider=FAMILY_WIDER)
        return wide, f"{name}: no figure, nor one of a relative; the span of all, widened"
    own = row.how == "name" and found.key.split("/")[1] == row.key
    return found, "" if own else f"{name}: no figure of its own, {found.source}"


def _life(key: str, years: float | None) -> Factor:
    if years is None:
        return catalog.fact("embodied", key, "lifetime_years").scaled(H_PER_YEAR, "h")
    life_h = years * H_PER_YEAR
    source = f"a life of {years:g} years, declared"
    return Factor(
        f"embodied/{key}/declared", life_h, life_h, life_h, "h", source=source,
        verified="declared",
    )  # fmt: skip
