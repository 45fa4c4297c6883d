# SPDX-License-Identifier: Apache-2.0
"""Settling: totals against the closed form, shares, phases, restarts and holes."""

import math
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from submeter.errors import LedgerError
from submeter.metering._meters import DeviceMeter
from submeter.metering.settle import Settler
from submeter.records.devices import Channel, Device, DeviceKind, Measures
from submeter.records.figures import Basis, ErrorTerm, Missing, Quantity
from submeter.records.frames import End, Event, Head, Metric, Ticks
from submeter.records.runs import Run
from submeter.units import NS_PER_S
from tests.metering import stories
from tests.metering.stories import Counter, Polled, Story, constant, drawn, holds, square

MODULUS = 262_143_328_851


def cpu_time(kind: Measures, rate: float) -> Counter:
    return Counter(
        "use:h",
        constant(rate),
        scale=1e-9,
        update_s=0.01,
        kind=DeviceKind.NODE,
        measures=kind,
    )


def value(quantity: Quantity | Missing) -> float:
    assert isinstance(quantity, Quantity), quantity
    return quantity.value


def run_j(run: Run) -> float:
    return math.fsum(d.share.value for d in run.devices if isinstance(d.share, Quantity))


WAVES = {
    "constant": constant(150.0),
    "square-2hz": square(0.5, 60.0, 300.0),
    "square-0.3s": square(0.3, 60.0, 300.0),
    "square-20s": square(20.0, 60.0, 300.0),
}


@pytest.mark.parametrize("wave", WAVES.values(), ids=WAVES.keys())
@pytest.mark.parametrize("interval_s", [0.1, 1.0])
def test_a01_a_rapl_zone_is_right_to_a_tenth_of_a_percent_over_a_wrap(
    wave: stories.Energy, interval_s: float
) -> None:
    source = Counter("cpu:0", wave, modulus=MODULUS, first_raw=MODULUS - 500_000_000)
    story = Story([source], interval_s=interval_s)
    run = story.settle()
    quantity, truth_j = drawn(run, "cpu:0"), story.truth_j("cpu:0")
    assert quantity.value == pytest.approx(truth_j, rel=1e-3)
    assert holds(quantity, truth_j)
    assert quantity.bound_low + quantity.bound_high <= 0.004 * truth_j
    assert quantity.basis == {Basis.MEASURED: quantity.value}


@settings(max_examples=60, deadline=None)
@given(
    period_s=st.floats(0.05, 30.0),
    low_w=st.floats(5.0, 100.0),
    high_w=st.floats(100.0, 390.0),
    update_s=st.sampled_from([0.001, 0.02, 0.1]),
    length_s=st.floats(1.0, 20.0),
    offset_s=st.floats(10.0, 11.0),
)
def test_the_bound_of_a_counter_always_holds_the_truth(
    period_s: float,
    low_w: float,
    high_w: float,
    update_s: float,
    length_s: float,
    offset_s: float,
) -> None:
    wave = square(period_s, low_w, high_w)
    source = Counter("cpu:0", wave, update_s=update_s, peak_w=390.0)
    story = Story([source], length_s=length_s, offset_s=offset_s)
    quantity, truth_j = drawn(story.settle(), "cpu:0"), story.truth_j("cpu:0")
    assert holds(quantity, truth_j)


@settings(max_examples=40, deadline=None)
@given(
    period_s=st.floats(4.0, 40.0),
    window_s=st.sampled_from([0.025, 0.1, 1.0]),
    offset_s=st.floats(100.0, 101.0),
    length_s=st.floats(10.0, 60.0),
)
def test_a26_the_bound_of_a_polled_board_holds_for_waves_slower_than_its_window(
    period_s: float, window_s: float, offset_s: float, length_s: float
) -> None:
    wave = square(period_s, 60.0, 300.0)
    source = Polled("gpu:GPU-1", wave, window_s=window_s)
    story = Story([source], length_s=length_s, offset_s=offset_s)
    quantity, truth_j = drawn(story.settle(), "gpu:GPU-1"), story.truth_j("gpu:GPU-1")
    assert holds(quantity, truth_j)


@pytest.mark.parametrize("window_s", [0.025, 1.0])
def test_a26_a_board_without_a_counter_is_integrated_within_two_percent(window_s: float) -> None:
    source = Polled("gpu:GPU-1", square(20.0, 60.0, 300.0), window_s=window_s, peak_w=450.0)
    story = Story([source], length_s=60.0)
    run = story.settle()
    quantity, truth_j = drawn(run, "gpu:GPU-1"), story.truth_j("gpu:GPU-1")
    assert quantity.value == pytest.approx(truth_j, rel=0.02)
    assert holds(quantity, truth_j)
    assert run.devices[0].method == "power, integrated"


def test_a04_a_reset_in_the_middle_costs_one_tick_at_most() -> None:
    def reset(t_s: float, raw: int) -> int:
        at = 1030.0 * 150e6
        return raw if t_s < 1030.0 else int(raw - at)

    source = Counter("cpu:0", constant(150.0), raw=reset, peak_w=300.0)
    story = Story([source], length_s=60.0)
    run = story.settle()
    quantity, truth_j = drawn(run, "cpu:0"), story.truth_j("cpu:0")
    assert holds(quantity, truth_j)
    assert quantity.value == pytest.approx(truth_j, rel=1e-3)
    assert run.devices[0].flags["reset"] == 1
    assert quantity.basis[Basis.DERIVED] > 0


def test_a06_power_stands_in_for_a_frozen_counter() -> None:
    def frozen(t_s: float, raw: int) -> int:
        return raw if t_s < 1010.0 else int(1010.0 * 200 / 1e-3)

    board = {"kind": DeviceKind.GPU, "peak_w": 450.0}
    counter = Counter("gpu:GPU-1", constant(200.0), scale=1e-3, update_s=0.02, raw=frozen, **board)  # type: ignore[arg-type]
    power = Polled("gpu:GPU-1", constant(200.0), peak_w=450.0)
    story = Story([counter, power], length_s=60.0)
    run = story.settle()
    quantity, truth_j = drawn(run, "gpu:GPU-1"), story.truth_j("gpu:GPU-1")
    assert quantity.value == pytest.approx(truth_j, rel=0.02)
    assert run.devices[0].flags["power_stood_in"] == 1
    assert run.devices[0].flags["frozen"] >= 1


def test_a23_a_lost_board_keeps_its_energy_up_to_the_last_good_read() -> None:
    def lost(t_s: float, raw: int) -> int | None:
        return raw if t_s < 1020.0 else None

    board = Counter(
        "gpu:GPU-1", constant(200.0), scale=1e-3, update_s=0.02, raw=lost, kind=DeviceKind.GPU
    )
    other = Counter("gpu:GPU-2", constant(100.0), scale=1e-3, update_s=0.02, kind=DeviceKind.GPU)
    story = Story([board, other], length_s=40.0)
    run = story.settle()
    lost_at_s = 20.0 - 0.37
    assert drawn(run, "gpu:GPU-1").value == pytest.approx(200 * lost_at_s, rel=0.01)
    assert drawn(run, "gpu:GPU-2").value == pytest.approx(4000, rel=0.001)
    assert any("no reading in the last" in n for n in run.notes)


def test_a24_a_counter_that_comes_back_bridges_its_own_hole() -> None:
    def away(t_s: float, raw: int) -> int | None:
        return None if 1010.0 < t_s < 1020.0 else raw

    story = Story([Counter("cpu:0", constant(150.0), raw=away)], length_s=40.0)
    quantity = drawn(story.settle(), "cpu:0")
    assert quantity.value == pytest.approx(6000, rel=1e-3)
    assert quantity.basis == {Basis.MEASURED: quantity.value}


def test_c02_a_restarted_collector_loses_nothing_that_counters_saw() -> None:
    model = Polled(
        "dram:0",
        constant(8.0),
        update_s=0,
        window_s=0,
        kind=DeviceKind.DRAM,
        measures=Measures.MEAN_POWER,
        basis=Basis.MODELLED,
    )
    story = Story(
        [Counter("cpu:0", constant(150.0)), model],
        length_s=30.0,
        restart_at_s=12.0,
        silent=lambda t: 11.0 < t < 12.0,
    )
    run = story.settle()
    assert drawn(run, "cpu:0").value == pytest.approx(4500, rel=1e-3)
    assert drawn(run, "dram:0").value == pytest.approx(240, rel=0.01)
    assert any("restarted once" in n for n in run.notes)


def test_c01_without_an_end_the_run_is_killed_and_keeps_what_was_read() -> None:
    story = Story([Counter("cpu:0", constant(150.0))], length_s=10.0, ended=False)
    run = story.settle()
    assert run.status == "killed"
    assert run.exit_code is None
    assert drawn(run, "cpu:0").value == pytest.approx(1500, rel=1e-3)


def test_no_head_is_an_error_with_a_remedy() -> None:
    with pytest.raises(LedgerError, match="head"):
        Settler().finish()


def test_c14_idle_goes_by_allocation_and_the_rest_by_cpu_time() -> None:
    package = Counter("cpu:0", constant(100.0), idle_w=40.0)
    story = Story(
        [package, cpu_time(Measures.BUSY_TIME, 4.0), cpu_time(Measures.RUN_TIME, 1.0)],
        length_s=20.0,
    )
    run = story.settle()
    share = run.devices[0].share
    assert value(share) == pytest.approx(20 * (40 + 60 / 4), rel=1e-3)
    assert value(run.unattributed) == pytest.approx(20 * 60 * 3 / 4, rel=1e-3)
    assert run.devices[0].share_how == "by CPU time"
    assert isinstance(share, Quantity)
    assert any(s.source_key == "split-by-cpu-time" for s in share.spreads)


def test_a_run_alone_on_the_machine_has_no_doubt_about_its_share() -> None:
    package = Counter("cpu:0", constant(100.0), idle_w=40.0)
    both = [cpu_time(Measures.BUSY_TIME, 2.0), cpu_time(Measures.RUN_TIME, 2.0)]
    run = Story([package, *both], length_s=20.0).settle()
    assert value(run.devices[0].share) == pytest.approx(2000, rel=1e-3)
    assert value(run.unattributed) == pytest.approx(0, abs=1.0)


def test_a27_a_board_in_equal_parts_and_one_outside_the_mask() -> None:
    boards: list[Counter | Polled] = [
        Counter(f"gpu:GPU-{i}", constant(200.0), scale=1e-3, update_s=0.02, kind=DeviceKind.GPU)
        for i in (1, 2, 3)
    ]
    story = Story(
        boards,
        length_s=20.0,
        uses=lambda _t: {"gpu:GPU-1": 1_000_000, "gpu:GPU-2": 500_000, "gpu:GPU-3": None},
        how={"gpu:GPU-2": "equal parts"},
    )
    run = story.settle()
    shares = [value(d.share) for d in run.devices]
    assert shares == pytest.approx([4000, 2000, 4000], rel=0.002)
    assert run.devices[1].share_how == "equal parts"
    assert any("others could not be seen" in n for n in run.notes)


def epochs(n: int, train_s: float, evaluate_s: float) -> list[tuple[str, float, float]]:
    spans, at = [], 0.0
    for _ in range(n):
        spans.append(("train", at, at + train_s))
        spans.append(("evaluate", at + train_s, at + train_s + evaluate_s))
        at += train_s + evaluate_s
    return spans


def test_g05_phases_and_what_is_outside_sum_to_the_run() -> None:
    wave = square(5.0, 60.0, 300.0)
    story = Story([Counter("cpu:0", wave)], length_s=60.0, spans=epochs(9, 4.0, 2.0))
    run = story.settle()
    phases = {p.path: p for p in run.phases}
    parts = [value(p.energy) for p in run.phases] + [value(run.outside_phases)]
    assert math.fsum(parts) == pytest.approx(run_j(run), rel=1e-12)
    assert phases["train"].count == 9
    assert phases["train"].duration_s == pytest.approx(36.0)
    assert value(run.outside_phases) > 0


def test_long_phases_get_the_energy_that_was_drawn_in_them() -> None:
    # 4 s at 300 W, then 2 s at 60 W, with the phases exactly beneath
    def total_j(t_s: float) -> float:
        whole, part_s = divmod(t_s, 6.0)
        return whole * 1320 + 300 * min(part_s, 4.0) + 60 * max(0.0, part_s - 4.0)

    story = Story(
        [Counter("cpu:0", total_j)], length_s=60.0, spans=epochs(10, 4.0, 2.0), offset_s=600.0
    )
    phases = {p.path: p for p in story.settle().phases}
    assert value(phases["train"].energy) == pytest.approx(12_000, rel=0.01)
    assert value(phases["evaluate"].energy) == pytest.approx(1_200, rel=0.05)


def test_short_repeated_phases_are_told_apart_by_regression() -> None:
    """30 to 90 ms steps at 300 W, 10 to 70 ms loads at 60 W: all shorter than a tick."""
    spans, at, i = [], 0.0, 0
    edges = []
    while at < 60.0:
        step_s, load_s = 0.03 + 0.06 * ((i * 7) % 10) / 10, 0.01 + 0.06 * ((i * 3) % 10) / 10
        spans += [("step", at, at + step_s), ("load", at + step_s, at + step_s + load_s)]
        edges.append((at, at + step_s, at + step_s + load_s))
        at += step_s + load_s
        i += 1
    starts = [e[0] for e in edges]

    def total_j(t_s: float) -> float:
        t_s -= 1000.0
        full = sum(300 * (b - a) + 60 * (c - b) for a, b, c in edges if c <= t_s)
        for a, b, c in edges:
            if a <= t_s < c:
                full += 300 * (min(t_s, b) - a) + 60 * max(0.0, t_s - b)
        return full + (60 * t_s if t_s < starts[0] else 0.0)

    story = Story(
        [Counter("cpu:0", total_j, update_s=0.0)],
        length_s=30.0,
        spans=[s for s in spans if s[2] <= 30.0],
        offset_s=1000.0,
    )
    run = story.settle()
    phases = {p.path: p for p in run.phases}
    for path, power_w in (("step", 300.0), ("load", 60.0)):
        truth_j = power_w * sum(b - a for p, a, b in story.spans if p == path)
        energy = phases[path].energy
        assert not phases[path].joint_with
        assert value(energy) == pytest.approx(truth_j, rel=0.03)


def test_phases_that_always_go_together_are_not_separable() -> None:
    spans = []
    for i in range(300):
        at = i * 0.1
        spans += [("a", at, at + 0.04), ("b", at + 0.04, at + 0.1)]
    run = Story([Counter("cpu:0", constant(100.0))], length_s=30.0, spans=spans).settle()
    phases = {p.path: p for p in run.phases}
    assert phases["a"].joint_with == ("b",)
    assert phases["b"].joint_with == ("a",)
    assert phases["a"].energy == phases["b"].energy
    assert value(phases["a"].energy) == pytest.approx(3000, rel=0.01)
    assert value(run.outside_phases) == pytest.approx(0, abs=1e-6)


def test_g01_a_phase_shorter_than_the_sensor_can_tell_is_never_a_bare_zero() -> None:
    board = Counter(
        "gpu:GPU-1",
        constant(200.0),
        scale=1e-3,
        update_s=0.1,
        kind=DeviceKind.GPU,
        peak_w=450.0,
    )
    story = Story([board], length_s=10.0, spans=[("blink", 5.012, 5.017)])
    (phase,) = story.settle().phases
    assert isinstance(phase.energy, Quantity)
    figure = phase.energy.figure("J")
    assert figure.low == 0.0
    assert figure.high >= 200 * 0.005
    assert phase.count == 1


def test_a_look_behind_the_end_bills_nothing_and_loses_no_phase() -> None:
    model = Polled(
        "dram:0",
        constant(10.0),
        update_s=0,
        window_s=0,
        kind=DeviceKind.DRAM,
        measures=Measures.MEAN_POWER,
        basis=Basis.MODELLED,
    )
    story = Story([model], length_s=1.2, spans=[("p", 0.0, 1.2)])
    early_ns = story._t(1.1995)  # the end is said after the last look, and was before it
    settler = Settler()
    for frame in story.frames():
        early = msgspec.structs.replace(frame, t_ns=early_ns) if isinstance(frame, End) else frame
        settler.feed(early)
    run = settler.finish()
    assert drawn(run, "dram:0").value == pytest.approx(11.995, rel=1e-6)
    assert value(run.phases[0].energy) == pytest.approx(11.995, rel=1e-6)
    assert value(run.outside_phases) == pytest.approx(0, abs=1e-9)


def test_a06_a_counter_that_never_moves_is_missing_and_not_zero() -> None:
    stuck = Counter("cpu:0", constant(200.0), raw=lambda _t, _raw: 5_000_000)
    run = Story([stuck], length_s=30.0).settle()
    assert isinstance(run.devices[0].drawn, Missing)
    assert run.devices[0].flags["frozen"] == 1


def test_a06_power_stands_in_for_a_counter_that_is_stuck_from_the_start() -> None:
    board = {"kind": DeviceKind.GPU, "peak_w": 450.0}
    counter = Counter("gpu:GPU-1", constant(200.0), update_s=0.1, raw=lambda _t, _r: 7, **board)  # type: ignore[arg-type]
    power = Polled("gpu:GPU-1", constant(200.0), peak_w=450.0)
    story = Story([counter, power], length_s=60.0)
    quantity = drawn(story.settle(), "gpu:GPU-1")
    assert quantity.value == pytest.approx(12_000, rel=0.02)


def test_a01_a_counter_that_goes_round_between_readings_is_missing() -> None:
    small = Counter("cpu:0", constant(150.3), modulus=350_000_000, peak_w=405.0)
    run = Story([small], length_s=60.0, interval_s=1.0).settle()
    assert isinstance(run.devices[0].drawn, Missing)


def test_g06_a_run_of_no_length_has_no_energy_and_does_not_divide_by_it() -> None:
    settler = Settler()
    story = Story([Counter("cpu:0", constant(100.0))])
    for frame in list(story.frames())[:2]:
        settler.feed(frame)
    run = settler.finish()
    assert run.duration_s == 0.0
    assert run.status == "killed"


def test_b08_a_clock_set_late_dates_the_run_afterwards() -> None:
    settler = Settler()
    story = Story([Counter("cpu:0", constant(100.0))])
    for frame in story.frames():
        if isinstance(frame, Head):
            settler.feed(msgspec.structs.replace(frame, utc_ns=5 * NS_PER_S))
            offset_ns = stories.UTC_NS - stories.T0_NS
            settler.feed(Event(frame.t_ns, "clock-stepped", "set", number=float(offset_ns)))
        else:
            settler.feed(frame)
    assert settler.finish().started_utc.startswith("2026-11-18")


def test_metrics_keep_the_last_value_and_a_thinned_history() -> None:
    settler = Settler()
    frames = list(Story([Counter("cpu:0", constant(100.0))], length_s=5.0).frames())
    for frame in frames:
        settler.feed(frame)
    marks = [
        Metric(stories.T0_NS + i, {"loss": 1 / (i + 1)}, step=i, work={"samples": 32.0 * (i + 1)})
        for i in range(20_000)
    ]
    settler.feed_marks(7, list(marks))
    settler.feed_marks(8, [Metric(stories.T0_NS, {"loss": math.nan}, work={"samples": 10.0})])
    run = settler.finish()
    assert run.metrics["loss"] == pytest.approx(1 / 20_000)
    assert len(run.metric_history) <= 2000
    assert run.work == {"samples": 640_010.0}


def test_evaluations_are_not_thinned_with_the_steps() -> None:
    settler = Settler()
    for frame in Story([Counter("cpu:0", constant(100.0))], length_s=5.0).frames():
        settler.feed(frame)
    marks = [
        Metric(stories.T0_NS + i, {"loss": 1.0} if (i + 1) % 100 else {"accuracy": i / 1e4}, i)
        for i in range(10_000)
    ]
    settler.feed_marks(7, list(marks))
    history = settler.finish().metric_history
    assert len(history) <= 2000
    assert sum("accuracy" in p.values for p in history) == 100
    assert [p.elapsed_s for p in history] == sorted(p.elapsed_s for p in history)


def test_the_time_line_sums_to_the_share_and_stays_small() -> None:
    story = Story([Counter("cpu:0", constant(100.0))], length_s=3000.0, interval_s=1.0)
    run = story.settle()
    assert run.series is not None
    row = run.series.devices["cpu:0"]
    assert len(row) <= 1200
    assert math.fsum(row) == pytest.approx(run_j(run), rel=1e-9)


@given(st.integers(0, 200))
@settings(max_examples=30, deadline=None)
def test_a_frame_lost_anywhere_costs_no_counter_energy(lost: int) -> None:
    story = Story([Counter("cpu:0", constant(100.0))], length_s=20.0)
    frames = list(story.frames())
    settler = Settler()
    for i, frame in enumerate(frames):
        if i == lost and isinstance(frame, Ticks) and 2 < i < len(frames) - 4:
            continue
        settler.feed(frame)
    assert drawn(settler.finish(), "cpu:0").value == pytest.approx(2000, rel=1e-3)


@pytest.mark.parametrize("n_boards", [1, 8])
def test_nominal_intervals_hold_the_truth_as_often_as_they_say(n_boards: int) -> None:
    """1 000 machines, each board with a gain drawn from its published spread (uniform, 5 %)."""
    import random

    rng = random.Random(20261123)  # noqa: S311
    held = 0
    for _ in range(1000):
        parts = []
        for i in range(n_boards):
            gain = 1 + rng.uniform(-0.05, 0.05)
            term = ErrorTerm(f"nvml-gain:{i}", 0.05 / math.sqrt(3), shape="uniform")
            parts.append(Quantity.of(1000.0 * gain, basis=Basis.MEASURED, terms=(term,)))
        from submeter.records.figures import total

        figure = total(parts).figure("J")
        held += figure.low <= 1000.0 * n_boards <= figure.high
    assert 930 <= held <= 970


def test_rest_of_the_node_follows_the_other_devices() -> None:
    term = ErrorTerm("rest-ratio", 0.25)
    rest = Counter(
        "rest:h",
        constant(0.0),
        kind=DeviceKind.REST,
        measures=Measures.REST_RATIO,
        raw=lambda _t, _r: 430_000,
        terms=(term,),
    )
    story = Story([Counter("cpu:0", constant(100.0)), rest], length_s=10.0)
    run = story.settle()
    rest_row = next(d for d in run.devices if d.device.kind is DeviceKind.REST)
    assert value(rest_row.share) == pytest.approx(430.0, rel=1e-3)
    assert isinstance(rest_row.share, Quantity)
    assert rest_row.share.sd >= 0.25 * 430 * 0.99


def test_a_mean_weighs_every_reading_alike_however_many_there_are() -> None:
    channel = Channel("gpu:GPU-1", Measures.UTILISATION, 1e-2)
    meter = DeviceMeter(Device("gpu:GPU-1", DeviceKind.GPU, "board", "h"))
    meter.add_channel(channel)
    for i in range(10_000):
        meter.feed(channel, i, 0, 100 if i < 5_000 else 0)
    assert meter.means() == {"utilisation_ratio": pytest.approx(0.5)}


def never(_t: float) -> bool:
    return False


SILENCES: list[Callable[[float], bool]] = [never, lambda t: 3 < t < 6]


@pytest.mark.parametrize("silent", SILENCES)
def test_feeding_again_from_the_journal_gives_the_same_run(
    silent: Callable[[float], bool],
) -> None:
    story = Story(
        [Counter("cpu:0", square(0.5, 60, 300)), Polled("gpu:GPU-1", constant(90.0))],
        spans=epochs(3, 2.0, 1.0),
        silent=silent,
    )
    assert story.settle() == story.settle()
