# SPDX-License-Identifier: Apache-2.0
"""Models stand in where nothing measures: labelled, wide, and in the physical range."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.catalog import factor, fitted, match_cpu
from submeter.records import Basis, Device, DeviceKind, Measures, Missing, Quantity
from submeter.records.devices import Sensor
from submeter.sensors.findings import Finding
from submeter.sensors.models import (
    CpuModelSensor,
    Server,
    cpu_model,
    interval_ratio,
    model_sensors,
    package_power_ratio,
    wall_power_w,
)

LOADS = st.floats(0, 1)
TDPS = st.floats(5, 600)
GENOA = {"cpu_model": "AMD EPYC", "cpu_vendor": "AuthenticAMD", "cpu_family": "25/17"}
GB = 10**9


def write_stat(root: Path, *, busy: int, idle: int, steal: int = 0, iowait: int = 0) -> None:
    root.mkdir(exist_ok=True)
    (root / "stat").write_text(f"cpu  {busy} 0 0 {idle} {iowait} 0 0 {steal} 0 0\ncpu0 1 2 3 4\n")


def sensor_of(
    root: Path, *, name: str = "AMD EPYC 9654 96-Core Processor", vcpus: int = 0
) -> CpuModelSensor:
    model = cpu_model(match_cpu(name), packages=1, vcpus=vcpus, virtualised=vcpus > 0)
    device = Device("cpu:0", DeviceKind.CPU, name, "host", peak_w=1000)
    return CpuModelSensor(model, device, proc_root=root)


def models(
    root: Path,
    machine: dict[str, str],
    *,
    virtualised: bool = True,
    have: str = "",
    vcpus: int = 2,
    memory_bytes: int = 24 * GB,
) -> tuple[list[Device], list[Sensor], list[Finding]]:
    return model_sensors(
        machine,
        have_cpu="cpu" in have,
        have_dram="dram" in have,
        have_gpu="gpu" in have,
        cpu_fraction=1.0,
        memory_bytes=memory_bytes,
        vcpus=vcpus,
        virtualised=virtualised,
        proc_root=root,
        host="box",
    )


# --- laws of the formulas --------------------------------------------------------------------


@given(LOADS, LOADS)
def test_power_rises_with_load(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert package_power_ratio(low) <= package_power_ratio(high)


@given(st.floats(-5, 5))
def test_power_stays_between_idle_and_ceiling(load: float) -> None:
    idle = fitted("cpu-package-idle-ratio").value
    ceiling = idle + fitted("cpu-package-dynamic-ratio").value
    assert 0 < idle <= package_power_ratio(load) <= ceiling <= 1.0


@given(TDPS, TDPS, st.integers(1, 8), st.integers(2007, 2024), st.booleans())
def test_wall_power_rises_with_tdp_and_packages_and_with_load(
    one: float,
    other: float,
    chips: int,
    year: int,
    amd: bool,  # noqa: FBT001
) -> None:
    low, high = sorted((one, other))
    for full_load in (False, True):
        small = wall_power_w(Server(low, chips, year, amd=amd), full_load=full_load)
        large = wall_power_w(Server(high, chips, year, amd=amd), full_load=full_load)
        more = wall_power_w(Server(low, chips + 1, year, amd=amd), full_load=full_load)
        assert small <= large
        assert small < more


@pytest.mark.parametrize(
    ("tdp_w", "chips", "year"), [(95, 2, 2012), (205, 2, 2019), (280, 1, 2021)]
)
def test_a_server_draws_more_under_load_than_idle(tdp_w: float, chips: int, year: int) -> None:
    server = Server(tdp_w, chips, year)
    idle_w = wall_power_w(server, full_load=False)
    full_w = wall_power_w(server, full_load=True)
    assert 2 * idle_w < full_w
    assert 0.5 * tdp_w * chips < full_w < 2.5 * tdp_w * chips


@given(TDPS, TDPS, LOADS)
def test_modelled_power_rises_with_tdp(one: float, other: float, load: float) -> None:
    low, high = sorted((one, other))
    assert low * package_power_ratio(load) <= high * package_power_ratio(load)


# --- the processors ---------------------------------------------------------------------------


def test_the_first_reading_is_missing_and_the_second_is_a_mean(tmp_path: Path) -> None:
    write_stat(tmp_path, busy=1000, idle=9000)
    sensor = sensor_of(tmp_path)
    assert isinstance(sensor.read()[0], Missing)
    write_stat(tmp_path, busy=1050, idle=9050)
    assert sensor.read()[0] == round(360 * package_power_ratio(0.5) * 1000)


@given(st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 5000))
def test_power_follows_busy_time_and_stays_in_range(busy: int, idle: int, steal: int) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_stat(root, busy=7, idle=9, steal=3)
        sensor = sensor_of(root)
        sensor.read()
        write_stat(root, busy=7 + busy, idle=9 + idle, steal=3 + steal)
        (raw,) = sensor.read()
    whole = busy + idle + steal
    if whole == 0:
        assert isinstance(raw, Missing)
        return
    assert isinstance(raw, int)
    assert raw == round(360 * package_power_ratio(busy / whole) * 1000)


def test_b10_stolen_time_is_not_busy(tmp_path: Path) -> None:
    write_stat(tmp_path, busy=0, idle=0)
    sensor = sensor_of(tmp_path, vcpus=4)
    sensor.read()
    write_stat(tmp_path, busy=0, idle=0, steal=100)
    (raw,) = sensor.read()
    assert raw == round(4 * 360 / 192 * package_power_ratio(0) * 1000)


def test_a_read_within_a_tick_holds_the_last_mean(tmp_path: Path) -> None:
    write_stat(tmp_path, busy=0, idle=0)
    sensor = sensor_of(tmp_path)
    sensor.read()
    assert isinstance(sensor.read()[0], Missing)  # nothing to hold yet
    write_stat(tmp_path, busy=10, idle=0)
    full = sensor.read()
    assert sensor.read() == full
    write_stat(tmp_path, busy=10, idle=10)
    assert sensor.read()[0] == round(360 * package_power_ratio(0) * 1000)


def test_waiting_that_runs_backwards_does_not_lift_power(tmp_path: Path) -> None:
    write_stat(tmp_path, busy=100, idle=100, iowait=50)
    sensor = sensor_of(tmp_path)
    sensor.read()
    write_stat(tmp_path, busy=105, idle=100, iowait=40)
    held = sensor.read()[0]
    assert isinstance(held, Missing)
    write_stat(tmp_path, busy=110, idle=130, iowait=50)
    assert sensor.read()[0] == round(360 * package_power_ratio(0.25) * 1000)


def test_a04_busy_time_that_steps_back_is_missing_and_starts_again(tmp_path: Path) -> None:
    write_stat(tmp_path, busy=1000, idle=1000)
    sensor = sensor_of(tmp_path)
    sensor.read()
    write_stat(tmp_path, busy=5, idle=5)
    assert isinstance(sensor.read()[0], Missing)
    write_stat(tmp_path, busy=15, idle=5)
    assert sensor.read()[0] == round(360 * package_power_ratio(1) * 1000)


@pytest.mark.parametrize("text", ["", "nonsense\n", "cpu  x y z\n"])
def test_e04_a_masked_stat_is_missing_with_a_reason(tmp_path: Path, text: str) -> None:
    (tmp_path / "stat").write_text(text)
    (raw,) = sensor_of(tmp_path).read()
    assert isinstance(raw, Missing)
    assert raw.why


def test_e05_without_proc_reading_is_missing_and_nothing_raises(tmp_path: Path) -> None:
    nowhere = tmp_path / "none"
    devices, sensors, _ = models(nowhere, {}, memory_bytes=0, vcpus=0)
    assert [d.id for d in devices] == ["cpu:0", "rest:box"]
    assert all(isinstance(v, Missing) for v in sensors[0].read())


def test_after_a_failed_read_the_mean_goes_on_from_the_last_good_one(tmp_path: Path) -> None:
    write_stat(tmp_path, busy=0, idle=0)
    sensor = sensor_of(tmp_path)
    sensor.read()
    (tmp_path / "stat").write_text("")
    assert isinstance(sensor.read()[0], Missing)
    write_stat(tmp_path, busy=30, idle=70)
    assert sensor.read()[0] == round(360 * package_power_ratio(0.3) * 1000)


def test_a_guest_has_its_vcpus_share_of_the_socket_idle_included(tmp_path: Path) -> None:
    whole = sensor_of(tmp_path).channels[0]
    row = match_cpu("AMD EPYC 9654 96-Core Processor")
    host = cpu_model(row, packages=1, vcpus=192, virtualised=False)
    guest = cpu_model(row, packages=1, vcpus=48, virtualised=True)
    assert guest.tdp_w == pytest.approx(host.tdp_w / 4)
    assert guest.idle_w == pytest.approx(host.idle_w / 4)
    assert [t.source_key for t in whole.terms] == ["cpu-model"]


def test_two_packages_draw_twice(tmp_path: Path) -> None:
    write_stat(tmp_path, busy=0, idle=0)
    machine = {"cpu_model": "AMD EPYC 7742 64-Core Processor", "sockets": "2"}
    devices, _, _ = models(tmp_path, machine, virtualised=False, vcpus=256)
    assert devices[0].name == "2 x AMD EPYC 7742"
    assert devices[0].idle_w == pytest.approx(2 * 225 * package_power_ratio(0))


def test_doubt_about_the_name_widens_the_interval(tmp_path: Path) -> None:
    def interval(machine: dict[str, str], *, virtualised: bool) -> float:
        _, _, findings = models(tmp_path, machine, virtualised=virtualised)
        found = findings[0].interval_ratio
        assert found is not None
        return found

    exact = interval({"cpu_model": "AMD EPYC 9654 96-Core Processor"}, virtualised=False)
    family = interval(GENOA, virtualised=False)
    vendor = interval({"cpu_model": "AMD EPYC"}, virtualised=False)
    unknown = interval({}, virtualised=False)
    assert exact == pytest.approx((2 - 1 / 2) / 2, rel=1e-3)  # a factor of two either way
    assert exact < family < vendor < unknown
    guest = [interval(m, virtualised=True) for m in (GENOA, {"cpu_model": "AMD EPYC"}, {})]
    assert guest == sorted(guest)
    assert guest[0] > exact


def test_the_figure_shows_the_interval_that_the_finding_names(tmp_path: Path) -> None:
    channel = sensor_of(tmp_path).channels[0]
    energy = Quantity.of(100.0, basis=channel.basis, terms=channel.terms)
    figure = energy.figure("J")
    assert figure.low == pytest.approx(50, rel=1e-3)
    assert figure.high == pytest.approx(200, rel=1e-3)
    assert figure.basis is Basis.MODELLED


# --- putting them together --------------------------------------------------------------------


def test_this_kind_of_guest_is_modelled_by_its_numbers(tmp_path: Path) -> None:
    write_stat(tmp_path, busy=0, idle=0)
    devices, sensors, findings = models(tmp_path, GENOA)
    assert [d.id for d in devices] == ["cpu:0", "dram:0", "rest:box"]
    assert [s.device for s in sensors] == devices
    assert [f.part for f in findings] == ["CPU", "DRAM", "rest"]
    assert [f.state for f in findings] == ["modelled", "modelled", "assumed"]
    assert "Genoa" in findings[0].text
    assert "2 vCPU" in findings[0].text
    for finding in findings[:2]:
        assert finding.text.startswith("modelled −")
        assert finding.interval_ratio is not None
        assert finding.interval_ratio > 0


def test_what_is_measured_is_not_modelled_too(tmp_path: Path) -> None:
    devices, _, _ = models(tmp_path, GENOA, have="cpu dram")
    assert [d.id for d in devices] == ["rest:box"]


def test_dram_is_its_size_times_the_prior(tmp_path: Path) -> None:
    devices, sensors, _ = models(tmp_path, GENOA, have="cpu", memory_bytes=512 * GB)
    dram = sensors[0]
    assert devices[0].name == "512 GB"
    prior = factor("dram-w-per-gb")
    assert dram.read() == (round(512 * prior.value * 1000),)
    (channel,) = dram.channels
    assert (channel.measures, channel.basis) == (Measures.MEAN_POWER, Basis.MODELLED)
    figure = Quantity.of(1.0, basis=channel.basis, terms=channel.terms).figure("J")
    assert figure.low == pytest.approx(prior.low / prior.value, rel=0.03)
    assert figure.high == pytest.approx(prior.high / prior.value, rel=0.03)


def test_memory_of_unknown_size_is_absent_not_zero(tmp_path: Path) -> None:
    devices, _, findings = models(tmp_path, GENOA, memory_bytes=0)
    assert "dram:0" not in {d.id for d in devices}
    assert ("DRAM", "absent") in {(f.part, f.state) for f in findings}


@pytest.mark.parametrize(("have", "key"), [("", "rest-ratio"), ("gpu", "rest-ratio-gpu")])
def test_the_rest_is_an_assumed_ratio(tmp_path: Path, have: str, key: str) -> None:
    _, sensors, findings = models(tmp_path, GENOA, have=have)
    (channel,) = sensors[-1].channels
    (raw,) = sensors[-1].read()
    prior = factor(key)
    assert (channel.measures, channel.basis) == (Measures.REST_RATIO, Basis.ASSUMED)
    assert isinstance(raw, int)
    assert raw * channel.scale == pytest.approx(prior.value)
    figure = Quantity.of(prior.value, basis=channel.basis, terms=channel.terms).figure("1")
    assert figure.low == pytest.approx(prior.low, rel=0.1)
    assert figure.high == pytest.approx(prior.high, rel=0.1)
    assert f"{100 * prior.value:.0f} %" in findings[-1].text


def test_an_arm_core_without_a_name_is_told_by_its_part(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(
        "processor\t: 0\nBogoMIPS\t: 243.75\nCPU implementer\t: 0x41\n"
        "CPU architecture: 8\nCPU variant\t: 0x3\nCPU part\t: 0xd0c\nCPU revision\t: 1\n"
    )
    _, _, findings = models(tmp_path, {}, vcpus=4)
    assert "ARM Neoverse" in findings[0].text


def test_sensors_close_and_name_their_source(tmp_path: Path) -> None:
    _, sensors, _ = models(tmp_path, GENOA)
    for sensor in sensors:
        assert all(c.source for c in sensor.channels)
        sensor.close()


def test_a_wide_interval_is_wider_above_than_below() -> None:
    assert interval_ratio([0.0]) == 0
    assert interval_ratio([0.3, 0.4]) == pytest.approx(math.sinh(1.959964 * 0.5))
