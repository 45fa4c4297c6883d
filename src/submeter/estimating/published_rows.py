# SPDX-License-Identifier: Apache-2.0
"""What a row of published trainings says: the workload, the machine, and what was measured.

The schema is that of tables such as "training runs, published": one row a run, blank where
nothing was published. A figure that follows from rated power times hours tests arithmetic only
and is not a measurement; it is told apart here.
"""

import math
import re
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from submeter.errors import CoverageError, UsageError
from submeter.estimating.machines import Machine, machine_of
from submeter.estimating.priors import USUAL_BATCH, Traits
from submeter.workloads.describing import workload_of

Scope = Literal["device", "node", "facility"]

# Forward pass of one image, two FLOP per multiply-add, of networks that are not counted by name:
# Zoph et al. 2018, Chollet 2017 (299 × 299), Ma et al. 2018 (ShuffleNet v2 of a 32 × 32 image:
# 45 M multiply-adds by the layer shapes).
FORWARD_FLOP: Final[Mapping[str, float]] = {
    "nasnet-mobile": 1.13e9, "xception": 16.8e9, "shufflenetv2": 0.09e9,
}  # fmt: skip
NAMED: Final = {"resnet-50": "resnet50", "resnet50": "resnet50", "-resnet": "resnet50",
                "vgg16": "vgg16", "mobilenet-v2": "mobilenet_v2", "mobilenet_v2": "mobilenet_v2",
                "densenet169": "densenet169"}  # fmt: skip
COUNT: Final = re.compile(
    r"([\d.]+(?:e\+?\d+)?)\s*\+?\s*(tokens|images|sequences|samples)", re.IGNORECASE
)
STAGES: Final = re.compile(r"\d \(\d+B\)")
EPOCHS: Final = re.compile(r"x\s*([\d.]+)\s*epochs?", re.IGNORECASE)
LENGTH: Final = re.compile(r"sequences of (\d+) tokens", re.IGNORECASE)
STATED_FLOP: Final = re.compile(r"([\d.]+) GFLOPs per forward pass", re.IGNORECASE)
EXTRA: Final = re.compile(r"images per epoch \+ (\d+) validation", re.IGNORECASE)
BATCH: Final = re.compile(r"(global )?batch (\d+)", re.IGNORECASE)
LIMIT: Final = re.compile(r"-pl(\d+)\b", re.IGNORECASE)
CIRCULAR: Final = re.compile(r"\bTDP\b|calculator", re.IGNORECASE)
UNSEEN: Final = re.compile(
    r"method not seen|self-reported|estimate|presumed|category-average", re.IGNORECASE
)
MONTH_HOURS: Final = 720.0
SMALL_HOURS: Final = 100.0  # below, one device is the likelier reading
UNFIT: Final = {
    "hypothetical": "extrapolated, not run",
    "development": "many runs of a development are summed",
    "life-cycle": "training and use are summed",
    "family total": "a family of models is summed",
    "post-training": "the hours hold more than the tokens say",
    "distillation": "the teacher's operations are not given",
    "quantisation": "the work is not given",
}


class Published(msgspec.Struct, frozen=True):
    """A row, read.

    Attributes
    ----------
    flop
        Useful operations of the whole run; zero if they do not follow from the row.
    why_no_flop
        Reason for that.
    device_hours
        Zero if not given.
    energy_j, scope, pue
        As published, with what it holds; ``pue`` 1 if the figure holds none.
    carbon_g, intensity_g_per_kwh
        As published; zero if not.
    measured
        Whether the energy rests on a measurement.
    why_not
        Reason why not.
    """

    key: str
    hardware: str
    machine: Machine | None
    traits: Traits
    flop: float
    why_no_flop: str
    device_hours: float
    energy_j: float
    scope: Scope
    pue: float
    pue_given: bool
    measured: bool
    why_not: str
    carbon_g: float = 0.0
    intensity_g_per_kwh: float = 0.0
    limit_w: float = 0.0


def read(row: Mapping[str, str]) -> Published:
    """Read one *row* of the schema."""
    key = row.get("id", "") or row.get("model", "") or "?"
    hours = _number(row, "device_hours")
    machine, why_machine = _machine(row)
    kind = kind_of(row)
    limit = LIMIT.search(key)
    limit_w = float(limit[1]) if limit else 0.0
    flop, sample_flop, why = _flop(row, kind)
    traits = _traits(row, kind, machine, sample_flop, limit_w)
    scope, pue = _scope(row)
    measured, why_not = _measured(row)
    return Published(
        key=key,
        hardware=row.get("hardware", ""),
        machine=machine,
        traits=traits,
        flop=flop if machine else 0.0,
        why_no_flop=why or why_machine,
        device_hours=hours,
        energy_j=_number(row, "energy_kwh") * 3.6e6,
        scope=scope,
        pue=pue,
        pue_given=_number(row, "pue") > 0,
        measured=measured,
        why_not=why_machine or why_not,
        carbon_g=_number(row, "tco2e") * 1e6,
        intensity_g_per_kwh=_number(row, "carbon_intensity_g_per_kwh"),
        limit_w=limit_w,
    )


def kind_of(row: Mapping[str, str]) -> str:
    """Family of the layers, from the words of the row."""
    words = row.get("architecture", "").lower()
    if "rnn" in words or "lstm" in words:
        return "recurrent"
    if any(word in words for word in ("transformer", "vit", "evoformer", "bert", "gpt")):
        return "transformer"
    return "cnn" if "cnn" in words or "u-net" in words else "other"


def _number(row: Mapping[str, str], column: str) -> float:
    try:
        found = float(row.get(column) or 0)
    except ValueError:
        return 0.0
    return found if math.isfinite(found) and found > 0 else 0.0


def _machine(row: Mapping[str, str]) -> tuple[Machine | None, str]:
    hardware = row.get("hardware", "").strip()
    if not hardware:
        return None, "no hardware is given"
    hours, wall = _number(row, "device_hours"), _number(row, "wall_hours")
    count = round(_number(row, "n_devices") or (hours / wall if wall else 0.0))
    if not count:  # hours alone: as many as end within a month, in whole servers
        count = max(1 if 0 < hours < SMALL_HOURS else 8, 8 * round(hours / MONTH_HOURS / 8))
    try:
        return machine_of(f"{hardware}:{count}"), ""
    except (UsageError, CoverageError) as error:
        return None, str(error)


def _flop(row: Mapping[str, str], kind: str) -> tuple[float, float, str]:
    """Useful FLOP of the run, forward FLOP of a sample, and why there are none."""
    unfit = _unfit(row)
    if unfit:
        return 0.0, 0.0, unfit
    stated = _number(row, "total_train_flops")
    if stated:
        return stated, 0.0, ""
    words = row.get("dataset_tokens_or_samples", "")
    found = COUNT.search(words)
    if len(STAGES.findall(words)) > 1:
        return 0.0, 0.0, "several stages with different models"
    if found is None:
        return 0.0, 0.0, "neither operations nor tokens nor samples are given"
    count, unit = float(found[1]), found[2].lower()
    active = _number(row, "active_params") or _number(row, "params")
    if kind == "transformer" and unit != "images":
        length = LENGTH.search(words)
        per = float(length[1]) if length else _number(row, "seq_len")
        if unit in ("sequences", "samples"):
            if not length and "seq_len" in row.get("recalled_fields", ""):
                return 0.0, 0.0, "the length of the sequences is not published"
            count *= per
        if not (active and count):
            return 0.0, 0.0, "parameters or the length of sequences are not given"
        return _transformer_flop(row, active, count), 0.0, ""
    return _images(row, words, count)


def _images(row: Mapping[str, str], words: str, count: float) -> tuple[float, float, str]:
    inside = EPOCHS.search(words)
    epochs = float(inside[1]) if inside else _number(row, "epochs")
    forward = _forward_flop(row)
    if not forward:
        return 0.0, 0.0, "the forward pass of this network is not known"
    if not epochs:
        return 0.0, forward, "epochs are not given"
    extra = EXTRA.search(words)
    validation = float(extra[1]) if extra else 0.0
    return (3 * count + validation) * epochs * forward, forward, ""


def _transformer_flop(row: Mapping[str, str], active: float, tokens: float) -> float:
    """Useful FLOP by the formulas of the layers, whose shape follows from the size.

    Adapters of low rank need no gradient of the weights: four passes of six.
    """
    passes = 4 if "lora" in f"{row.get('id', '')}{row.get('model', '')}".lower() else 6
    context = _number(row, "seq_len")
    described = workload_of(
        params=_number(row, "params") or active,
        active_params=active,
        tokens=tokens,
        context=context or None,
    )
    return described.operations.useful_flop * passes / 6


def _forward_flop(row: Mapping[str, str]) -> float:
    stated = STATED_FLOP.search(row.get("notes", ""))
    if stated:
        return float(stated[1]) * 1e9
    words = f"{row.get('id', '')} {row.get('model', '')}".lower()
    if "retinanet" in words or "ssd" in words:
        return 0.0  # a detector around such a network
    named = next((own for name, own in NAMED.items() if name in words), "")
    if named:
        return workload_of(cnn=named, images=1).operations.forward_flop
    return next((flop for name, flop in FORWARD_FLOP.items() if name in words), 0.0)


def _traits(
    row: Mapping[str, str], kind: str, machine: Machine | None, sample_flop: float, limit_w: float
) -> Traits:
    params = _number(row, "params")
    active = _number(row, "active_params") or params
    precision = _precision(row, kind)
    if machine is None:
        return Traits(kind=kind, device_class="datacentre", precision=precision)
    taken = machine.runs_in(precision)
    peak = machine.peak_flop_per_s(precision).value
    return Traits(
        kind=kind,
        device_class=machine.device_class,
        precision=taken,
        count=machine.count,
        active_params=active,
        step_s=3 * sample_flop * _batch(row, machine.count) / peak,
        moe=0 < active < 0.9 * params,
        cap_ratio=min(1.0, limit_w / machine.tdp_w.value) if limit_w else 1.0,
    )


def _batch(row: Mapping[str, str], devices: int) -> float:
    """Samples of one step on one device, by the notes; else the usual number."""
    found = BATCH.search(row.get("notes", ""))
    if found is None:
        return USUAL_BATCH
    return max(1.0, float(found[2]) / (devices if found[1] else 1))


def _precision(row: Mapping[str, str], kind: str) -> str:
    """Precision as given; else 16 bits for transformers, fp32 (the frameworks' default) else."""
    words = row.get("precision", "").lower()
    for name in ("bf16", "fp16", "tf32", "fp32", "fp8"):
        if name in words:  # of a mixture the wider: what is narrower saves only a part
            return name
    return "bf16" if kind == "transformer" else "fp32"


def _scope(row: Mapping[str, str]) -> tuple[Scope, float]:
    words = row.get("energy_scope", "").lower()
    pue = _number(row, "pue")
    if words.startswith("facility"):
        return "facility", pue or 1.0
    if words.startswith(("it", "node")):
        return "node", 1.0
    return "device", (pue or 1.0) if "x pue" in words else 1.0


def _measured(row: Mapping[str, str]) -> tuple[bool, str]:
    unfit = _unfit(row)
    if "hypothetical" in unfit or "extrapolated" in unfit or "use are summed" in unfit:
        return False, unfit
    basis = row.get("energy_basis", "")
    if not _number(row, "energy_kwh"):
        return False, "no energy is given"
    if CIRCULAR.search(basis):
        return False, f"circular: {basis}"
    if "x pue" in row.get("energy_scope", "").lower() and not _number(row, "pue"):
        return False, "the figure holds a PUE that is not given"
    if "measured" in basis or "system power" in basis:
        return True, ""
    seen = UNSEEN.search(f"{basis} {row.get('energy_scope', '')}")
    return False, f"not measured as far as is known: {basis or 'no basis given'}" if seen else (
        f"basis unclear: {basis or 'none given'}"
    )


def _unfit(row: Mapping[str, str]) -> str:
    kind = row.get("run_kind", "").lower()
    return next((why for word, why in UNFIT.items() if word in kind), "")
