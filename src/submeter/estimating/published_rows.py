# SPDX-License-Identifier: Apache-2.0
"""What a row of published trainings says: the workload, the machine, and what was measured.

The schema is that of tables such as "training runs, published": one row a run, blank where
nothing was published. A figure that follows from rated power times hours tests arithmetic only
and is not a measurement; it is told apart here.
"""

import math
import re
from collections.abc import Mapping
from functools import cache
from typing import Final, Literal

import msgspec

from submeter.errors import CoverageError, SubmeterError, UsageError
from submeter.estimating.machines import Machine, machine_of
from submeter.estimating.priors import USUAL_BATCH, Traits, balance, traffic_ratio
from submeter.workloads.convolutions import network_of, side_of
from submeter.workloads.describing import workload_of

Scope = Literal["device", "node", "facility"]

NAME: Final = re.compile(
    r"(?:resnext|wide-?resnet|resnet|vgg|densenet)-?\d{2,3}(?!\d)|efficientnet-?b\d|resnet(?!-?\d)"
    r"|alexnet|nasnet-?mobile|mobilenet-?v2|googlenet|inception-?v3|xception|shufflenet-?v2"
)
STEMLESS: Final = 4  # networks for images of 32 pixels lack the stem that quarters others'
DETECTOR: Final = re.compile(r"retinanet|ssd|r-?cnn|u-?net|yolo|detr")
USUAL_MFU: Final = 0.35
COUNT: Final = re.compile(
    r"([\d.,]+(?:e\+?\d+)?)\s*([kmbt]|thousand|million|billion|trillion)?\s*\+?\s*"
    r"(tokens|images|sequences|samples)",
    re.IGNORECASE,
)
SCALES: Final = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12, "thousand": 1e3, "million": 1e6,
                 "billion": 1e9, "trillion": 1e12}  # fmt: skip
NUMBER: Final = re.compile(
    r"[~≈<>\s]*((?:\d[\d,_ ]*)?\.?\d+(?:e[+-]?\d+)?|\d+\.)\s*([a-z]*)", re.IGNORECASE
)
ENERGIES_KWH: Final = {"wh": 1e-3, "kwh": 1.0, "mwh": 1e3, "gwh": 1e6, "mj": 1 / 3.6,
                       "gj": 1000 / 3.6}  # fmt: skip
STAGES: Final = re.compile(r"\d \(\d+B\)")
EPOCHS: Final = re.compile(r"x\s*([\d.]+)\s*epochs?", re.IGNORECASE)
LENGTH: Final = re.compile(r"sequences of (\d+) tokens", re.IGNORECASE)
STATED_FLOP: Final = re.compile(r"([\d.]+) GFLOPs per forward pass", re.IGNORECASE)
EXTRA: Final = re.compile(r"images per epoch \+ (\d+) validation", re.IGNORECASE)
BATCH: Final = re.compile(r"(global )?batch (\d+)", re.IGNORECASE)
PARTS: Final = re.compile(r"\bcpu\s*\+\s*(d?ram|memory)\s*\+\s*gpu", re.IGNORECASE)
LIMIT: Final = re.compile(r"-pl(\d+)\b", re.IGNORECASE)
CIRCULAR: Final = re.compile(r"\bTDP\b|calculator", re.IGNORECASE)
UNSEEN: Final = re.compile(
    r"method not seen|self-reported|estimate|presumed|category-average", re.IGNORECASE
)
MONTH_HOURS: Final = 720.0
PER_SERVER: Final = 8
MOST_GUESSED: Final = 16384
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
    in_parts
        Whether processors, memory and devices were metered, and the rest of the node was not.
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
    in_parts: bool = False


def read(row: Mapping[str, str]) -> Published:
    """Read one *row* of the schema."""
    key = row.get("id") or row.get("model") or "?"
    hours = _number(row, "device_hours")
    kind = kind_of(row)
    limit = LIMIT.search(key)
    limit_w = float(limit[1]) if limit else 0.0
    machine, why_machine = _machine(row, limit_w)
    try:
        flop, why = _flop(row, kind)
    except SubmeterError as error:  # sizes that no layers have
        flop, why = 0.0, str(error)
    machine = _sized(row, machine, flop, kind) if machine else None
    traits = _traits(row, kind, machine, limit_w)
    scope, pue = _scope(row)
    measured, why_not = _measured(row)
    return Published(
        key=key,
        hardware=row.get("hardware") or "",
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
        in_parts=bool(PARTS.search(row.get("energy_scope") or "")),
    )


def kind_of(row: Mapping[str, str]) -> str:
    """Family of the layers, from the words of the row."""
    words = (row.get("architecture") or "").lower()
    if not words.strip():
        return _unsaid_kind(row)
    if "rnn" in words or "lstm" in words:
        return "recurrent"
    if any(word in words for word in ("transformer", "vit", "evoformer", "bert", "gpt")):
        return "transformer"
    return "cnn" if "cnn" in words or "u-net" in words else "other"


def _unsaid_kind(row: Mapping[str, str]) -> str:
    """By the rest of the row: a network on images of that name, or parameters and tokens."""
    if network_in(f"{row.get('id') or ''} {row.get('model') or ''}"):
        return "cnn"
    data = COUNT.search(row.get("dataset_tokens_or_samples") or "")
    sized = _number(row, "params") or _number(row, "active_params")
    return "transformer" if sized and data and data[3].lower() == "tokens" else "unknown"


def _number(row: Mapping[str, str], column: str) -> float:
    """Positive number of a cell, such as ``6.7e9``, ``1,024`` or ``7B``; zero if there is none."""
    words = (row.get(column) or "").strip()
    try:
        found = float(words or 0)
    except ValueError:
        seen = NUMBER.match(words)
        if seen is None:
            return 0.0
        scales = ENERGIES_KWH if column.endswith("_kwh") else SCALES
        found = float(re.sub(r"[,_ ]", "", seen[1])) * scales.get(seen[2].lower(), 1.0)
    return found if math.isfinite(found) and found > 0 else 0.0


def _said(words: str) -> float:
    """The same of a number in a sentence."""
    return _number({"": words}, "")


def _machine(row: Mapping[str, str], limit_w: float) -> tuple[Machine | None, str]:
    hardware = (row.get("hardware") or "").strip()
    if not hardware:
        return None, "no hardware is given"
    hours, wall = _number(row, "device_hours"), _number(row, "wall_hours")
    count = round(_number(row, "n_devices") or (hours / wall if wall else 0.0))
    if not count:
        count = _servers(hours, 1 if 0 < hours < SMALL_HOURS else PER_SERVER)
    try:
        return _limited(machine_of(f"{hardware}:{count}"), limit_w), ""
    except (UsageError, CoverageError) as error:
        return None, str(error)


def _servers(hours: float, least: int) -> int:
    """As many devices as end within a month, in whole servers."""
    return min(MOST_GUESSED, max(least, PER_SERVER * round(hours / MONTH_HOURS / PER_SERVER)))


def _limited(machine: Machine, limit_w: float) -> Machine:
    """Of several variants the one with the least TDP that such a limit can be a limit of."""
    if machine.known or not limit_w:
        return machine
    members = [machine_of(f"{key}:{machine.count}") for key in machine.accelerator.members]
    fit = [one for one in members if one.tdp_w.value >= 0.99 * limit_w]
    return min(fit, key=lambda one: one.tdp_w.value, default=machine)


def _sized(row: Mapping[str, str], machine: Machine, flop: float, kind: str) -> Machine:
    """*machine* with a count by its operations, where neither count nor hours are given."""
    told = any(_number(row, column) for column in ("n_devices", "device_hours", "wall_hours"))
    if told or not flop:
        return machine
    peak = machine.peak_flop_per_s(_precision(row, kind)).value
    count = _servers(flop / peak / USUAL_MFU / 3600, 1)
    return machine if count == machine.count else machine_of(f"{row['hardware']}:{count}")


def _flop(row: Mapping[str, str], kind: str) -> tuple[float, str]:
    """Useful FLOP of the run, and why there are none."""
    unfit = _unfit(row)
    if unfit:
        return 0.0, unfit
    stated = _number(row, "total_train_flops")
    if stated:
        return stated, ""
    words = row.get("dataset_tokens_or_samples") or ""
    found = COUNT.search(words)
    if len(STAGES.findall(words)) > 1:
        return 0.0, "several stages with different models"
    if found is None:
        return 0.0, "neither operations nor tokens nor samples are given"
    count, unit = _said(found[1]), found[3].lower()
    count *= SCALES.get((found[2] or "").lower(), 1.0)
    active = _number(row, "active_params") or _number(row, "params")
    if kind == "transformer" and unit != "images":
        length = LENGTH.search(words)
        per = float(length[1]) if length else _number(row, "seq_len")
        if unit in ("sequences", "samples"):
            if not length and "seq_len" in (row.get("recalled_fields") or ""):
                return 0.0, "the length of the sequences is not published"
            count *= per
        if not (active and count):
            return 0.0, "parameters or the length of sequences are not given"
        return _transformer_flop(row, active, count), ""
    return _images(row, words, count)


def _images(row: Mapping[str, str], words: str, count: float) -> tuple[float, str]:
    inside = EPOCHS.search(words)
    epochs = _said(inside[1]) if inside else _number(row, "epochs")
    forward = _forward_flop(row)
    if not forward:
        return 0.0, "the forward pass of this network is not known"
    if not epochs:
        return 0.0, "epochs are not given"
    extra = EXTRA.search(words)
    validation = _said(extra[1]) if extra else 0.0
    return (3 * count + validation) * epochs * forward, ""


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


def network_in(words: str) -> str:
    """Name of the network on images that the *words* are of; empty if it cannot be counted."""
    plain = words.lower().replace("_", "-")
    found = NAME.search(plain)
    if found is None or DETECTOR.search(plain):
        return ""
    try:
        return network_of("resnet50" if found[0] == "resnet" else found[0])
    except UsageError:
        return ""


@cache
def image_operations(
    network: str, side: int, batch: float, precision: str
) -> tuple[float, float, float, float]:
    """Of one image: forward and useful FLOP, bytes moved, elementwise FLOP."""
    images = 1000 * max(1.0, batch)
    found = workload_of(
        cnn=network, images=images, image_side=side, batch=max(1.0, batch), precision=precision
    ).operations
    return (
        found.forward_flop / images, found.useful_flop / images, found.bytes_moved / images,
        found.elementwise_flop / images,
    )  # fmt: skip


def network_of_row(row: Mapping[str, str]) -> tuple[str, int]:
    """Network of a row, and the side at which to count it."""
    network = network_in(f"{row.get('id', '')} {row.get('model', '')}")
    if not network:
        return "", 0
    side = side_of(network)
    if "cifar" in f"{row.get('model', '')} {row.get('dataset_tokens_or_samples', '')}".lower():
        return network, 32 * STEMLESS
    stated = STATED_FLOP.search(row.get("notes") or "")
    if stated:  # operations go by the square of the side
        whole = image_operations(network, side, USUAL_BATCH, "fp32")[0]
        side = max(32, round(side * math.sqrt(_said(stated[1]) * 1e9 / whole)))
    return network, side


def _forward_flop(row: Mapping[str, str]) -> float:
    stated = STATED_FLOP.search(row.get("notes") or "")
    if stated:
        return _said(stated[1]) * 1e9
    network, side = network_of_row(row)
    return image_operations(network, side, USUAL_BATCH, "fp32")[0] if network else 0.0


def _traits(row: Mapping[str, str], kind: str, machine: Machine | None, limit_w: float) -> Traits:
    params = _number(row, "params")
    active = _number(row, "active_params") or params
    precision = _precision(row, kind)
    if machine is None:
        return Traits(kind=kind, device_class="datacentre", precision=precision)
    taken = machine.runs_in(precision)
    return Traits(
        kind=kind,
        device_class=machine.device_class,
        precision=taken,
        count=machine.count,
        active_params=active,
        traffic_ratio=_traffic(row, machine, precision) if kind == "cnn" else 0.0,
        balance=balance(machine, precision),
        moe=0 < active < 0.9 * params,
        cap_ratio=min(1.0, limit_w / machine.tdp_w.value) if limit_w else 1.0,
    )


def _traffic(row: Mapping[str, str], machine: Machine, precision: str) -> float:
    network, side = network_of_row(row)
    if not network:
        return 0.0
    taken = machine.runs_in(precision)
    batch = _batch(row, machine.count)
    _, useful, moved, elements = image_operations(network, side, batch, taken)
    return traffic_ratio(machine, precision, useful, moved, elements)


def _batch(row: Mapping[str, str], devices: int) -> float:
    """Samples of one step on one device, by the notes; else the usual number."""
    found = BATCH.search(row.get("notes") or "")
    if found is None:
        return USUAL_BATCH
    return max(1.0, float(found[2]) / (devices if found[1] else 1))


def _precision(row: Mapping[str, str], kind: str) -> str:
    """Precision as given; else 16 bits for transformers, fp32 (the frameworks' default) else."""
    words = (row.get("precision") or "").lower()
    for name in ("bf16", "fp16", "tf32", "fp32", "fp8"):
        if name in words:  # of a mixture the wider: what is narrower saves only a part
            return name
    return "bf16" if kind == "transformer" else "fp32"


def _scope(row: Mapping[str, str]) -> tuple[Scope, float]:
    words = (row.get("energy_scope") or "").lower()
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
    basis = row.get("energy_basis") or ""
    if not _number(row, "energy_kwh"):
        return False, "no energy is given"
    if CIRCULAR.search(basis):
        return False, f"circular: {basis}"
    if "x pue" in (row.get("energy_scope") or "").lower() and not _number(row, "pue"):
        return False, "the figure holds a PUE that is not given"
    if "measured" in basis.lower() or "system power" in basis.lower():
        return True, ""
    seen = UNSEEN.search(f"{basis} {row.get('energy_scope', '')}")
    return False, f"not measured as far as is known: {basis or 'no basis given'}" if seen else (
        f"basis unclear: {basis or 'none given'}"
    )


def _unfit(row: Mapping[str, str]) -> str:
    kind = (row.get("run_kind") or "").lower()
    return next((why for word, why in UNFIT.items() if word in kind), "")
