# SPDX-License-Identifier: Apache-2.0
"""What `make gpu-check` makes of a board's readings, on boards whose power is known."""

import time
from pathlib import Path

import pytest

from benchmarks import board_poll, gpu_check
from benchmarks import board_series as series
from benchmarks.board_poll import Sample
from benchmarks.pairs import SlowDown
from submeter.testing.machine import FakeMachine
from submeter.testing.waveforms import square
from submeter.units import NS_PER_MS, NS_PER_S

UUID = "GPU-11111111-2222-3333-4444-555555555555"


def steady(power_w: float, watch_s: float, *, update_ms: int = 100) -> list[Sample]:
    """Readings each millisecond of a board that refreshes its counter now and then."""
    out = []
    for t_ms in range(round(1e3 * watch_s) + 1):
        seen_ms = t_ms // update_ms * update_ms
        power_mw = round(1e3 * power_w) + seen_ms % 7  # so that each refresh is a change
        out.append(Sample(t_ms * NS_PER_MS, 20_000, round(power_w * seen_ms), power_mw))
    return out


def test_update_period_is_found() -> None:
    samples = steady(300.0, 5.0)
    steps = series.update_steps([s.t_ns for s in samples], [s.counter_mj for s in samples])
    assert steps is not None
    assert steps.median_s == pytest.approx(0.1)
    assert steps.low_s == pytest.approx(0.1)
    assert steps.changes == 49


def test_too_few_changes_say_nothing() -> None:
    samples = steady(300.0, 0.5)
    assert series.update_steps([s.t_ns for s in samples], [s.counter_mj for s in samples]) is None


def test_counter_and_integral_of_a_steady_board_agree() -> None:
    samples = steady(300.0, 5.0)
    assert series.counter_j(samples) == pytest.approx(1500.0)
    assert series.integral_j(samples) == pytest.approx(1500.0, rel=1e-4)
    assert series.mean_power_w(samples) == pytest.approx(300.0)


def test_without_a_counter_there_is_no_counter_energy() -> None:
    samples = [s._replace(counter_mj=-1) for s in steady(300.0, 1.0)]
    assert series.counter_j(samples) is None
    assert series.mean_power_w(samples) == pytest.approx(300.0, rel=1e-3)


def test_a_series_with_holes_is_not_integrated() -> None:
    samples = steady(300.0, 1.0)
    holed = [s._replace(power_mw=-1) if i % 10 == 0 else s for i, s in enumerate(samples)]
    assert series.integral_j(holed) is None


def test_a_board_of_the_driver_is_found_and_polled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    machine = FakeMachine(tmp_path / "machine")
    machine.add_board(square(0.5, 100.0, 300.0), uuid=UUID, counter_update_s=0.02)
    try:
        with machine.installed(), machine.live():
            board = gpu_check.find_board()
            assert isinstance(board, gpu_check.Board)
            assert board.uuid == UUID
            epoch_ns = time.monotonic_ns() - round(machine.t_s * NS_PER_S)
            rows = board_poll.poll(UUID, 1.0, 0.005)
    finally:
        machine.close()
    path = tmp_path / "samples"
    path.write_text("".join(f"{a} {b} {c} {d}\n" for a, b, c, d in rows))
    samples = board_poll.read(path)
    first_s, last_s = ((samples[i].t_ns - epoch_ns) / 1e9 for i in (0, -1))
    truth_j = machine.truth_j(f"gpu:{UUID}", first_s, last_s)
    assert series.counter_j(samples) == pytest.approx(truth_j, abs=2 * 0.02 * 300 + 1)


def test_without_a_driver_the_reason_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    machine_less = gpu_check.find_board()
    if isinstance(machine_less, gpu_check.Board):
        pytest.skip("this machine has a board")
    assert "no NVIDIA driver answers" in machine_less or "shows no board" in machine_less


def findings(energy: dict[str, object]) -> gpu_check.Findings:
    board = gpu_check.Board(UUID, "NVIDIA H200 | test", "580.1")
    run = {
        "devices": [{"id": f"gpu:{UUID}", "drawn_energy": energy}],
        "energy": {"facility": {"value": 24_000.0}},
    }
    samples = steady(300.0, 5.0)
    return gpu_check.Findings(
        board=board,
        idle=steady(75.0, 5.0),
        fast=samples,
        long=samples,
        overhead=SlowDown(0.0004, -0.001, 0.002, 30),
        step_s=0.0123,
        run=run,
        steps=1000,
        tokens=16_384_000,
        loss=1.5,
        torch="2.13.0",
        reference_j=18_018.0,
    )


def test_the_page_of_a_board_says_what_was_found(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("| a | b |\n<!-- boards: -->\n")
    energy = {"value": 18_000.0, "low": 17_100.0, "high": 18_900.0, "basis": "measured"}
    gpu_check.write(findings(energy), tmp_path)
    path = gpu_check.write(findings(energy), tmp_path)  # does not add a second row
    text = path.read_text()
    assert path.name == "nvidia-h200-test.md"
    assert "| idle, before CUDA was touched | 75 W |" in text
    assert "100.0 ms" in text
    assert "| energy per token, board | 1.099 mJ |" in text
    assert "slow-down +0.04 % (-0.10 … +0.20, 95 %, 30 pairs)" in text
    assert "| submeter against it | -0.0999 % |" in text
    assert (tmp_path / "README.md").read_text().count("nvidia-h200-test.md)") == 1


def test_a_missing_figure_is_not_zero() -> None:
    text = gpu_check.page(findings({"missing": "the board was lost"}))
    assert "| submeter's figure of the board | missing: the board was lost |" in text
    assert "| energy per token, board | not available |" in text
