# SPDX-License-Identifier: Apache-2.0
"""Devices that do less than they could: batches that do not fill them, numbers too wide."""

import math
from typing import Final

from submeter.catalog.accelerators import accelerator_fact, match_accelerator
from submeter.errors import SubmeterError
from submeter.estimating.machines import precision_of
from submeter.explaining.waste_book import Cells, Claim, Silence
from submeter.explaining.waste_case import Case, node_j, number, percent, rule, words_of
from submeter.records.runs import DeviceEnergy, Run

PRECISIONS: Final = ("precision", "dtype", "amp", "mixed_precision", "amp_dtype")
FLAGS: Final = {"bf16": "bf16", "fp16": "fp16", "fp32": "fp32", "tf32": "tf32"}
BATCHES: Final = ("batch_size", "per_device_train_batch_size", "train_batch_size", "batch", "bs")
_NO: Final = frozenset({"no", "off", "false", "none", "0"})
_YES: Final = frozenset({"yes", "on", "true", "1"})
_FASTER: Final = 1.5  # rate of bf16 products over those in fp32, from which on a board has them
_IDLE: Final = 0.03  # of what it can draw above idle: a board that is not used at all
_NARROW: Final = frozenset({"bf16", "fp16", "fp8", "fp4", "int8"})


def tiny_batch(case: Case) -> Claim | Silence:
    """Steps that do not fill the board: power that is drawn in any case, for longer than needed.

    Notes
    -----
    What work draws above idle is the same in any batch; what the node draws at idle goes with
    time. At a use ``u`` of the board instead of ``v`` in steps that fill it, the part
    ``1 - u / v`` of the time, and with it of the idle energy, is more than needed.
    """
    key = "tiny-batch"
    batch = number(case.words, BATCHES)
    step_s = _step_s(case)
    if not case.boards:
        return Silence(key, "no board was the run's")
    if step_s is None:
        return Silence(key, "no steps were logged: how long one takes is not known")
    full = rule("full-use-ratio")
    if step_s > rule("short-step-s").value:
        return Silence(key, f"a step of {step_s:.2f} s does not hang on its start")
    used = [u for b in case.boards if (u := _use(case, b)) is not None]
    if not used:
        return Silence(key, "what its boards draw at rest is not known")
    use = math.fsum(used) / len(used)
    if not _IDLE < use < rule("under-use-ratio").value:
        return Silence(key, f"steps draw {percent(use)} of what the boards can above idle")
    more = {v: 1 - use / v for v in (full.low, full.value, full.high)}
    words = f"batches of {batch:.0f}, " if batch else ""
    return Claim(
        key=key, name="tiny batch", cells=_at_rest(case, more[full.value]),
        why=f"{words}steps of {1e3 * step_s:.0f} ms draw {percent(use)} of what the boards can "
        f"above idle; steps that fill them draw {percent(full.value)}",
        detail={"use_ratio": use, "step_s": step_s, **({"batch": batch} if batch else {})},
        places=tuple(b.device.id for b in case.boards), source=full.source,
        low_ratio=max(0.0, more[full.low]) / more[full.value],
        high_ratio=more[full.high] / more[full.value],
    )  # fmt: skip


def precision(case: Case) -> Claim | Silence:
    """Training in fp32 on a board that multiplies bf16 several times as fast."""
    key = "precision"
    known = precision_said(case.words)
    if not case.boards:
        return Silence(key, "no board was the run's")
    if not known:
        return Silence(key, "its precision is not known: log precision=…")
    if known in _NARROW:
        return Silence(key, f"it was trained in {known}")
    boards = [b for b in case.boards if _has_bf16(b)]
    if known == "fp64" or not boards:
        return Silence(key, f"its boards gain nothing from bf16 against {known}")
    twin = next((o for o in case.others if _narrower(o, case)), None)
    saving = rule("precision-saving-ratio")
    ratio, low, high, how = saving.value, saving.low, saving.high, "as published"
    if twin is not None:
        measured = 1 - _per_work(twin) / _per_work(case.run)
        if measured <= 0:
            return Silence(key, f"{twin.name or twin.id} took no less in {_said(twin)}")
        ratio, low, high = measured, measured, measured
        how = f"as {twin.name or twin.id} took in {_said(twin)}"
    parts = [t / n for t, n in zip(case.wall_s("busy"), case.lengths_s, strict=True)]
    if not any(parts):
        parts = [1.0 for _ in case.slots]
    return Claim(
        key=key, name=f"{known} on a board of bf16",
        cells=case.part([ratio * p for p in parts] if twin is None else [ratio] * len(parts)),
        why=f"it was trained in {known} on {boards[0].device.name}, which multiplies bf16 "
        f"{_speed_up(boards[0]):.0f} times as fast: {percent(ratio)} less, {how}",
        detail={"saving_ratio": ratio, "rate_ratio": _speed_up(boards[0])},
        places=tuple(b.device.id for b in boards) + ((twin.id,) if twin else ()),
        source="" if twin else saving.source, low_ratio=low / ratio, high_ratio=high / ratio,
    )  # fmt: skip


def precision_said(words: dict[str, str]) -> str:
    """Precision that the run's words tell; "" if they tell none."""
    for name in PRECISIONS:
        word = words.get(name, "").lower().removeprefix("torch.")
        if not word:
            continue
        if name in {"amp", "mixed_precision"} and word in _NO | _YES:
            return "fp32" if word in _NO else "bf16"
        try:
            return precision_of(word)
        except SubmeterError:
            continue
    said = {FLAGS[f]: words[f].lower() for f in FLAGS if f in words}
    on = next((p for p, word in said.items() if word in _YES), "")
    return on or ("fp32" if said and all(w in _NO for w in said.values()) else "")


def _said(run: Run) -> str:
    return precision_said(words_of(run))


def _narrower(other: Run, case: Case) -> bool:
    """Whether *other* differs from the run by nothing but a narrower precision."""
    words = words_of(other)
    if other.status != "finished" or precision_said(words) not in _NARROW:
        return False
    skip = {*PRECISIONS, *FLAGS}
    given = {k: v for k, v in other.parameters.items() if k not in skip}
    mine = {k: v for k, v in case.run.parameters.items() if k not in skip}
    return given == mine and _per_work(other) > 0 and _per_work(case.run) > 0


def _per_work(run: Run) -> float:
    """Energy per unit of work [J]; 0 where none was logged."""
    unit = next((u for u in ("samples", "tokens", "steps") if run.work.get(u, 0.0) > 0), "")
    return node_j(run) / run.work[unit] if unit else 0.0


def _has_bf16(board: DeviceEnergy) -> bool:
    return _speed_up(board) >= _FASTER


def _speed_up(board: DeviceEnergy) -> float:
    """Rate of bf16 products over those in fp32 by datasheet; 0 where either is not known."""
    try:
        row = match_accelerator(board.device.name)
        narrow = accelerator_fact(row, "bf16_tflop_per_s")
        wide = accelerator_fact(row, "fp32_tflop_per_s")
    except SubmeterError:
        return 0.0
    own = narrow.key.split("/")[1:2] == [row.key] or not narrow.key.startswith("family")
    return narrow.value / wide.value if own and wide.value > 0 else 0.0


def _step_s(case: Case) -> float | None:
    steps = case.run.work.get("steps") or max(
        (float(p.step) for p in case.run.metric_history if p.step is not None), default=0.0
    )
    busy_s = case.seconds("busy") or case.run.duration_s
    return busy_s / steps if steps > 0 else None


def _use(case: Case, board: DeviceEnergy) -> float | None:
    """Power above idle in steps, over what the board can draw above idle [1]."""
    idle_w, peak_w = case.idle_w(board), board.device.peak_w
    if idle_w is None or peak_w is None or peak_w <= idle_w:
        return None
    busy_s = case.seconds("busy")
    if busy_s > 0:
        power_w = case.board_w(board.device.id, "busy")
    else:
        power_w = case.cells_w(board.device.id)
    return (power_w - idle_w) / (peak_w - idle_w)


def _at_rest(case: Case, ratio: float) -> Cells:
    """*ratio* of the idle energy of all devices while steps were made."""
    busy = case.wall_s("busy") if case.seconds("busy") > 0 else list(case.lengths_s)
    parts = [t / n for t, n in zip(busy, case.lengths_s, strict=True)]
    boards = {b.device.id: b for b in case.boards}
    cells = case.part([ratio * p for p in parts], [d for d in case.cells if d not in boards])
    for device, board in boards.items():
        idle_w = case.idle_w(board) or 0.0
        cells[device] = [
            min(e, ratio * t * idle_w * case.to_wall)
            for t, e in zip(busy, case.cells[device], strict=True)
        ]
    return cells
