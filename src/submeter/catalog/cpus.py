# SPDX-License-Identifier: Apache-2.0
"""Which processor is this? By exact name, else by family, by vendor, or none of them."""

import math
import re
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from submeter.catalog.names import normal_cpu
from submeter.catalog.tables import line, rows
from submeter.records.factors import NORMAL_95

Level = Literal["model", "family", "vendor", "any"]
MARKS: Final = re.compile(r"\((r|tm)\)", re.IGNORECASE)
CODE: Final = re.compile(r"(\d+)/(\d+)")


class CpuRow(msgspec.Struct, frozen=True):
    """A processor, or what is known of its family.

    ``tdp_low_w`` and ``tdp_high_w`` hold 95 % of the models that it may be; they equal the TDP of
    an exact model. ``w_per_thread`` is TDP over hardware threads, which a guest's share goes by.
    """

    key: str
    name: str
    level: Level
    tdp_w: float
    tdp_low_w: float
    tdp_high_w: float
    w_per_thread: float
    w_per_thread_log_sd: float
    source: str
    verified: str
    how: str  # in words: by what it was found
    threads: int | None = None

    @property
    def tdp_log_sd(self) -> float:
        """Standard deviation of log TDP over the models that this may be."""
        return math.log(self.tdp_high_w / self.tdp_low_w) / (2 * NORMAL_95)


def match_cpu(
    model_name: str, *, vendor_id: str = "", code: str = "", stepping: int | None = None
) -> CpuRow:
    """Find the row that fits a processor best.

    Parameters
    ----------
    model_name
        As ``/proc/cpuinfo`` or a hypervisor says it.
    vendor_id
        ``GenuineIntel``, ``AuthenticAMD``, or the implementer of an ARM core (``0x41``).
    code
        Family and model numbers, ``25/17``: they tell a generation where the name is masked.
    stepping
        Tells Skylake-SP, Cascade Lake and Cooper Lake apart.

    Returns
    -------
    CpuRow
        Of the exact model; else of the family by name; else of the family by numbers; else of
        the vendor; else of any processor. Each step is wider, and ``how`` says which it was.
    """
    model = line("cpus", normal_cpu(model_name))
    family = _by_name(model_name)
    if model is not None:
        return _exact(model, family)
    if family["level"] == "family":
        return _described(family, f"family, by the name {model_name!r}")
    numbered = _by_code(vendor_id, code, stepping)
    if numbered is not None:
        return _described(numbered, f"family, by the processor's numbers {code}")
    if family["level"] == "vendor":
        return _described(family, f"vendor only, by the name {model_name!r}")
    seen = f"the name {model_name!r} is not known" if model_name else "no name is given"
    return _described(family, f"any processor: {seen}")


def _by_name(model_name: str) -> Mapping[str, str]:
    """First family whose pattern fits, in the table's order; the last row fits any name."""
    plain = MARKS.sub("", model_name)
    lower = plain.lower()
    families = rows("cpu_families")
    for row in families[:-1]:
        if row["needs"] in lower and re.search(row["regex"], plain, re.IGNORECASE):
            return row
    return families[-1]


def _by_code(vendor_id: str, code: str, stepping: int | None) -> Mapping[str, str] | None:
    found = CODE.fullmatch(code)
    if found is None:
        return None
    number, model = int(found[1]), int(found[2])
    for row in rows("cpu_codes"):
        if row["vendor_id"] != vendor_id or int(row["family"]) != number:
            continue
        if not int(row["model_low"]) <= model <= int(row["model_high"]):
            continue
        low, high = int(row["stepping_low"]), int(row["stepping_high"])
        if (low if stepping is None else stepping) in range(low, high + 1):
            return next(f for f in rows("cpu_families") if f["key"] == row["family_key"])
    return None


def _exact(model: Mapping[str, str], family: Mapping[str, str]) -> CpuRow:
    tdp_w = float(model["tdp_w"])
    threads = int(model["threads"]) if model["threads"] else None
    return CpuRow(
        key=model["key"],
        name=model["name"],
        level="model",
        tdp_w=tdp_w,
        tdp_low_w=tdp_w,
        tdp_high_w=tdp_w,
        w_per_thread=tdp_w / threads if threads else float(family["w_per_thread"]),
        w_per_thread_log_sd=0.0 if threads else float(family["w_per_thread_log_sd"]),
        source=model["source"],
        verified=model["verified"],
        how="exact model",
        threads=threads,
    )


def _described(family: Mapping[str, str], how: str) -> CpuRow:
    return CpuRow(
        key=family["key"],
        name=family["name"],
        level=msgspec.convert(family["level"], Level),
        tdp_w=float(family["tdp_w"]),
        tdp_low_w=float(family["tdp_low_w"]),
        tdp_high_w=float(family["tdp_high_w"]),
        w_per_thread=float(family["w_per_thread"]),
        w_per_thread_log_sd=float(family["w_per_thread_log_sd"]),
        source=family["source"],
        verified=family["verified"],
        how=how,
    )
