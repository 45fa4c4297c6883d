# SPDX-License-Identifier: Apache-2.0
"""Each fault that this version has to stand has a test that bears its id."""

from pathlib import Path

from benchmarks import faults


def test_ids_are_found_in_names(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(
        "def test_a01_wraps(): ...\nclass T:\n    def test_c01_c02_kills(self): ...\n"
        "def test_about_a03(): ...\n"
    )
    assert faults.named_after(tmp_path) == {"A01": 1, "C01": 1, "C02": 1}
    assert "A03" in faults.untested(tmp_path)
    assert "A01" not in faults.untested(tmp_path)


def test_a_fault_is_of_this_part_or_later() -> None:
    assert not faults.THIS_PART & faults.LATER.keys()


def test_each_fault_of_this_part_has_a_test() -> None:
    assert faults.untested() == []
