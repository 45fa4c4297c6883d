# SPDX-License-Identifier: Apache-2.0
"""Reduce tables of published and traced trainings to what the priors are fitted on.

``benchmarks/data/training_runs.csv`` holds one line per configuration, with the laboratory it is
from: traits, and whichever of utilisation, device power and node power was measured there.
``benchmarks/data/training_rows.csv`` holds the published rows that are scored.
"""

import csv
import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from submeter.estimating.machines import machine_of
from submeter.estimating.priors import traffic_ratio
from submeter.estimating.published_rows import (
    STATED_FLOP,
    STEMLESS,
    Published,
    image_operations,
    network_of_row,
    read,
)
from submeter.workloads.describing import workload_of

HERE = Path(__file__).parent / "data"
RUNS = HERE / "training_runs.csv"
ROWS = HERE / "training_rows.csv"
IMAGES = HERE / "published_images.csv"
UTILISATIONS = HERE / "published_utilisation.csv"  # found by us, each with its source
FIELDS = [
    "key", "lab", "lot", "hardware", "count", "kind", "active_params", "moe", "traffic_ratio",
    "precision", "limit_w", "steady", "probe", "mfu", "device_w", "node_w", "node_ratio",
    "energy_ratio", "year", "source",
]  # fmt: skip
# Columns of a published row that a prediction looks at, with its source.
ROW_FIELDS = [
    "id", "lab", "model", "year", "source", "params", "active_params", "layers", "d_model",
    "seq_len", "architecture", "dataset_tokens_or_samples", "epochs", "total_train_flops",
    "hardware", "n_devices", "device_hours", "wall_hours", "precision",
    "reported_power_w_per_device", "reported_utilisation_or_MFU", "pue", "energy_kwh",
    "carbon_intensity_g_per_kwh", "tco2e", "notes", "energy_scope", "energy_basis", "run_kind",
    "recalled_fields", "dup_group",
]  # fmt: skip
# Laboratory by the first words of the row's key: those of one house are never split.
LABS = {
    "strubell-gpt2": "OpenAI", "strubell": "UMass", "patterson21": "Google", "glam": "Google",
    "palm": "Google", "gopher": "Google", "gemma": "Google", "bit": "Google", "vit": "Google",
    "meta-pseudo": "Google", "albert": "Google", "alphafold": "Google", "t5": "Google",
    "meena": "Google", "gshard": "Google", "switch": "Google", "tpu": "Google",
    "xlm": "Meta", "opt": "Meta", "llama": "Meta", "xglm": "Meta", "sam": "Meta", "deit": "Meta",
    "retinanet": "Meta", "esm2": "Meta", "wav2vec2": "Meta", "dodge22": "AI2", "olmo": "AI2",
    "bloomberggpt": "Bloomberg", "bloom": "BigScience", "pythia": "EleutherAI",
    "nemotron": "NVIDIA", "mt-nlg": "NVIDIA", "megatron": "NVIDIA", "gpt-3": "OpenAI",
    "gpt-oss": "OpenAI", "zeus": "SymbioticLab", "gaissa": "GAISSA-UPC", "phi": "Microsoft",
    "granite": "IBM", "smollm3": "Hugging Face", "alexatm": "Amazon", "skywork": "Kunlun",
    "xtrimopglm": "BioMap", "glm": "Zhipu", "nanogpt": "Karpathy", "deepseek": "DeepSeek",
    "mlperf-v4.0-smc": "Supermicro", "mlperf-v5.0-lenovo": "Lenovo", "mpt": "MosaicML",
    "flm": "BAAI", "8x-h100": "Latif", "4x-h100": "NLR",
}  # fmt: skip


def lab_of(key: str) -> str:
    """Laboratory that a run is from, by the longest beginning that is listed."""
    found = [name for name in LABS if key.startswith(name)]
    return LABS[max(found, key=len)] if found else key.split("-", maxsplit=1)[0]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def reduce(truth: Path, data: Path) -> None:
    """Write both reduced tables from the folders of the originals."""
    rows = [{**row, "lab": lab_of(row["id"])} for row in table(truth / "open_runs.csv")]
    _write(ROWS, ROW_FIELDS, rows)
    odd = inconsistent(rows)
    runs = [
        *(run for row in rows if (run := from_row(row, fits=row["id"] not in odd))),
        *from_measured(data / "gpu_measured.csv"),
        *from_utilisations(),
        *from_images(),
        *from_foundry(truth / "traces" / "llmfoundry_mfu_throughput_a100.csv"),
        *from_zeus(truth / "traces" / "zeus_summary_power_v100.csv"),
    ]
    _write(RUNS, FIELDS, runs)


def _write(path: Path, fields: list[str], rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fields, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: _short(row.get(k, "")) for k in fields})


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def inconsistent(rows: list[dict[str, str]]) -> set[str]:
    """Rows whose printed operations mean images of another side than the lab's other networks.

    One of them is then not the network of that name: they are scored, and not fitted.
    """
    sides: dict[str, dict[str, int]] = defaultdict(dict)
    for row in rows:
        if STATED_FLOP.search(row["notes"]) and network_of_row(row)[0]:
            sides[row["lab"]][row["id"]] = network_of_row(row)[1]
    return {
        key
        for own in sides.values()
        for key, side in own.items()
        if not 0.8 < side / statistics.median(own.values()) < 1.25
    }


def from_row(row: Mapping[str, str], *, fits: bool = True) -> dict[str, Any] | None:
    """Reading of a published row; None if it holds nothing to fit."""
    run = read(row)
    if run.machine is None:
        return None
    peak = run.machine.peak_flop_per_s(run.traits.precision).value
    seconds = run.device_hours * 3600
    found: dict[str, Any] = {}
    if run.flop and seconds and fits:
        found["mfu"] = run.flop / (seconds * peak)
    if run.flop and run.measured and run.scope == "device" and fits:
        ideal_j = run.flop / peak * run.machine.tdp_w.value
        found["energy_ratio"] = run.energy_j / run.pue / ideal_j
    found.update(_power(row, run, seconds))
    return _line(row, run, found) if found else None


def _power(row: Mapping[str, str], run: Published, seconds: float) -> dict[str, float]:
    """Device or node power, of measured rows alone."""
    basis = row["energy_basis"]
    if run.in_parts:  # neither the devices alone nor the whole node
        return {}
    if run.measured and seconds and not _coarse(row):
        name = "device_w" if run.scope == "device" else "node_w"
        return {name: run.energy_j / run.pue / seconds}
    stated = float(row["reported_power_w_per_device"] or 0)
    if stated and basis.startswith("measured"):
        return {"device_w" if run.scope == "device" and run.measured else "node_w": stated}
    return {}


def _coarse(row: Mapping[str, str]) -> bool:
    """Whether a figure has but one digit: rounding may be a third of it."""
    digits = (
        row[column].strip("0.").replace(".", "") for column in ("energy_kwh", "device_hours")
    )
    return min(len(one) for one in digits) < 2 and float(row["device_hours"]) < 1


def _line(row: Mapping[str, str], run: Published, found: Mapping[str, float]) -> dict[str, Any]:
    traits = run.traits
    assert run.machine is not None
    return {
        "key": run.key, "lab": row["lab"], "lot": run.key, "count": run.machine.count,
        "kind": traits.kind,
        "hardware": run.machine.accelerator.key if run.limit_w else run.hardware,
        "active_params": traits.active_params, "moe": int(traits.moe),
        "traffic_ratio": traits.traffic_ratio, "precision": traits.precision,
        "limit_w": run.limit_w, "steady": 0, "year": row["year"], "source": row["source"],
        **found,
    }  # fmt: skip


# Parameters and devices of runs whose utilisation or power is cited, from the same publications.
MODELS = {
    "PaLM 540B": (540e9, 6144, 0), "Gopher 280B": (280e9, 4096, 0),
    "MT-NLG 530B": (530e9, 2240, 0),
    "GLM-130B": (130e9, 768, 0), "Llama 3.1 405B, 8192 GPUs": (405e9, 8192, 0),
    "Llama 3.1 405B, 16384 GPUs": (405e9, 16384, 0),
    "Llama 3.1 405B, 131k context": (405e9, 16384, 0),
    "GPT-3 175B": (175e9, 10000, 0), "GShard-600B": (2.3e9, 1024, 1),
    "Switch-1500B": (7.4e9, 1024, 1), "OLMo-family 7B on H100": (7e9, 8, 0),
}  # fmt: skip
CITED = {
    "mfu_fraction": "mfu", "system_avg_w_per_accelerator": "node_w", "train_avg_w": "device_w",
    "machine_to_accelerator_ratio": "node_ratio",
}  # fmt: skip


def from_measured(path: Path) -> Iterator[dict[str, Any]]:
    """Cited figures of single runs, and of machines of a fleet."""
    for row in table(path):
        column = CITED.get(row["metric"])
        if column is None or row["verified"] == "recall":
            continue
        if row["subject_type"] != "fleet" and row["subject"] not in MODELS:
            continue
        params, count, moe = MODELS.get(row["subject"], (0.0, int(row["n_accelerators"] or 8), 0))
        yield {
            "key": row["id"], "lab": lab_of(row["id"]), "lot": row["subject"],
            "hardware": row["accelerator_id"], "count": count, "kind": "transformer",
            "active_params": params, "moe": moe,
            "traffic_ratio": 0, "precision": "bf16", "limit_w": 0, "steady": int(column == "mfu"),
            column: float(row["value"]), "year": row["year"] or "", "source": row["source"],
        }  # fmt: skip
    yield from from_energies(path)
    yield {
        "key": "8x-h100-hgx-node-at-tdp", "lab": "Latif", "lot": "maximum",
        "hardware": "nvidia-h100-sxm5-80gb", "count": 8, "kind": "transformer",
        "active_params": NODE_PARAMS, "moe": 0, "traffic_ratio": 0,
        "precision": "bf16", "limit_w": 0, "steady": 1, "node_ratio": 8480 / (8 * 700),
        "year": 2024, "source": "Latif et al. 2024 (arXiv:2412.08602): 8480 W at its maximum",
    }  # fmt: skip
    for key, lab, watts, source in NODES:
        yield {
            "key": key, "lab": lab, "lot": key, "hardware": "nvidia-h100-sxm5-80gb", "count": 8,
            "kind": "transformer", "active_params": NODE_PARAMS, "moe": 0, "traffic_ratio": 0,
            "precision": "bf16", "limit_w": 0, "steady": 1, "node_w": watts, "year": 2025,
            "source": source,
        }  # fmt: skip


NODE_PARAMS = 13e9  # of Llama 2 13B, with which the first two of these nodes were loaded
NODES = (
    ("h100-node-training", "Newkirk", 0.76 * 10200 / 8,
     "Newkirk et al. 2025 (arXiv:2506.14551): 0.76 of a rated 10.2 kW, of 8 GPUs"),
    ("h100-node-saturated", "NLR", 2800 / 4,
     "NLR 2026 (arXiv:2604.07345): 2800 W of a node of 4 GPUs, saturated"),
)  # fmt: skip
# Parameters and tokens of runs whose device energy is cited (arXiv:2501.00656).
ENERGIES = {"OLMo 2 7B": (7.3e9, 4.05e12), "OLMo 2 13B": (13.7e9, 5.6e12)}


def from_energies(path: Path) -> Iterator[dict[str, Any]]:
    """Measured device energy over that of the useful operations at peak rate and TDP."""
    for row in table(path):
        if row["metric"] != "gpu_energy_mwh":
            continue
        params, tokens = ENERGIES[row["subject"]]
        machine = machine_of(f"{row['accelerator_id']}:1024")
        peak = machine.peak_flop_per_s("bf16").value
        ideal_j = 6 * params * tokens / peak * machine.tdp_w.value
        yield {
            "key": row["id"], "lab": lab_of(row["id"]), "lot": row["subject"],
            "hardware": row["accelerator_id"], "count": 1024, "kind": "transformer",
            "active_params": params, "moe": 0, "traffic_ratio": 0, "precision": "bf16",
            "limit_w": 0, "steady": 0, "energy_ratio": float(row["value"]) * 3.6e9 / ideal_j,
            "year": row["year"], "source": row["source"],
        }  # fmt: skip


def from_foundry(path: Path) -> Iterator[dict[str, Any]]:
    """Utilisation of steps by configuration, of LLM Foundry."""
    for row in table(path):
        devices, length = int(row["# GPUs"]), row["SeqLen (T)"]
        card = "40" if "40gb" in row["GPU"] else "80"
        yield {
            "key": f"foundry-{row['Model']}-{length}-{devices}-{row['GPU']}",
            "lab": "MosaicML", "lot": row["Model"],
            "hardware": f"nvidia-a100-sxm4-{card}gb", "count": devices,
            "kind": "transformer", "active_params": float(row["NumParams"]), "moe": 0,
            "traffic_ratio": 0, "precision": "bf16", "limit_w": 0, "steady": 1,
            "mfu": float(row["MFU"]) / 100, "year": 2023,
            "source": "MosaicML LLM Foundry, throughput table (Apache-2.0)",
        }  # fmt: skip


# Samples of an epoch and forward FLOP of a sample, where both are known.
SLOW_RATIO = 2.0  # a batch that takes longer than the best by this is a probe, not a training
V100_FP32 = 14.13e12  # of the card [FLOP/s]
# Kind, parameters, images of an epoch, side at which the network is counted.
ZEUS = {"resnet50": ("cnn", 25.6e6, 1281167, 224),
        "shufflenetv2": ("cnn", 1.4e6, 50000, 32 * STEMLESS),
        "bert_base_uncased": ("transformer", 110e6, 0, 0), "deepspeech2": ("recurrent", 0, 0, 0),
        "ncf": ("other", 0, 0, 0)}  # fmt: skip


def _zeus_traffic(network: str, batch: int) -> float:
    side = ZEUS[network][3]
    if not side:
        return 0.0
    _, useful, moved, elements = image_operations(network, side, batch, "fp32")
    machine = machine_of("nvidia-v100-pcie-32gb:1")
    return traffic_ratio(machine, "fp32", useful, moved, elements)


def from_images() -> Iterator[dict[str, Any]]:
    """Utilisation of networks on images whose speed we found published."""
    for row in table(IMAGES):
        machine = machine_of(f"{row['hardware']}:{row['count']}")
        precision = machine.runs_in(row["precision"])
        _, useful, moved, elements = image_operations(
            row["network"], int(row["side"]), float(row["batch_per_device"]), precision
        )
        peak = machine.peak_flop_per_s(precision).value
        yield {
            "key": row["key"], "lab": row["lab"], "lot": row["lot"], "hardware": row["hardware"],
            "count": machine.count, "kind": "cnn", "active_params": 0.0, "moe": 0,
            "traffic_ratio": traffic_ratio(machine, precision, useful, moved, elements),
            "precision": precision, "limit_w": 0, "steady": 1, "probe": 0,
            "mfu": useful * float(row["images_per_s"]) / machine.count / peak,
            "year": row["year"], "source": row["source"],
        }  # fmt: skip


def from_utilisations() -> Iterator[dict[str, Any]]:
    """Utilisations, or hours and tokens, that we found published."""
    for row in table(UTILISATIONS):
        params, active = float(row["params"]), float(row["active_params"])
        machine = machine_of(f"{row['hardware']}:{row['count']}")
        mfu = float(row["mfu"] or 0)
        if not mfu:
            work = workload_of(
                params=params, active_params=active, tokens=float(row["tokens"]),
                context=float(row["context"]),
            )  # fmt: skip
            peak = machine.peak_flop_per_s(row["precision"]).value
            mfu = work.operations.useful_flop / peak / (float(row["device_hours"]) * 3600)
        yield {
            "key": row["key"], "lab": row["lab"], "lot": row["lot"], "hardware": row["hardware"],
            "count": machine.count, "kind": "transformer", "active_params": active,
            "moe": int(active < 0.9 * params), "traffic_ratio": 0, "precision": row["precision"],
            "limit_w": 0, "steady": row["steady"], "mfu": mfu, "year": row["year"],
            "source": row["source"],
        }  # fmt: skip


def from_zeus(path: Path) -> Iterator[dict[str, Any]]:
    """Device power, and utilisation where it follows, by network, batch and power limit."""
    groups = defaultdict(list)
    for row in table(path):
        groups[row["network"], row["dataset"], row["batch_size"], row["power_limit"]].append(row)
    times = {
        key: statistics.median(float(r["time_per_epoch"]) for r in rows)
        for key, rows in groups.items()
    }
    best: dict[tuple[str, str, str], float] = {}
    for (network, data, _, limit), seconds in times.items():
        best[network, data, limit] = min(seconds, best.get((network, data, limit), math.inf))
    for (network, data, batch, limit), rows in groups.items():
        slow = times[network, data, batch, limit] > SLOW_RATIO * best[network, data, limit]
        kind, params, images, sides = ZEUS[network]
        seconds = times[network, data, batch, limit]
        mfu = {}
        if sides:
            useful = image_operations(network, sides, int(batch), "fp32")[1]
            mfu = {"mfu": useful * images / seconds / V100_FP32}
        yield {
            "key": f"zeus-{network}-{data}-{batch}-pl{limit}", "lab": "SymbioticLab",
            "lot": f"{network}-{data}",
            "hardware": "nvidia-v100-pcie-32gb", "count": 1, "kind": kind,
            "active_params": float(params), "moe": 0,
            "traffic_ratio": _zeus_traffic(network, int(batch)),
            "precision": "fp32", "limit_w": float(limit), "steady": 1, "probe": int(slow),
            "device_w": statistics.median(float(r["average_power"]) for r in rows), **mfu,
            "year": 2023, "source": "You et al. 2023, Zeus (NSDI), power trace (Apache-2.0)",
        }  # fmt: skip
