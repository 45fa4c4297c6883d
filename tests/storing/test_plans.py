# SPDX-License-Identifier: Apache-2.0
"""Kept plans: whole or not at all, found by id and by being the last."""

import os
from pathlib import Path

import msgspec
import pytest

from submeter.errors import LedgerError, LedgerVersionError, PlanNotFoundError
from submeter.records.figures import Figure, Missing
from submeter.records.plans import Job, Plan, Slice
from submeter.storing import plans

NOW = 1_795_475_000.0


def plan(ident: str, made_s: float = NOW, **more: object) -> Plan:
    fields: dict[str, object] = {
        "id": ident, "made_s": made_s, "job": Job(8 * 3600.0, made_s, made_s + 20 * 3600.0),
        "zone": "DE", "signal": "average", "objective": "carbon",
        "slices": (Slice(made_s + 3600.0, made_s + 9 * 3600.0, "DE"),),
        "expected_saving": Figure(0.2, 0.1, 0.3, "ratio"),
        "expected": {"carbon_g": Figure(1.0, 0.5, 2.0, "g"), "cost": Missing("no price")},
    }  # fmt: skip
    return Plan(**(fields | more))  # type: ignore[arg-type]


def test_a_plan_comes_back_as_it_was(tmp_path: Path) -> None:
    made = plan(plans.new_plan_id(NOW), command=("python", "train.py", "ä b\n'"))
    path = plans.keep(made, tmp_path)
    assert path == tmp_path / "plans" / f"{made.id}.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert plans.find(made.id, tmp_path) == made
    assert plans.find("last-plan", tmp_path) == made


@pytest.mark.parametrize("last", [0, 1])
def test_the_last_plan_is_the_one_that_was_kept_last(last: int, tmp_path: Path) -> None:
    """A plan made as if it were next year (``--at``) does not hide those that are made then."""
    late = plan("plan-20271124-080000-0000")
    early = plan("plan-20261123-230000-ffff")
    for order, made in enumerate((late, early)):
        os.utime(plans.keep(made, tmp_path), (NOW, NOW + (order == last)))
    assert plans.find("last-plan", tmp_path) == (late, early)[last]
    assert [p.id for p in plans.plans(tmp_path)] == [early.id, late.id]


@pytest.mark.parametrize("ref", ["plan-20261124", "20261124-08", "plan-20261124-080000-0000"])
def test_the_beginning_of_an_id_is_enough(tmp_path: Path, ref: str) -> None:
    for ident in ("plan-20261124-080000-0000", "plan-20261123-230000-ffff"):
        plans.keep(plan(ident), tmp_path)
    assert plans.find(ref, tmp_path).id == "plan-20261124-080000-0000"


@pytest.mark.parametrize(
    ("ref", "words"),
    [("plan-2026", "several plans"), ("", "there is no plan"), ("../ledger", "there is no plan"),
     ("nobody", "there is no plan")],
)  # fmt: skip
def test_what_means_no_plan(tmp_path: Path, ref: str, words: str) -> None:
    for ident in ("plan-20261124-080000-0000", "plan-20261123-230000-ffff"):
        plans.keep(plan(ident), tmp_path)
    with pytest.raises(PlanNotFoundError, match=words):
        plans.find(ref, tmp_path)


def test_without_any_plan_the_way_to_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanNotFoundError) as caught:
        plans.find("last-plan", tmp_path)
    assert "submeter plan" in str(caught.value.remedy)
    assert plans.plans(tmp_path) == []


@pytest.mark.parametrize("ident", ["", "../x", "a/b", ".hidden", "x" * 200, "plan 1"])
def test_an_id_is_never_a_path(tmp_path: Path, ident: str) -> None:
    with pytest.raises(LedgerError, match="no id of a plan"):
        plans.keep(plan(ident), tmp_path)
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'{"schema": 1}', b'{"schema": 1, "plan": {"id": 3}}', b"\xff\xfe"]
)
def test_a_spoilt_plan_is_one_clear_error(tmp_path: Path, raw: bytes) -> None:
    good = plan("plan-20261123-230000-ffff")
    plans.keep(good, tmp_path)
    (tmp_path / "plans" / "plan-20261124-000000-0000.json").write_bytes(raw)
    with pytest.raises(LedgerError, match="spoilt"):
        plans.find("last-plan", tmp_path)
    assert plans.plans(tmp_path) == [good]


def test_a_plan_of_a_newer_version_is_told(tmp_path: Path) -> None:
    path = plans.keep(plan("plan-20261123-230000-ffff"), tmp_path)
    path.write_bytes(path.read_bytes().replace(b'"schema": 1', b'"schema": 2'))
    with pytest.raises(LedgerVersionError, match="newer"):
        plans.find("last-plan", tmp_path)


def test_h05_what_is_half_written_is_no_plan(tmp_path: Path) -> None:
    made = plan("plan-20261123-230000-ffff")
    plans.keep(made, tmp_path)
    (tmp_path / "plans" / ".plan-20261124-000000-0000.abc").write_bytes(b'{"schema": 1, "pl')
    assert plans.find("last-plan", tmp_path) == made


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_closed_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "plans").mkdir(mode=0o500)
    with pytest.raises(LedgerError, match="cannot be written"):
        plans.keep(plan("plan-20261123-230000-ffff"), tmp_path)


def test_where_a_file_stands_no_folder_can_be(tmp_path: Path) -> None:
    (tmp_path / "plans").write_text("mine")
    with pytest.raises(LedgerError, match="cannot be written"):
        plans.keep(plan("plan-20261123-230000-ffff"), tmp_path)


def test_a_command_of_other_bytes_than_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no text"):
        plans.keep(plan("plan-20261123-230000-ffff", command=("\udcff",)), tmp_path)
    assert not list((tmp_path / "plans").glob("*")) if (tmp_path / "plans").exists() else True


def test_a_plan_is_forgotten(tmp_path: Path) -> None:
    made = plan("plan-20261123-230000-ffff")
    plans.keep(made, tmp_path)
    assert plans.remove("last-plan", tmp_path) == made
    assert plans.plan_ids(tmp_path) == []


def test_the_file_is_json_that_others_can_read(tmp_path: Path) -> None:
    path = plans.keep(plan("plan-20261123-230000-ffff"), tmp_path)
    found = msgspec.json.decode(path.read_bytes())
    assert found["schema"] == 1
    assert found["plan"]["slices"][0]["zone"] == "DE"
