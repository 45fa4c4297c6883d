# SPDX-License-Identifier: Apache-2.0
"""``submeter factors``: where any number comes from, and whether one's own are in order."""

from pathlib import Path

import pytest

from tests.cli.stage import Stage, stage

__all__ = ["stage"]

LOSS = "grid/DE/td_loss_ratio"


@pytest.fixture(autouse=True)
def alone(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUBMETER_USER_CONFIG", str(stage.path / "user.toml"))


def test_words_find_rows_with_all_that_is_to_be_known(stage: Stage) -> None:
    done = stage.call("factors", "germany", "lifecycle", "production")
    assert done.code == 0
    for word in ("grid/DE/average_lifecycle_production_g_per_kwh", "g/kWh", "copy", "CC BY"):
        assert word in done.out
    assert max(map(len, done.out.splitlines())) <= 80


def test_an_exact_id_shows_everything_about_its_row(stage: Stage) -> None:
    done = stage.call("factors", LOSS)
    assert done.out.splitlines()[0] == LOSS
    for label in ("value", "level", "year", "verified", "source"):
        assert f"\n  {label} " in done.out
    assert "https://" in done.out
    past = stage.call("factors", "grid_odbl/FR/average_lifecycle_consumption_g_per_kwh").out
    assert "by year" in past
    assert "2021:" in past


def test_a_source_shows_its_licence_and_address(stage: Stage) -> None:
    done = stage.call("factors", "sources/ember")
    assert "CC BY" in done.out
    assert "https://" in done.out


def test_what_does_not_fit_is_counted(stage: Stage) -> None:
    done = stage.call("factors", "td_loss_ratio")
    found = int(done.err.split()[2])
    assert done.err.endswith("more: narrow it, or --all\n")
    assert found > 20
    whole = stage.call("factors", "td_loss_ratio", "--table", "--all")
    assert whole.err == ""
    assert len(whole.out.splitlines()) == found + 8 + 1
    assert len(stage.call("factors", "td_loss_ratio", "--table", "-n", "3").out.splitlines()) == 4


def test_a_table_is_narrow_where_the_terminal_is(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    narrow = stage.call("factors", "pue", "aws", "--table").out.splitlines()
    monkeypatch.setenv("COLUMNS", "100")
    wide = stage.call("factors", "pue", "aws", "--table").out.splitlines()
    assert max(map(len, narrow)) <= 60 < max(map(len, wide)) <= 100
    assert "verified" in wide[0]


def test_json_has_every_word_of_a_row_and_its_sources(stage: Stage) -> None:
    document = stage.call("factors", LOSS, "--json").document
    (row,) = document["factors"]
    assert document["schema"] == 1
    assert row["id"] == LOSS
    assert row["low"] <= row["value"] <= row["high"]
    assert set(row) == {
        "id", "value", "low", "high", "level", "unit", "year", "source", "licence", "verified",
        "note",
    }  # fmt: skip
    (source,) = document["sources"]
    assert set(source) == {"key", "title", "year", "licence", "url"}
    assert document["more"] == 0
    assert stage.call("factors", "td_loss_ratio", "--json", "-n", "2").document["more"] > 20


def test_nothing_found_is_exit_4_with_what_is_near(stage: Stage) -> None:
    done = stage.call("factors", "germny")
    assert done.code == 4
    assert done.out == ""
    assert "Germany" in done.err
    assert stage.call("factors", "qqqqqqq").code == 4


def test_without_words_the_tables_are_listed(stage: Stage) -> None:
    done = stage.call("factors")
    assert "grid_odbl" in done.out
    names = {row["name"] for row in stage.call("factors", "--json").document["tables"]}
    assert {"grid", "sources", "factors"} <= names


def test_a_declared_factor_is_shown_as_declared(stage: Stage) -> None:
    Path("submeter.toml").write_text(f'[factors]\n"{LOSS}" = 0.07\n')
    done = stage.call("factors", LOSS)
    assert "0.07000 (exact)" in done.out
    assert "declared: declared by you" in done.out
    assert "submeter.toml:2" in "".join(done.out.split())
    row = stage.call("factors", LOSS, "--json").document["factors"][0]
    assert (row["value"], row["verified"]) == (0.07, "declared")


def test_wrong_factors_stop_a_command_that_would_use_them(stage: Stage) -> None:
    Path("submeter.toml").write_text(f'[factors]\n"{LOSS}" = -1\n')
    done = stage.call("factors", LOSS)
    assert (done.code, done.out) == (2, "")
    assert "submeter.toml:2" in done.err
    assert "--check" in done.err


def test_check_of_settings_and_their_files(stage: Stage) -> None:
    Path("mine.csv").write_text("id,value\ngrid/FR/td_loss_ratio,0.05\n")
    Path("submeter.toml").write_text(
        f'pue = 1.2\nfactor_files = ["mine.csv"]\n[factors]\n"{LOSS}" = 0.07\n'
    )
    done = stage.call("factors", "--check")
    assert (done.code, done.out) == (0, "2 overrides, all good\n")
    Path("mine.csv").write_text("id,value\ngrid/FR/td_los_ratio,0.05\ngrid/FR/td_loss_ratio,x\n")
    done = stage.call("factors", "--check")
    assert done.code == 2
    first, second = done.out.splitlines()
    assert "mine.csv:2: the catalog has no 'grid/FR/td_los_ratio'" in first
    assert "grid/FR/td_loss_ratio" in first
    assert "mine.csv:3: value is 'x'" in second
    document = stage.call("factors", "--check", "--json").document
    assert document["overrides"] == 1
    assert set(document["problems"][0]) == {"place", "what", "allowed"}


def test_check_of_files(stage: Stage) -> None:
    Path("a.csv").write_text(f"id,value\n{LOSS},0.05\n")
    Path("b.toml").write_text(f'[factors."{LOSS}"]\nvalue = 0.05\nlow = 0.06\n')
    Path("pyproject.toml").write_text(f'[tool.submeter.factors]\n"{LOSS}" = 0.05\n')
    assert stage.call("factors", "--check", "a.csv").out == "1 override, all good\n"
    assert stage.call("factors", "--check", "a.csv", "pyproject.toml").out.startswith("2 over")
    done = stage.call("factors", "--check", "b.toml")
    assert done.code == 2
    assert done.out.startswith("b.toml:1: 0.06, 0.05, 0.05 are not in order")
    for missing in ("none.csv", "none.toml", "none"):
        assert stage.call("factors", "--check", missing).code == 2


def test_f21_a_file_cannot_move_the_terminal(stage: Stage) -> None:
    Path("a.csv").write_text("id,value\n\x1b]0;title\x07,1\n")
    done = stage.call("factors", "--check", "a.csv")
    assert done.code == 2
    assert "\x1b" not in done.out
    assert stage.call("factors", "\x1b[31mred").code == 4


def test_many_problems_are_cut(stage: Stage) -> None:
    Path("a.csv").write_text("id,value\n" + "x,1\n" * 80)
    done = stage.call("factors", "--check", "a.csv")
    assert done.out.splitlines()[-1] == "… and 30 more"


def test_no_declared_factors_are_all_good(stage: Stage) -> None:
    assert stage.call("factors", "--check").out == "0 overrides, all good\n"


def test_config_shows_settings_beside_declared_factors(stage: Stage) -> None:
    Path("submeter.toml").write_text(f'pue = 1.3\n[factors]\n"{LOSS}" = 0.07\n')
    assert "1.3" in stage.call("config", "show").out
    assert stage.call("config", "set", "--project", "pue", "1.4").code == 0
    assert Path("submeter.toml").read_text() == f'pue = 1.4\n[factors]\n"{LOSS}" = 0.07\n'
    assert stage.call("config", "set", "--project", "zone", "DE").code == 0
    assert stage.call("factors", "--check").out == "1 override, all good\n"
