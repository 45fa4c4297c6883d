# SPDX-License-Identifier: Apache-2.0
"""``doctor``: true findings, widths that are computed, and nothing changed unless asked."""

import os
from pathlib import Path

import pytest

from submeter.errors import ActuatorError, SensorPermissionError
from submeter.grid.place import WORLD
from submeter.interfaces.cli.diagnosis import Diagnosis, LedgerState
from submeter.interfaces.cli.doctor import doctor_lines
from submeter.interfaces.cli.rapl import apply_fix, plan_fix
from submeter.sensors import Finding
from submeter.storing.ledger import open_ledger
from submeter.testing import FakeMachine
from tests.cli.stage import Stage, machine, stage
from tests.reporting.examples import digits, eight_boards

__all__ = ["machine", "stage"]


def tree(path: Path) -> Path:
    """A powercap tree whose counters only root may read."""
    for name in ("intel-rapl:0", "intel-rapl:0:0", "intel-rapl:1"):
        zone = path / "class" / "powercap" / name
        zone.mkdir(parents=True)
        (zone / "name").write_text("dram\n" if name.count(":") > 1 else f"package-{name[-1]}\n")
        (zone / "energy_uj").write_text("1000000\n")
        (zone / "energy_uj").chmod(0o400)
        (zone / "max_energy_range_uj").write_text("262143328850\n")
    return path


def modes(sys_root: Path) -> list[int]:
    return [p.stat().st_mode & 0o777 for p in sorted(sys_root.rglob("energy_uj"))]


def test_each_part_has_its_line_and_all_lines_fit(stage: Stage, machine: FakeMachine) -> None:
    done = stage.call("doctor", *stage.roots(machine))
    assert (done.code, done.err) == (0, "")
    labels = [line.split()[0] for line in done.out.splitlines() if not line.startswith(" ")]
    assert labels[0] == "machine"
    for label in ("GPU", "CPU", "DRAM", "total", "place", "ledger"):
        assert label in labels
    assert max(map(len, done.out.splitlines())) <= 80
    assert "measured" in done.out


def test_json_says_the_same(stage: Stage, machine: FakeMachine) -> None:
    made = stage.call("doctor", "--json", *stage.roots(machine)).document
    assert made["schema"] == 1
    states = {f["part"]: f["state"] for f in made["findings"]}
    assert states["CPU"] == "measured"
    hour = made["typical_hour"]
    assert hour["low"] < hour["value"] < hour["high"]
    for gain in made["gains"]:
        better = gain["typical_hour"]
        assert better["high"] - better["low"] < hour["high"] - hour["low"]


def test_a_counter_narrows_the_total_that_the_doctor_tells(
    stage: Stage, machine: FakeMachine, tmp_path: Path
) -> None:
    bare = FakeMachine(tmp_path / "bare")
    bare.at(1.0)
    try:
        without = stage.call("doctor", "--json", *stage.roots(bare)).document["typical_hour"]
    finally:
        bare.close()
    counted = stage.call("doctor", "--json", *stage.roots(machine)).document["typical_hour"]
    assert without["high"] / without["low"] > counted["high"] / counted["low"]


def test_a_place_that_is_set_is_told_and_what_the_clock_says_is_called_a_guess(
    stage: Stage, machine: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    guessed = stage.call("doctor", *stage.roots(machine)).out
    assert "DE: Germany, guessed from the time zone" in guessed
    assert "submeter config set zone DE" in guessed
    monkeypatch.setenv("SUBMETER_ZONE", "SE")
    assert "place     SE" in stage.call("doctor", *stage.roots(machine)).out


def test_the_ledger_is_counted_and_checked(stage: Stage, machine: FakeMachine) -> None:
    assert "none yet" in stage.call("doctor", *stage.roots(machine)).out
    assert not (stage.home / "ledger.db").exists()  # looking makes nothing
    with open_ledger(stage.home / "ledger.db") as ledger:
        ledger.put(digits())
        ledger.put(eight_boards())
    assert "2 runs" in stage.call("doctor", *stage.roots(machine)).out


def test_d10_a_destroyed_ledger_is_named_and_rebuilt(stage: Stage, machine: FakeMachine) -> None:
    path = stage.home / "ledger.db"
    with open_ledger(path) as ledger:
        ledger.put(digits())
    with path.open("r+b") as file:
        file.write(b"\xff" * 4096)
    ill = stage.call("doctor", *stage.roots(machine))
    assert ill.code == 0
    assert "→ submeter doctor --rebuild" in ill.out
    done = stage.call("doctor", "--rebuild")
    assert done.code == 0, done.err
    assert "1 run " in done.out
    assert stage.call("show", "digits").code == 0


def test_a_rebuild_of_nothing_says_so(stage: Stage) -> None:
    stage.home.mkdir()
    done = stage.call("doctor", "--rebuild")
    assert (done.code, done.out) == (0, "no run found\n")


def test_a_dry_run_shows_the_rule_and_changes_nothing(stage: Stage, tmp_path: Path) -> None:
    sys_root, etc = tree(tmp_path / "sys"), tmp_path / "etc"
    done = stage.call(
        *("doctor", "--fix", "rapl", "--dry-run"),
        *("--sys-root", str(sys_root), "--etc-root", str(etc)),
    )
    assert done.code == 0
    assert 'SUBSYSTEM=="powercap"' in done.out
    assert "To undo:" in done.out
    assert "CVE-2020-8694" in done.out
    assert not etc.exists()
    assert modes(sys_root) == [0o400] * 3


def test_without_a_terminal_nothing_is_applied_unasked(stage: Stage, tmp_path: Path) -> None:
    sys_root = tree(tmp_path / "sys")
    done = stage.call(
        *("doctor", "--fix", "rapl"),
        *("--sys-root", str(sys_root), "--etc-root", str(tmp_path / "etc")),
    )
    assert done.code == 2
    assert modes(sys_root) == [0o400] * 3


def test_the_rule_is_written_and_the_counters_are_opened(tmp_path: Path) -> None:
    sys_root = tree(tmp_path / "sys")
    fix = plan_fix(sys_root, tmp_path / "etc")
    apply_fix(fix, euid=lambda: 0)
    assert modes(sys_root) == [0o444] * 3
    assert fix.rule_path.read_text() == fix.rule
    assert "chmod 0444 /sys%p/energy_uj" in fix.rule


def test_a_group_alone_can_be_let_in(tmp_path: Path) -> None:
    import grp

    group = grp.getgrgid(os.getgid()).gr_name
    sys_root = tree(tmp_path / "sys")
    fix = plan_fix(sys_root, tmp_path / "etc", group)
    apply_fix(fix, euid=lambda: 0)
    assert modes(sys_root) == [0o440] * 3
    assert f"chgrp {group}" in fix.rule


@pytest.mark.parametrize("group", ["a b", "x;reboot", "$(id)", "../etc"])
def test_a_group_that_is_no_name_is_refused(group: str, stage: Stage, tmp_path: Path) -> None:
    args = ["--sys-root", str(tree(tmp_path / "sys")), "--group", group, "--dry-run"]
    assert stage.call("doctor", "--fix", "rapl", *args).code == 2


def test_only_root_may_apply_it(tmp_path: Path) -> None:
    fix = plan_fix(tree(tmp_path / "sys"), tmp_path / "etc")
    with pytest.raises(SensorPermissionError, match="only root"):
        apply_fix(fix, euid=lambda: 1000)
    assert not fix.rule_path.exists()


def test_half_a_fix_says_what_was_done(tmp_path: Path) -> None:
    sys_root = tree(tmp_path / "sys")
    fix = plan_fix(sys_root, tmp_path / "etc")
    fix.counters[1].unlink()
    with pytest.raises(ActuatorError, match="done so far") as told:
        apply_fix(fix, euid=lambda: 0)
    assert str(fix.rule_path) in str(told.value)
    assert told.value.remedy is not None


def test_without_counters_there_is_nothing_to_fix(stage: Stage, tmp_path: Path) -> None:
    done = stage.call("doctor", "--fix", "rapl", "--sys-root", str(tmp_path), "--dry-run")
    assert done.code == 3
    assert "there is no energy counter" in done.err


def test_e04_e05_an_empty_machine_is_told_not_guessed(stage: Stage, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    args = ["--no-gpu", "--sys-root", str(empty), "--proc-root", str(empty)]
    done = stage.call("doctor", *args)
    assert done.code == 0, done.err
    assert "machine" in done.out


def test_elsewhere_than_on_linux_the_doctor_says_what_is_missing(tmp_path: Path) -> None:
    text = "Darwin shows no processor time and no energy counter to us"
    found = Diagnosis(
        machine={"os": "Darwin", "vcpus": "8"},
        findings=(Finding("node", "absent", text),),
        total=None,
        gains=(),
        zone=WORLD,
        ledger=LedgerState(tmp_path / "ledger.db", None, 0),
        warnings=("submeter.toml: unknown key “pu”",),
    )
    said = "\n".join(doctor_lines(found))
    assert "machine   8 processors, Darwin: energy is read on Linux only" in said
    assert "total     unknown: nothing here can be measured or modelled" in said
    assert "unknown key" in said
    assert found.to_dict()["typical_hour"] == {"missing": "nothing can be measured or modelled"}


def test_an_interval_beyond_a_factor_of_two_has_no_plus_minus(tmp_path: Path) -> None:
    wide = Finding("CPU", "modelled", "modelled −60 … +148 %, by family", interval_ratio=1.04)
    narrow = Finding("DRAM", "modelled", "by capacity", interval_ratio=0.35)
    found = Diagnosis(
        {}, (wide, narrow), None, (), WORLD, LedgerState(tmp_path / "l.db", None, 0), ()
    )
    lines = list(doctor_lines(found))
    assert "CPU       modelled          −60 … +148 %, by family" in lines
    assert "DRAM      modelled ±35 %    by capacity" in lines
