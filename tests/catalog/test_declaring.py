# SPDX-License-Identifier: Apache-2.0
"""Factors of one's own: they go before the catalog, and what is wrong with them is one line."""

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.catalog import factor, pue_prior
from submeter.catalog.declaring import (
    LARGEST_FILE_BYTES,
    MOST_PROBLEMS,
    MOST_ROWS,
    check_declared,
    check_file,
    declared_overrides,
)
from submeter.catalog.facts import fact, facts, history, keys, names
from submeter.catalog.overlay import NONE, Overrides, use_overrides
from submeter.catalog.ranges import range_of
from submeter.catalog.searching import is_fact_table
from submeter.errors import ConfigError
from submeter.records.factors import Factor
from submeter.records.figures import Basis
from submeter.settings import Declared

LOSS = "grid/DE/td_loss_ratio"
LIFECYCLE = "grid/DE/average_lifecycle_production_g_per_kwh"


def declared(**factors: object) -> Declared:
    ids = {ident.replace("LOSS", LOSS).replace("LIFECYCLE", LIFECYCLE): value
           for ident, value in factors.items()}  # fmt: skip
    return Declared(Path("submeter.toml"), ids, dict.fromkeys(ids, 7), ())


def csv_file(folder: Path, text: str, name: str = "mine.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def loss() -> Factor:
    return fact("grid", "DE", "td_loss_ratio")


def test_a_declared_factor_goes_before_the_catalog_within_its_block_only() -> None:
    before = loss()
    with use_overrides(declared_overrides([declared(LOSS=0.07)])):
        mine = loss()
        assert (mine.key, mine.value, mine.verified) == (before.key, 0.07, "declared")
        assert (mine.unit, mine.basis) == (before.unit, Basis.DERIVED)
        assert "submeter.toml:7" in mine.source
        assert mine in facts("grid", "DE")
        with use_overrides(NONE):
            assert loss() == before
        assert loss() == mine
    assert loss() == before


def test_another_thread_never_sees_the_overrides_of_this_one() -> None:
    seen = []
    with use_overrides(declared_overrides([declared(LOSS=0.07)])):
        other = threading.Thread(target=lambda: seen.append(loss().value))
        other.start()
        other.join()
    assert seen == [loss().value] != [0.07]


def test_overrides_can_be_passed_without_any_state() -> None:
    overrides = declared_overrides([declared(LOSS=0.07)])
    assert overrides.over(loss()).value == 0.07
    assert overrides.over(fact("grid", "FR", "td_loss_ratio")).key == "grid/FR/td_loss_ratio"
    assert Overrides().over(loss()) == loss()


def test_a_table_gives_interval_source_and_unit() -> None:
    given = {"value": 300, "low": 250, "high": 400, "unit": "g/kWh", "source": "my utility"}
    with use_overrides(declared_overrides([declared(LIFECYCLE=given)])):
        mine = fact("grid", "DE", "average_lifecycle_production_g_per_kwh")
    assert (mine.low, mine.value, mine.high, mine.unit) == (250, 300, 400, "g/kWh")
    assert mine.source == "my utility (declared in submeter.toml:7)"


def test_a_bare_number_is_exact_and_says_so() -> None:
    mine = declared_overrides([declared(LOSS=0.07)]).factors[LOSS]
    assert (mine.low, mine.high, mine.log_sd) == (0.07, 0.07, 0.0)
    assert "exact" in mine.note


def test_what_is_declared_later_goes_before() -> None:
    both = declared_overrides([declared(LOSS=0.07), declared(LOSS=0.08)])
    assert both.factors[LOSS].value == 0.08


def test_a_year_before_the_latest_is_declared_by_itself() -> None:
    past = history("grid_odbl", "DE", "average_lifecycle_consumption_g_per_kwh")
    first, latest = past[0], past[-1]
    assert first.key.endswith(f"@{first.year}")
    overrides = declared_overrides([declared(**{first.key: 123.0})])
    with use_overrides(overrides):
        quantity = "average_lifecycle_consumption_g_per_kwh"
        assert fact("grid_odbl", "DE", quantity, year=first.year).value == 123.0
        assert fact("grid_odbl", "DE", quantity) == latest
    dated = declared_overrides([declared(**{f"{latest.key}@{latest.year}": 5.0})])
    assert set(dated.factors) == {latest.key}


def test_the_prior_of_the_pue_can_be_declared() -> None:
    for ident in ("factors/pue-prior", "factors/dram-w-per-gb"):
        with use_overrides(declared_overrides([declared(**{ident: 1.25})])):
            assert factor(ident.partition("/")[2]).value == 1.25
    with use_overrides(declared_overrides([declared(**{"factors/pue-prior": 1.25})])):
        assert (pue_prior().value, pue_prior().verified) == (1.25, "declared")
    assert pue_prior().verified == "assumed"


@pytest.mark.parametrize(
    ("ident", "given", "words"),
    [
        ("grid/DE/td_los_ratio", 1, ["no 'grid/DE/td_los_ratio'", "grid/DE/td_loss_ratio"]),
        ("grid/XY/td_loss_ratio", 1, ["keys near it in grid"]),
        ("grids/DE/td_loss_ratio", 1, ["table/key/quantity", "grid"]),
        ("nonsense", 1, ["table/key/quantity"]),
        ("", 1, ["table/key/quantity"]),
        ("factors/pue-priro", 1.2, ["no 'factors/pue-priro'"]),
        (LOSS, -0.1, ["below zero"]),
        (LOSS, "0.1x", ["no number"]),
        (LOSS, "0,1", ["no number", "0.35"]),
        (LOSS, True, ["no number"]),
        (LOSS, [1], ["no number"]),
        (LOSS, float("nan"), ["finite"]),
        (LOSS, float("inf"), ["finite"]),
        (LOSS, 10**400, ["finite"]),
        (LOSS, {"value": 0.1, "low": 0.2}, ["low ≤ value ≤ high"]),
        (LOSS, {"value": 0.1, "high": 0.05}, ["low ≤ value ≤ high"]),
        (LOSS, {"low": 0.1}, ["no value"]),
        (LOSS, {}, ["no value"]),
        (LOSS, {"value": 0.1, "amount": 1}, ["'amount' is no field", "value, low, high"]),
        (LOSS, {"value": 0.1, "source": 3}, ["source is no plain text"]),
        (LOSS, {"value": 0.1, "source": "a\x1b[31m"}, ["source is no plain text"]),
        (LOSS, {"value": 0.1, "source": "a" * 3000}, ["source is no plain text"]),
        (LOSS, {"value": 0.1, "year": "soon"}, ["year"]),
        (LIFECYCLE, {"value": 300, "unit": "kg/kWh"}, ["'kg/kWh'", "g/kWh"]),
        ("factors/pue-prior", 0.9, ["at least 1"]),
        ("cloud/aws/us-east-1/pue", 0.9, ["at least 1"]),
        ("grid/DE/share_coal_ratio", 23, ["not in per cent"]),
        (LOSS, 1.5, ["1.5 is more than 0.9"]),
        (LOSS, {"value": 0.05, "high": 1.0}, ["1 is more than 0.9"]),
        ("cooling/air/server_fans_ratio", 1.0, ["more than 0.9"]),
        ("cooling/tower/cycles_ratio", 1.0, ["less than 1.01"]),
        ("cooling/tower/cycles_ratio", {"value": 5, "low": 0.5}, ["0.5 is less than 1.01"]),
        ("factors/pue-prior", 1e308, ["more than 10"]),
        ("factors/psu-efficiency", 0, ["less than 0.1"]),
        ("cooling/climate/hot_wet_bulb_c", 500, ["more than 60"]),
        (LIFECYCLE, 1e9, ["0.1 to 5000"]),
        (LIFECYCLE, 0, ["0.1 to 5000"]),
        ("prices/DE/price_usd_per_kwh", 250, ["per kWh"]),
        ("water/DE/ewif_l_per_kwh", 1e6, ["0 to 500"]),
        (f"{LIFECYCLE}@1850", 3, ["no "]),
        (f"{LIFECYCLE}@x", 3, ["no "]),
    ],
)
def test_what_is_wrong_is_one_line_with_place_and_what_is_allowed(
    ident: str, given: object, words: list[str]
) -> None:
    found = check_declared([declared(**{ident: given})])
    (problem,) = found.problems
    line = str(problem)
    assert line.startswith("submeter.toml:7: ")
    assert "\n" not in line
    assert all(word in line for word in words), line
    assert found.overrides == NONE
    with pytest.raises(ConfigError, match=r"submeter\.toml:7"):
        declared_overrides([declared(**{ident: given})])


def test_what_the_catalog_says_lies_within_the_range_of_each_factor() -> None:
    found = [one for name in names() if is_fact_table(name)
             for key in keys(name) for one in facts(name, key)]  # fmt: skip
    for one in found:
        can = range_of(one)
        assert can.least <= one.low <= one.high <= can.most, one
    assert len(found) > 10_000


def test_a_wet_bulb_below_zero_can_be_declared() -> None:
    assert not check_declared([declared(**{"cooling/climate/cold_wet_bulb_c": -12})]).problems


def test_a_price_may_be_negative() -> None:
    assert not check_declared([declared(**{"prices/DE/price_usd_per_kwh": -0.01})]).problems


HEAD = "key,quantity,year,value,low,high,unit,source,verified,note\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("grid.csv", f"{HEAD}DE,td_loss_ratio,2024,0.05,0.04,0.06,1,mine,copy,n\n"),
        ("a.csv", "table,key,quantity,value\ngrid,DE,td_loss_ratio,0.05\n"),
        ("a.csv", f"id,value,source\n{LOSS},0.05,mine\n"),
        ("a.csv", f"\ufeffid,value\r\n{LOSS},0.05\r\n\r\n"),
        ("a.csv", f'id, value ,note\n{LOSS}, 0.05 ,"a, b"\n'),
        ("a.csv", f"value,id\n5e-2,{LOSS}"),
    ],
)
def test_a_file_with_our_columns_is_read(tmp_path: Path, name: str, text: str) -> None:
    path = csv_file(tmp_path, text, name)
    found = check_file(path)
    assert found.problems == ()
    mine = found.overrides.factors[LOSS]
    assert (mine.value, mine.verified) == (0.05, "declared")
    assert f"{path}:2" in mine.source


def test_a_file_that_settings_name_is_used_with_them(tmp_path: Path) -> None:
    path = csv_file(tmp_path, f"id,value\n{LOSS},0.05\n")
    source = Declared(tmp_path / "submeter.toml", {LIFECYCLE: 300}, {LIFECYCLE: 3}, (path,))
    assert set(declared_overrides([source]).factors) == {LOSS, LIFECYCLE}


def test_what_is_declared_twice_in_one_place_is_a_problem(tmp_path: Path) -> None:
    path = csv_file(tmp_path, f"id,value\n{LOSS},0.05\n")
    source = Declared(tmp_path / "submeter.toml", {LOSS: 0.06}, {LOSS: 3}, (path,))
    (problem,) = check_declared([source]).problems
    assert problem.place == f"{path}:2"
    assert f"{tmp_path / 'submeter.toml'}:3" in problem.allowed


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", "", ["no column value"]),
        ("id,amount\nx,1\n", "", ["no column 'amount'", "columns are key"]),
        ("id\nx\n", "", ["no column value"]),
        ("value\n1\n", "", ["which factor"]),
        ("key,quantity,value\nDE,td_loss_ratio,1\n", "", ["which table"]),
        ("id,value,value\nx,1,2\n", "", ["twice"]),
        (f"id,value\n{LOSS}\n", ":2", ["1 cells below 2 columns"]),
        (f"id,value\n{LOSS},0.1\n{LOSS},0.2,3\n", ":3", ["3 cells below 2 columns"]),
        (f"id,value\n{LOSS},0.1\n\n{LOSS},0.2\n", ":4", ["declared twice", ":2"]),
        (f'id,value\n"{LOSS},0.1\n', ":2", ["no line of a CSV"]),
        (f"id,value\n{LOSS},\n", ":2", ["no value"]),
        (f"id,value\n{LOSS},0.1\x00\n", ":2", ["control characters"]),
        (f"id,value\n{LOSS},\x1b[31m0.1\n", ":2", ["control characters"]),
        (f"id,value\n\u202e{LOSS},0.1\n", ":2", ["control characters"]),
        ("id,value\n=cmd(),1\n", ":2", ["no '=cmd()'"]),
    ],
)
def test_a_bad_file_is_named_with_its_line(
    tmp_path: Path, text: str, line: str, words: list[str]
) -> None:
    path = csv_file(tmp_path, text)
    found = check_file(path)
    told = str(found.problems[0])
    assert told.startswith(f"{path}{line}: ")
    assert all(word in told for word in words), told


def test_every_problem_of_a_file_is_told_not_the_first_only(tmp_path: Path) -> None:
    path = csv_file(tmp_path, f"id,value\nx,1\n{LOSS},0.1\ny,2\n{LIFECYCLE},abc\n")
    found = check_file(path)
    assert [p.place for p in found.problems] == [f"{path}:{n}" for n in (2, 4, 5)]


def test_checking_ends_where_nothing_fits(tmp_path: Path) -> None:
    path = csv_file(tmp_path, "id,value\n" + "grid/XX/y,1\n" * 20_000)
    found = check_file(path)
    assert len(found.problems) == MOST_PROBLEMS + 1
    assert "mend the first" in str(found.problems[-1])


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"id,value\n" + b"\xff\xfe\x00", "not UTF-8"),
        (b"\x7fELF\x02\x01\x01\x00" * 100, "control characters"),
        (b"PK\x03\x04" + bytes(range(256)), "not UTF-8"),
        ("id,value\n".encode("utf-16"), "not UTF-8"),
        (b"x" * (LARGEST_FILE_BYTES + 1), "larger than 4 MiB"),
        (b"id,value\n" + b"a,1\n" * (10 * 2**20 // 4), "larger than 4 MiB"),
        (b"\n" * (MOST_ROWS + 1), f"more than {MOST_ROWS} lines"),
        (b"id,value\n" + b"a" * 200_000 + b",1\n", "no line of a CSV"),
    ],
)
def test_a_binary_or_huge_file_is_refused_without_being_read_whole(
    tmp_path: Path, raw: bytes, words: str
) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(raw)
    (problem,) = check_file(path).problems
    assert words in str(problem)
    assert len(str(problem)) < 500


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.csv"):
        (problem,) = check_file(path).problems
        assert problem.place == str(path)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_table_or_a_problem(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "grid.csv"
    path.write_bytes(raw)
    found = check_file(path)
    assert found.problems or not found.overrides.factors


@given(st.floats(0, 0.9), st.floats(0, 0.9), st.floats(0, 0.9))
def test_in_order_is_good_and_out_of_order_is_not(low: float, value: float, high: float) -> None:
    given_ = {"value": value, "low": low, "high": high}
    found = check_declared([declared(LOSS=given_)])
    assert bool(found.problems) == (not low <= value <= high)
    if not found.problems:
        mine = found.overrides.factors[LOSS]
        assert (mine.low, mine.value, mine.high) == (low, value, high)
