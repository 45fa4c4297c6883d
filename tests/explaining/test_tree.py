# SPDX-License-Identifier: Apache-2.0
"""The tree of a job whose energy is known: within 2 % a branch, and each level sums exactly."""

import math
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.scripted import LONG, SHORT, Job, scripted
from submeter.accounting.boundaries import footprint
from submeter.accounting.published import Scope, published_run
from submeter.explaining.dividing import sums
from submeter.explaining.gathering import gathered
from submeter.explaining.tree import OUTSIDE_NAME, UNTOLD, explained
from submeter.records.amounts import Amount
from submeter.records.devices import Device, DeviceKind
from submeter.records.explanations import UNATTRIBUTED, Branch, Part
from submeter.records.figures import Basis, ErrorTerm, Missing, Quantity
from submeter.records.observations import Observations
from submeter.records.runs import DeviceEnergy, PhaseEnergy, Run
from submeter.running.observing import from_series, observed
from submeter.running.reckoning import reckoned


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    return scripted(tmp_path_factory.mktemp("job"), LONG, length_s=60.0)


@pytest.fixture(scope="module")
def seen(job: Job) -> Observations:
    return observed(job.run, job.folder)


def found(tree: Branch, *names: str) -> Branch:
    for name in names:
        tree = next(b for b in tree.children if b.name == name)
    return tree


def joules(branch: Branch) -> float:
    assert isinstance(branch.energy, Amount), branch
    return branch.energy.value


@pytest.mark.parametrize("device", ["GPU", "CPU"])
def test_each_phase_is_within_two_per_cent_of_the_truth(
    job: Job, seen: Observations, device: str
) -> None:
    tree = explained(job.run, footprint(job.run, 1.2), seen)
    assert sums(tree)
    here = found(tree, "node", device)
    own = str(here.detail["device"])
    for phase in LONG:
        path = [OUTSIDE_NAME] if not phase.path else phase.path.split("/")
        truth = job.truth_j[own, phase.path]
        assert joules(found(here, *path)) == pytest.approx(truth, rel=0.02), phase.path


def test_short_phases_of_a_board_have_intervals_that_hold_the_truth(tmp_path: Path) -> None:
    job = scripted(tmp_path, SHORT, length_s=30.0)
    tree = explained(job.run, footprint(job.run, 1.2))
    board = found(tree, "node", "GPU")
    widths = []
    for phase in SHORT:
        path = [OUTSIDE_NAME] if not phase.path else phase.path.split("/")
        branch = found(board, *path)
        assert isinstance(branch.energy, Amount)
        figure = branch.energy.figure("J")
        assert figure.low <= job.truth_j[str(board.detail["device"]), phase.path] <= figure.high
        widths.append((figure.high - figure.low) / figure.value)
    assert max(widths) > 0.5
    train = found(board, "train").energy
    assert isinstance(train, Amount)
    whole = train.figure("J")
    assert (whole.high - whole.low) / whole.value < min(widths)


def test_it_begins_at_the_wall_and_says_what_each_phase_is_kept_for(
    job: Job, seen: Observations
) -> None:
    tree = explained(job.run, footprint(job.run, 1.2), seen)
    node = found(tree, "node")
    assert [b.name for b in tree.children] == ["facility overhead", "node"]
    assert joules(found(tree, "facility overhead")) == pytest.approx(0.2 * joules(node))
    assert joules(tree) == pytest.approx(1.2 * joules(node))
    states = {
        name: found(node, "GPU", *name.split("/")).detail["state"]
        for name in ("train/data", "train/forward", "save checkpoint")
    }
    assert states == {
        "train/data": "waiting for data",
        "train/forward": "busy",
        "save checkpoint": "checkpoint",
    }
    assert found(node, "GPU", "train", "data").detail["duration_s"] == pytest.approx(
        60 * 2.187 / 16.106, rel=0.2
    )


def test_layers_divide_the_phase_that_was_profiled(job: Job) -> None:
    profile = (
        Part("compute", "class", 0.7, 0.1, (Part("a", "layer", 0.75), Part("b", "layer", 0.25))),
        Part("memory", "class", 0.2, 0.3),
    )
    tree = explained(job.run, footprint(job.run, 1.2), None, {"train/backward": profile})
    assert sums(tree)
    backward = found(tree, "node", "GPU", "train", "backward")
    assert [b.name for b in backward.children] == ["compute", "memory", UNATTRIBUTED]
    assert joules(found(backward, "compute")) == pytest.approx(0.7 * joules(backward))
    assert joules(found(backward, "compute", "b")) == pytest.approx(0.175 * joules(backward))
    narrow, wide = (found(backward, n).energy.figure("J") for n in ("compute", "memory"))  # type: ignore[union-attr]
    assert wide.high / wide.value > narrow.high / narrow.value > 1.1


# -- laws ---------------------------------------------------------------------------------------

NAMES = st.sampled_from(["train", "data", "forward", "eval", "save", "sync", "x"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Runs with devices of any kind, phases of any shape, some not separable, some missing."""
    kinds = draw(st.lists(st.sampled_from(list(DeviceKind)), min_size=1, max_size=5))
    devices = []
    for i, kind in enumerate(kinds):
        energy: Quantity | Missing = Missing("not read")
        if draw(st.integers(0, 5)):
            energy = Quantity.of(
                draw(st.floats(0.0, 1e9)),
                basis=draw(st.sampled_from(list(Basis))),
                terms=(ErrorTerm(f"gain{i}", relative_sd=0.03),),
            )
        host = draw(st.sampled_from(["a", "b"]))
        device = Device(f"{kind}:{i}", kind, f"name {i}", host)
        devices.append(DeviceEnergy(device, energy, energy))
    paths = draw(st.lists(PATHS, max_size=8, unique=True))
    rows = []
    for path in paths:
        parts = {
            d.device.id: d.share.value * draw(st.floats(0.0, 0.5))
            for d in devices
            if isinstance(d.share, Quantity)
        }
        whole: Quantity | Missing = Quantity.of(
            math.fsum(parts.values()),
            basis=Basis.MEASURED,
            terms=(ErrorTerm(f"phase-split:{path}", relative_sd=0.1),),
        )
        if not draw(st.integers(0, 6)):
            whole = Missing("below it all")
        rows.append(PhaseEnergy(path, draw(st.integers(0, 9)), 1.0, whole, parts))
    if len(rows) > 2 and draw(st.booleans()):
        pair = rows[0].path, rows[1].path
        joint = msgspec.structs.replace(rows[0], joint_with=(pair[1],))
        rows[:2] = [joint, msgspec.structs.replace(joint, path=pair[1], joint_with=(pair[0],))]
    return Run("r", "measured", "finished", "2026-01-01T00:00:00Z", 10.0, devices=tuple(devices),
               phases=tuple(rows))  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(runs(), st.floats(1.0, 3.0))
def test_each_level_of_any_run_sums_exactly(run: Run, pue: float) -> None:
    tree = explained(run, footprint(run, pue))
    assert sums(tree)
    assert sums(gathered(tree))
    if isinstance(tree.energy, Amount):
        assert tree.energy.value == footprint(run, pue).facility.value  # type: ignore[union-attr]


def test_phases_that_cannot_be_told_apart_are_one_branch() -> None:
    energy = Quantity.of(10.0, basis=Basis.MEASURED)
    device = DeviceEnergy(Device("gpu:0", DeviceKind.GPU, "A100", "h"), energy, energy)
    pair = ("train/forward", "train/backward")
    joint = Quantity.of(8.0, basis=Basis.MEASURED)
    rows = tuple(
        PhaseEnergy(path, 3, 1.0, joint, {"gpu:0": 8.0}, (other,))
        for path, other in (pair, pair[::-1])
    )
    run = Run("r", "measured", "finished", "2026-01-01T00:00:00Z", 10.0, devices=(device,),
              phases=rows)  # fmt: skip
    train = found(explained(run, footprint(run, 1.0)), "node", "GPU", "train")
    assert joules(train) == 8.0
    (both,) = train.children
    assert both.name == "forward + backward"
    assert both.note == "not separable"


def test_nothing_known_is_said_so() -> None:
    gone = Missing("no sensor")
    row = DeviceEnergy(Device("cpu:0", DeviceKind.CPU, "", "h"), gone, gone)
    run = Run("r", "measured", "finished", "2026-01-01T00:00:00Z", 1.0, devices=(row,))
    tree = explained(run, footprint(run, 1.5))
    assert isinstance(tree.energy, Missing)
    assert "no sensor" in tree.energy.why


def test_alike_boards_are_told_together_and_apart(tmp_path: Path) -> None:
    del tmp_path
    energy = Quantity.of(10.0, basis=Basis.MEASURED)
    boards = tuple(
        DeviceEnergy(Device(f"gpu:{i}", DeviceKind.GPU, "A100", "h"), energy, energy)
        for i in range(4)
    )
    rows = (
        PhaseEnergy("train", 1, 1.0, Quantity.of(32.0, basis=Basis.MEASURED),
                    {f"gpu:{i}": 8.0 for i in range(4)}),
    )  # fmt: skip
    run = Run("r", "measured", "finished", "2026-01-01T00:00:00Z", 10.0, devices=boards,
              phases=rows)  # fmt: skip
    tree = explained(run, footprint(run, 1.0))
    apart = found(tree, "node", "GPU 0–3")
    assert [b.name for b in apart.children] == ["GPU 0", "GPU 1", "GPU 2", "GPU 3"]
    together = found(gathered(tree), "node", "GPU 0–3")
    assert {b.name: joules(b) for b in together.children} == {"train": 32.0, OUTSIDE_NAME: 8.0}


@pytest.mark.parametrize(
    ("scope", "branch"), [("device x pue", "GPU"), ("facility", UNTOLD), ("node", UNTOLD)]
)
def test_a_published_run_is_told_as_far_as_it_was_published(
    scope: Scope, branch: str, tmp_path: Path
) -> None:
    run = published_run(
        name="BLOOM", energy_kwh=433195.0, scope=scope, hours=1000.0, device="a100-80gb",
        devices=384.0,
    )  # fmt: skip
    tree = explained(run, reckoned(run, home=tmp_path), from_series(run))
    assert sums(tree)
    assert joules(found(tree, "node", branch)) == pytest.approx(433195 * 3.6e6)
    assert from_series(run).notes == ("it was published: what happened when is not known",)
