# SPDX-License-Identifier: Apache-2.0
"""The shipped CPU models are those that the cited data give, and as good as is said."""

import importlib
import math
import re
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from submeter.catalog import factor, fitted
from submeter.sensors.models import Server, package_power_ratio, wall_log_sd, wall_power_w

pytest.importorskip("scipy")
np: Any = pytest.importorskip("numpy")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def fit_cpu() -> ModuleType:
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return importlib.import_module("fit_cpu")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def fits(fit_cpu: ModuleType) -> tuple[Any, Any, Any]:
    found: tuple[Any, Any, Any] = fit_cpu.fit_all()
    return found


@pytest.fixture(scope="module")
def package_rows(fit_cpu: ModuleType) -> list[dict[str, str]]:
    return list(fit_cpu.cpu_data.read(fit_cpu.cpu_data.HERE / "cpu_package_power.csv"))


@pytest.fixture(scope="module")
def wall_rows(fit_cpu: ModuleType) -> list[dict[str, str]]:
    return list(fit_cpu.cpu_data.read(fit_cpu.cpu_data.HERE / "server_wall_power.csv"))


# --- as good as is said ----------------------------------------------------------------------


def test_the_package_interval_holds_machines_that_were_not_fitted(fits: Any) -> None:
    package, _, _ = fits
    half = 1.959964 * fitted("cpu-package-log-sd").value
    assert np.mean(np.abs(package.residuals) <= half) >= 0.9
    assert math.exp(2 * half) <= 4.0001  # high over low, the same for every point
    covered, _ = package.nested()
    assert covered >= 0.9


@pytest.mark.parametrize(("place", "state"), [(1, "full"), (2, "idle")])
def test_the_wall_interval_holds_families_that_were_not_fitted(
    fits: Any, place: int, state: str
) -> None:
    fit = fits[place]
    half = 1.959964 * wall_log_sd(full_load=state == "full")
    assert np.median(np.abs(np.expm1(-fit.residuals))) <= 0.20
    assert np.mean(np.abs(fit.residuals) <= half) >= 0.9
    assert math.exp(2 * half) <= 4
    covered, width = fit.nested()
    assert covered >= 0.9
    assert width <= 4


def test_every_family_is_predicted_and_many_are_predicted_well(fits: Any) -> None:
    _, full, idle = fits
    assert len(full.groups) >= 30
    for fit in (full, idle):
        medians = [np.median(np.abs(np.expm1(-fit.of(g)))) for g in fit.groups]
        assert np.median(medians) <= 0.20


def test_what_is_held_out_is_on_neither_side_of_the_fit(fit_cpu: ModuleType) -> None:
    seen: list[set[str]] = []
    samples = [fit_cpu.Sample(g, g, (1.0,), w) for g, w in zip("aabbc", range(1, 6), strict=True)]

    def solve(rows: list[Any]) -> Any:
        seen.append({r.group for r in rows})
        return np.array([np.mean([math.log(r.power_w) for r in rows])])

    fit = fit_cpu.leave_out(samples, solve, lambda p, _: float(p[0]))
    assert seen == [{"b", "c"}, {"a", "c"}, {"a", "b"}, {"a", "b", "c"}]
    assert fit.residuals[4] == pytest.approx(math.log(5) - np.mean(np.log([1, 2, 3, 4])))


def test_both_campaigns_of_one_machine_are_one_group(package_rows: list[dict[str, str]]) -> None:
    e3 = {r["group"] for r in package_rows if "E3-1240" in r["machine"]}
    assert e3 == {"Xeon E3-1240 v2"}


def test_the_models_are_not_pooled(
    package_rows: list[dict[str, str]], wall_rows: list[dict[str, str]]
) -> None:
    assert not {r["source"] for r in package_rows} & {r["source"] for r in wall_rows}


# --- what was left out, and why --------------------------------------------------------------


def series_of(rows: list[dict[str, str]]) -> list[list[dict[str, str]]]:
    groups: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows:
        if row["column_w"]:
            groups.setdefault((row["machine"], row["series"]), []).append(row)
    return list(groups.values())


def test_the_column_of_the_trace_lags_by_one_row(package_rows: list[dict[str, str]]) -> None:
    lagged, aligned = [], []
    for series in series_of(package_rows):
        for before, row in pairwise(series):
            column_w = float(row["column_w"])
            lagged.append(abs(math.log(column_w / float(before["power_w"]))))
            aligned.append(abs(math.log(column_w / float(row["power_w"]))))
    assert len(lagged) == 96
    assert np.quantile(lagged, 0.9) < 0.05
    assert np.median(aligned) > 3 * np.median(lagged)


def test_the_warm_up_rows_open_their_series_and_are_implausible(
    package_rows: list[dict[str, str]],
) -> None:
    all_series = series_of(package_rows)
    assert len(all_series) == 10
    for series in all_series:
        first, *others = series
        assert first["use"] == "warm-up"
        assert float(first["column_w"]) < 1.5
        assert float(first["power_w"]) > 5
        assert float(first["load_ratio"]) <= 0.05
        assert all(row["use"] != "warm-up" for row in others)


def test_the_double_counted_series_exceeds_its_part(package_rows: list[dict[str, str]]) -> None:
    double = [r for r in package_rows if r["use"] == "double-counted"]
    assert max(float(r["power_w"]) / float(r["tdp_w"]) for r in double) > 1.35
    assert (
        max(
            float(r["power_w"]) / float(r["tdp_w"])
            for r in package_rows
            if r["use"] == "fit" and r["source"] == "codecarbon-trace"
        )
        < 1.0
    )


# --- the shipped files are those of the script ------------------------------------------------


def test_the_shipped_coefficients_are_those_of_the_script(fit_cpu: ModuleType, fits: Any) -> None:
    for row in fit_cpu.fitted_rows(*fits):
        shipped = fitted(row["key"])
        for column, value in (("value", shipped.value), ("low", shipped.low)):
            assert value == pytest.approx(float(row[column]), rel=1e-3, abs=1e-3), row["key"]


def test_the_script_writes_the_table_and_the_page(fit_cpu: ModuleType, tmp_path: Path) -> None:
    assert fit_cpu.main(["--out", str(tmp_path)]) == 0
    table = tmp_path / "src/submeter/catalog/data/fitted.csv"
    assert table.read_text().splitlines()[0].startswith("key,value,low,high,unit")
    number = re.compile(r"[−+]?\d+(?:\.\d+)?")
    new = (tmp_path / "docs/accuracy-cpu.md").read_text()
    shipped = (ROOT / "docs/accuracy-cpu.md").read_text()
    assert number.sub("#", new) == number.sub("#", shipped)
    pairs = zip(number.findall(new), number.findall(shipped), strict=True)
    for a, b in ((x.replace("−", "-"), y.replace("−", "-")) for x, y in pairs):
        assert float(a) == pytest.approx(float(b), abs=1.01)


def test_the_rest_prior_is_what_the_servers_say(
    fit_cpu: ModuleType, fits: Any, wall_rows: list[dict[str, str]]
) -> None:
    dram_w_per_gb = factor("dram-w-per-gb").value
    rest = fit_cpu.rest_ratios(wall_rows, fits[0], dram_w_per_gb)
    row = factor("rest-ratio")
    assert row.value == pytest.approx(np.median(rest), abs=0.01)
    assert row.high == pytest.approx(np.quantile(rest, 0.975), abs=0.01)
    assert row.low == pytest.approx(1 / factor("psu-efficiency").value - 1, abs=0.005)


def test_the_runtime_evaluates_what_was_fitted(
    fit_cpu: ModuleType, fits: Any, wall_rows: list[dict[str, str]]
) -> None:
    package, full, idle = fits
    for sample in package.samples:
        load_ratio, tdp_w = sample.known
        expected = math.exp(fit_cpu.package_log_power(package.coefficients, sample))
        assert tdp_w * package_power_ratio(load_ratio) == pytest.approx(expected, rel=1e-3)
    for fit, full_load in ((full, True), (idle, False)):
        for row, sample in list(zip(wall_rows, fit.samples, strict=True))[::25]:
            server = Server(
                tdp_w=float(row["tdp_w"]),
                chips=int(row["chips"]),
                year=int(row["year"]),
                amd=row["amd"] == "1",
                front_side_bus=row["front_side_bus"] == "1",
                memory_buffers=row["memory_buffers"] == "1",
            )
            expected = math.exp(fit_cpu.wall_log_power(fit.coefficients, sample))
            assert wall_power_w(server, full_load=full_load) == pytest.approx(expected, rel=1e-3)


def test_every_row_of_the_benchmark_data_is_cited(
    package_rows: list[dict[str, str]], wall_rows: list[dict[str, str]]
) -> None:
    for row in (*package_rows, *wall_rows):
        assert row["source"]
        assert row["licence"]
        assert row["verified"]
