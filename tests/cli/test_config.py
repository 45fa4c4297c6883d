# SPDX-License-Identifier: Apache-2.0
"""``submeter config``: each value, the place it comes from, and the way back."""

import json
import shlex
from pathlib import Path

import pytest

from submeter.interfaces.cli import main


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("SUBMETER_USER_CONFIG", str(tmp_path / "user.toml"))
    for name in ("PUE", "ZONE", "PROJECT", "INTERVAL_S"):
        monkeypatch.delenv(f"SUBMETER_{name}", raising=False)
    return tmp_path / "user.toml"


def test_values_are_shown_with_their_place(
    user: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    user.write_text('\nzone = "SE"\n')
    monkeypatch.setenv("SUBMETER_PUE", "1.1")
    for words in (["config"], ["config", "show"]):
        assert main(words) == 0
        lines = {
            line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()
        }
        assert lines["zone"] == ["SE", f"{user}:2"]
        assert lines["pue"] == ["1.1", "environment", "SUBMETER_PUE"]
        assert lines["interval_s"] == ["0.1"]
    assert main(["config", "show", "--origin", "interval_s"]) == 0
    assert "default  (time between two readings" in capsys.readouterr().out
    assert main(["settings", "show", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    assert document["settings"]["pue"] == {"value": 1.1, "origin": "environment SUBMETER_PUE"}
    assert document["settings"]["project"] == {"value": "", "origin": "default"}


def test_set_and_its_undo(user: Path, capsys: pytest.CaptureFixture[str]) -> None:
    undo = ""
    for value in ("1.2", "1.3"):
        assert main(["config", "set", "pue", value]) == 0
        undo = capsys.readouterr().err.splitlines()[-1].removeprefix("undo: submeter ")
        assert user.read_text() == f"pue = {value}\n"
    assert main(shlex.split(undo)) == 0
    assert user.read_text() == "pue = 1.2\n"
    assert main(["config", "unset", "pue"]) == 0
    assert user.read_text() == ""


def test_set_for_a_project_and_what_goes_before_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUBMETER_ZONE", "NO")
    assert main(["config", "set", "--project", "zone", "DE"]) == 0
    assert Path("submeter.toml").read_text() == 'zone = "DE"\n'
    assert "environment SUBMETER_ZONE goes before it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["set", "pue", "0.9"], "1 to 10"),
        (["set", "pue", "nan"], "1 to 10"),
        (["set", "interval", "1"], "interval_s"),
        (["show", "zoen"], "zone"),
        (["unset", "pue"], "not set"),
        (["set", "pue"], "config set"),
        (["sett"], "sett"),
    ],
)
def test_e02_what_is_wrong_is_two_lines_and_writes_nothing(
    user: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert main(["config", *words]) == 2
    err = capsys.readouterr().err
    assert [line[:6] for line in err.splitlines()] == ["error:", "try:  "]
    assert said in err
    assert not user.exists()


def test_e01_a_malformed_file_is_named_with_its_line(
    user: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    user.write_text("pue = 1.2\nzone = [,\n")
    assert main(["config", "show"]) == 2
    assert f"{user}:" in capsys.readouterr().err
    user.write_text("pue = 1.2\nbanana = 1\n")
    assert main(["config", "show"]) == 2
    assert f"{user}:2" in capsys.readouterr().err
    assert main(["config", "unset", "banana"]) == 0  # mended with our own words
    assert main(["config", "show"]) == 0
