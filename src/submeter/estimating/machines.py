# SPDX-License-Identifier: Apache-2.0
"""The hardware of a training that has not begun, from a few words: ``h100-sxm:512``, ``cpu``.

Whatever was assumed to read the words (a form factor, a family, another precision's peak) stands
in ``notes`` or in the note of the factor, and makes the interval wider; it is never silent.
"""

import math
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from submeter.catalog.accelerators import (
    AcceleratorRow,
    accelerator_fact,
    family_of,
    match_accelerator,
)
from submeter.catalog.cpus import CpuRow, match_cpu
from submeter.catalog.names import near
from submeter.catalog.tables import rows
from submeter.errors import CoverageError, UsageError
from submeter.records.factors import Factor

MOST_DEVICES: Final = 10_000_000
MANY_DEVICES: Final = 8  # from here on a name that fits several is taken for its server module
PRECISIONS: Final = ("fp4", "fp8", "int8", "bf16", "fp16", "tf32", "fp32", "fp64")
# What runs where the asked precision has no units of its own: the next wider type that the
# datasheet lists. 16-bit types stand for each other: a V100 has fp16 only, a TPU bf16 only.
FALLBACKS: Final[Mapping[str, tuple[str, ...]]] = {
    "fp4": ("fp4", "fp8", "bf16", "fp16", "fp32"),
    "fp8": ("fp8", "bf16", "fp16", "fp32"),
    "int8": ("int8", "bf16", "fp16", "fp32"),
    "bf16": ("bf16", "fp16", "fp32"),
    "fp16": ("fp16", "bf16", "fp32"),
    "tf32": ("tf32", "fp32", "bf16"),
    "fp32": ("fp32", "bf16"),
    "fp64": ("fp64",),
}
ALIKE: Final = {"float32": "fp32", "single": "fp32", "float16": "fp16", "half": "fp16",
                "bfloat16": "bf16", "amp": "bf16", "amp_bf16": "bf16", "amp_fp16": "fp16",
                "mixed": "bf16",
                "float64": "fp64", "double": "fp64", "16-bit": "bf16",
                "fp16/bf16": "bf16", "fp8/bf16": "fp8", "nvfp4": "fp4",
                "mxfp8": "fp8"}  # fmt: skip
# "2 h100" is two of them; "7900 xtx" and "980 ti" are names.
WORDS: Final = re.compile(
    r"^\s*(?:(?P<before>[\d_]+)\s*[x×*]\s*|(?P<few>\d{1,3})\s+(?=[a-z]+[- ]?\w*\d))?"
    r"(?P<name>[^:]+?)\s*(?::\s*(?P<after>[^:]*))?\s*$",
    re.IGNORECASE,
)
# Chips per host as the systems are sold: HGX/DGX boards hold eight SXM modules, Frontier and LUMI
# nodes four MI250X, a GB200 tray four GPUs; TPU hosts as in Google's documentation.
PER_NODE: Final[tuple[tuple[re.Pattern[str], int], ...]] = (
    (re.compile(r"tpu-v(5e|6e)"), 8),
    (re.compile(r"tpu"), 4),
    (re.compile(r"mi250x|gb200|gb300|gh200|dgxs"), 4),
    (re.compile(r"sxm|oam|mi3\d\d|mi250|b200|b300|h200|h800|gaudi|ascend"), 8),
    (re.compile(r"trainium"), 16),
    (re.compile(r"rtx|titan|arc|apple|jetson|gtx|radeon-rx"), 1),
)
PCIE_PER_NODE: Final = 4  # servers for plain cards are sold for two to eight
# Dense fp32 rate of a processor by its TDP: cores × base clock × FLOP per cycle (32 with two
# 256-bit FMA units, 64 with two of 512 bits). EPYC 7763 18, EPYC 9654 20, Xeon 8380 22,
# Xeon 8175M 16, Xeon E5-2680 v3 8, Core i9-13900K 24 GFLOP/s per W.
CPU_GFLOP_PER_S_PER_W: Final = Factor(
    key="cpu-fp32-gflop-per-s-per-w", value=17.0, low=7.0, high=30.0, unit="GFLOP/s/W",
    source="cores x base clock x FLOP per cycle over TDP of six processors, 2014 to 2022",
    year=2022, licence="facts", verified="assumed",
    note="narrow types run at the rate of fp32: AMX and the like are not assumed",
)  # fmt: skip
# Memory channels of a socket by the datasheets of the same processors: 68 (E5-2680 v3) to
# 460 GB/s (EPYC 9654).
CPU_MEMORY_GB_PER_S: Final = Factor(
    key="cpu-memory-bandwidth-gb-per-s", value=180.0, low=50.0, high=460.0, unit="GB/s",
    source="datasheets of six processors, 2014 to 2022", year=2022, licence="facts",
    verified="assumed",
)  # fmt: skip
CPU_WORD: Final = re.compile(
    r"\b(cpu|xeon|epyc|ryzen|core i\d|graviton|ampere altra|threadripper|opteron)\b", re.IGNORECASE
)


SERVER_CHIPS: Final = re.compile(
    r"sxm|oam|h100|h200|h800|b200|b300|a100|a800|gb200|gh200|v100|p100|mi[123]\d|trainium|gaudi|"
    r"ascend|p40|m40|k80|a40|l40|-a30|-t4"
)


class Machine(msgspec.Struct, frozen=True):
    """Devices of one kind in their nodes.

    Attributes
    ----------
    accelerator
        The row that the words fit, or a family.
    count, per_node
        Devices in all, and in one host.
    peaks
        Rate by precision as the datasheets say it, dense [FLOP/s].
    memory_bandwidth
        Of one device [B/s].
    tdp_w
        Rated power of one device [W].
    device_class
        What priors go by: ``datacentre``, ``card``, ``tpu``, ``cpu``.
    words, notes
        As asked; and what was assumed to understand it.
    """

    accelerator: AcceleratorRow
    count: int
    per_node: int
    peaks: dict[str, Factor]
    memory_bandwidth: Factor
    tdp_w: Factor
    device_class: str
    words: str
    notes: tuple[str, ...] = ()

    @property
    def nodes(self) -> int:
        """Hosts that hold all devices."""
        return math.ceil(self.count / self.per_node)

    @property
    def known(self) -> bool:
        """Whether it is one device of the catalog, not a family."""
        return self.accelerator.how == "name"

    def runs_in(self, precision: str) -> str:
        """Precision whose peak counts where *precision* is asked.

        Raises
        ------
        UsageError
            If there is no such precision.
        CoverageError
            If no precision that could stand for it is known of this device.
        """
        asked = precision_of(precision)
        for candidate in FALLBACKS[asked]:
            if candidate in self.peaks:
                return candidate
        raise CoverageError(
            f"no rate in {asked} is known of {self.accelerator.name}",
            remedy="choose another precision, or a device of the catalog",
        )

    def peak_flop_per_s(self, precision: str) -> Factor:
        """Dense peak of one device in *precision* [FLOP/s]; the note says if it is another's."""
        taken = self.runs_in(precision)
        found = self.peaks[taken]
        asked = precision_of(precision)
        if taken == asked:
            return found
        note = f"{asked} is not listed for {self.accelerator.name}: the peak in {taken} is taken"
        return msgspec.structs.replace(found, note="; ".join(filter(None, (found.note, note))))


def precision_of(word: str) -> str:
    """Name of the precision that *word* means: ``bfloat16`` is ``bf16``.

    Raises
    ------
    UsageError
        If it means none.
    """
    said = word.strip().lower()
    said = ALIKE.get(said, said)
    if said not in FALLBACKS:
        raise UsageError(
            f"“{word[:40]}” is no precision", remedy=f"choose one of {', '.join(PRECISIONS)}"
        )
    return said


def machines_of(words: str) -> tuple[Machine, ...]:
    """Machines of a list such as ``v100,a100:8,tpu-v4:64,cpu``."""
    asked = [word for word in (part.strip() for part in words.split(",")) if word]
    if not asked:
        raise UsageError("no hardware is named", remedy="name some, such as h100-sxm:8")
    return tuple(machine_of(word) for word in asked)


def machine_of(words: str) -> Machine:
    """Machine of a name and a count: ``h100-sxm:512``, ``8x a100``, ``cpu``, ``tpu-v4:64``.

    A name that fits several variants is narrowed to the server module (SXM, OAM) from eight
    devices on, else it is their family; a name in no table is the family it seems to be of. Both
    are said in ``notes``, and their intervals hold every member.

    Raises
    ------
    UsageError
        If the words cannot be read, the count is none, or nothing is like the name.
    """
    name, count = _read(words)
    if CPU_WORD.search(name):
        return _processor(words, name, count)
    row, notes = _row(name, count)
    peaks = {}
    for precision in PRECISIONS:
        quantity = "int8_top_per_s" if precision == "int8" else f"{precision}_tflop_per_s"
        found = _fact(row, quantity, own=True)
        if found is not None:
            peaks[precision] = found.scaled(1e12, "FLOP/s")
    return Machine(
        accelerator=row,
        count=count,
        per_node=_per_node(row, count),
        peaks=peaks,
        memory_bandwidth=accelerator_fact(row, "memory_bandwidth_gb_per_s").scaled(1e9, "B/s"),
        tdp_w=accelerator_fact(row, "tdp_w"),
        device_class=_class_of(row),
        words=words.strip(),
        notes=notes,
    )


def _read(words: str) -> tuple[str, int]:
    found = WORDS.match(words)
    if found is None:
        raise UsageError("no hardware is named", remedy="name some, such as h100-sxm:8")
    parts = (found["before"], found["few"], found["after"])
    said = [part for part in parts if part is not None]
    if not said:
        return found["name"], 1
    try:
        count = int(said[0].strip())
    except ValueError:
        count = 0
    if len(said) > 1 or not 0 < count <= MOST_DEVICES:
        raise UsageError(
            f"“{words[:80]}” has no count of devices from 1 to {MOST_DEVICES:,}",
            remedy="write name:count, such as h100-sxm:512",
        )
    return found["name"], count


def _row(name: str, count: int) -> tuple[AcceleratorRow, tuple[str, ...]]:
    try:
        row = match_accelerator(name)
    except UsageError:
        row = family_of(name)
    if row.how == "name":
        return row, ()
    if row.note.endswith("nothing but that it is one"):
        close = near(name, [row["key"] for row in rows("accelerators")])[:4]
        raise UsageError(
            f"no hardware is like “{name[:60]}”"
            + (f"; near it: {', '.join(close)}" if close else ""),
            remedy="submeter factors accelerators lists all names",
        )
    if len(row.members) == 1:
        return match_accelerator(row.members[0]), (f"“{name}” is taken as {row.members[0]}",)
    server = [key for key in row.members if "sxm" in key or "oam" in key]
    if count >= MANY_DEVICES and server:
        return _narrowed(name, row, server)
    return row, (row.note,)


def _narrowed(
    name: str, row: AcceleratorRow, server: list[str]
) -> tuple[AcceleratorRow, tuple[str, ...]]:
    if len(server) == 1:
        return match_accelerator(server[0]), (f"“{name}” from 8 devices on is {server[0]}",)
    note = f"“{name}” from 8 devices on is one of {', '.join(server)}"
    key = f"{row.key}-modules"
    return msgspec.structs.replace(row, key=key, members=tuple(server), note=note), (note,)


def _fact(row: AcceleratorRow, quantity: str, *, own: bool) -> Factor | None:
    """Fact of the row; with *own* not one that its kin lend, for what a chip cannot do."""
    try:
        found = accelerator_fact(row, quantity)
    except CoverageError:
        return None
    lent = row.how == "name" and found.key.split("/")[1] != row.key
    return None if own and lent else found


def _class_of(row: AcceleratorRow) -> str:
    words = f"{row.key} {' '.join(row.members)}".lower()
    if "tpu" in words:
        return "tpu"
    return "datacentre" if SERVER_CHIPS.search(words) else "card"


def _per_node(row: AcceleratorRow, count: int) -> int:
    words = " ".join(row.members).lower()
    found = next((n for pattern, n in PER_NODE if pattern.search(words)), PCIE_PER_NODE)
    return min(count, found)


def _processor(words: str, name: str, count: int) -> Machine:
    """Sockets of processors: their rate is by their TDP, and wide."""
    cpu = match_cpu("" if name.lower().strip() == "cpu" else name)
    tdp = _cpu_tdp(cpu)
    rate = _times(CPU_GFLOP_PER_S_PER_W, tdp, 1e9, "FLOP/s")
    note = f"{count} socket{'s' * (count > 1)} of {cpu.name or 'any processor'} ({cpu.how})"
    row = AcceleratorRow(
        key=f"cpu:{cpu.key}" if cpu.key else "cpu", name=cpu.name or "processor", vendor="",
        architecture="", how="name" if cpu.level == "model" else "family",
        members=(cpu.key,), note=note,
    )  # fmt: skip
    return Machine(
        accelerator=row, count=count, per_node=min(count, 2),
        peaks={"fp32": rate, "fp64": rate.scaled(0.5)},
        memory_bandwidth=CPU_MEMORY_GB_PER_S.scaled(1e9, "B/s"), tdp_w=tdp,
        device_class="cpu", words=words.strip(), notes=(note,),
    )  # fmt: skip


def _cpu_tdp(cpu: CpuRow) -> Factor:
    return Factor(
        key=f"cpus/{cpu.key or 'any'}/tdp_w", value=cpu.tdp_w, low=cpu.tdp_low_w,
        high=cpu.tdp_high_w, unit="W", source=cpu.source,
        verified="copy" if cpu.level == "model" else "assumed", note=cpu.how,
    )  # fmt: skip


def _times(rate: Factor, tdp: Factor, scale: float, unit: str) -> Factor:
    spread = math.exp(1.959964 * math.hypot(rate.log_sd, tdp.log_sd))
    value = rate.value * tdp.value * scale
    return msgspec.structs.replace(
        rate, key=f"{rate.key}:{tdp.key}", value=value, low=value / spread,
        high=value * spread, unit=unit,
    )  # fmt: skip
