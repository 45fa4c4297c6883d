# SPDX-License-Identifier: Apache-2.0
"""``submeter claim``: what was bought, what each run uses of it, and the way back."""

import os
import subprocess
import sys

import msgspec
import pytest

from submeter.accounting.published import published_run
from submeter.records import Basis, Device, DeviceKind, Quantity, Run
from submeter.records.runs import DeviceEnergy, Origin
from submeter.storing.ledger import open_ledger
from tests.cli.stage import Stage
from tests.cli.stage import stage as bare_stage

__all__ = ["bare_stage"]

_NONE = subprocess.DEVNULL
RUN, OTHER = "20261123-120001-0001", "20261123-120002-0002"
GO = ("claim", "add", "--kind", "GO", "--zone", "de", "--year", "2026", "--registry", "HKNR")


@pytest.fixture(autouse=True)
def _no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Paris")  # a guess is no market


@pytest.fixture
def stage(bare_stage: Stage) -> Stage:
    """Two runs of exactly 1 kWh at a facility without overhead, in Germany and nowhere."""
    bare_stage.home.mkdir()
    energy = Quantity.of(3.6e6, basis=Basis.MEASURED)
    device = DeviceEnergy(Device("cpu:0", DeviceKind.CPU, "cpu", "here"), energy, energy)
    run = Run(RUN, "measured", "finished", "2026-11-23T12:00:01Z", 1.0, name="digits",
              devices=(device,), place={"zone": "DE", "pue": "1.0"})  # fmt: skip
    with open_ledger(bare_stage.home / "ledger.db") as ledger:
        ledger.put(run)
        ledger.put(msgspec.structs.replace(run, id=OTHER, name="lost", place={"pue": "1.0"}))
    return bare_stage


def left_wh(stage: Stage) -> list[int]:
    return [c["free_wh"] for c in stage.call("claim", "list", "--json").document["claims"]]


def test_bought_used_retired_and_back(stage: Stage) -> None:
    added = stage.call(*GO, "--mwh", "0.0015", "--fuel", "Wind", "--id", "EECS-1")
    assert (added.code, added.out) == (0, "entered GO EECS-1 (1.5 kWh, DE 2026)\n")
    assert added.err == "undo: submeter claim undo\n"
    used = stage.call("claim", "use", "digits")
    assert used.out == f"digits ({RUN}) uses 1 kWh of GO EECS-1 (1.5 kWh, DE 2026)\n"
    assert left_wh(stage) == [500]
    again = stage.call("claim", "use", "digits", "--mwh", "0.0001")
    assert again.code == 2
    assert "no more can be claimed" in again.err
    over = stage.call("claim", "use", OTHER, "--zone", "DE")
    assert over.code == 7
    assert "500 Wh are left" in over.err
    assert stage.call("claim", "undo").out == f"taken back: use by run {RUN}\n"
    assert left_wh(stage) == [1500]
    assert stage.call("claim", "undo").out == "taken back: claim EECS-1\n"
    assert left_wh(stage) == []
    assert stage.call("claim", "undo").code == 2


def test_several_who_claim_for_a_run_at_once_claim_what_it_used(stage: Stage) -> None:
    """Each process by itself would be right: 400 Wh of 1000; three of them would not."""
    stage.call(*GO, "--mwh", "1")
    words = [sys.executable, "-m", "submeter", "claim", "use", RUN, "--mwh", "0.0004"]
    env = {**os.environ, "SUBMETER_HOME": str(stage.home)}
    started = [subprocess.Popen(words, env=env, stdout=_NONE, stderr=_NONE) for _ in range(4)]
    assert sorted(one.wait(timeout=120) for one in started) == [0, 0, 2, 2]
    assert left_wh(stage) == [999_200]


def test_a_removed_run_gives_back_what_is_not_retired(stage: Stage) -> None:
    stage.call(*GO, "--mwh", "1")
    for name in (RUN, OTHER):
        assert stage.call("claim", "use", name, "--mwh", "0.0004", "--zone", "DE").code == 0
    retired = stage.call("claim", "retire", OTHER, "--statement", "HKNR 4711")
    assert retired.out.startswith("retired 400 Wh of GO go-de-2026-1")
    listed = stage.call("claim", "list")
    assert "HKNR 4711" in listed.out
    assert "999.2 kWh" in listed.out
    for name in (RUN, OTHER):
        assert stage.call("rm", name, "--yes").code == 0
    assert left_wh(stage) == [999_600]
    assert stage.call("claim", "release", OTHER).out == "released 0 Wh\n"
    assert stage.call("claim", "undo").code == 2


def test_released_by_hand(stage: Stage) -> None:
    stage.call(*GO, "--mwh", "1")
    stage.call("claim", "use", RUN, "--mwh", "0.0004")
    assert stage.call("claim", "release", "digits").out == "released 400 Wh\n"
    assert stage.call("claim", "release", "nobody").code == 6


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("--zone", "US", "--kind", "REC"), "market of US"),
        (("--year", "2020"), "too old"),
        (("--year", "2027"), "after the electricity"),
    ],
)
def test_claims_that_do_not_fit_the_run_are_refused(
    stage: Stage, changes: tuple[str, ...], words: str
) -> None:
    assert stage.call(*GO, "--mwh", "1", "--id", "lot", *changes).code == 0
    for more in ((), ("--id", "lot")):
        refused = stage.call("claim", "use", RUN, *more)
        assert refused.code == 2
        assert words in refused.err
    assert left_wh(stage) == [1_000_000]


def test_a_run_without_a_market_is_asked_for_one(stage: Stage) -> None:
    stage.call(*GO, "--mwh", "1")
    asked = stage.call("claim", "use", OTHER)
    assert asked.code == 2
    assert "--zone DE" in asked.err
    assert stage.call("claim", "use", OTHER, "--zone", "Atlantis").code == 4
    assert stage.call("claim", "use", OTHER, "--zone", "france").code == 0
    unknown = stage.call("claim", "use", RUN, "--id", "nothing")
    assert "no claim 'nothing'" in unknown.err


@pytest.mark.parametrize("origin", ["predicted", "replayed", "published"])
def test_electricity_that_nobody_used_here_is_claimed_for_by_none(
    stage: Stage, origin: Origin
) -> None:
    stage.call(*GO, "--mwh", "1")
    with open_ledger(stage.home / "ledger.db") as ledger:
        ledger.put(msgspec.structs.replace(ledger.get(RUN), id="another", origin=origin))
    refused = stage.call("claim", "use", "another")
    assert refused.code == 2
    assert f"is {origin}" in refused.err
    assert left_wh(stage) == [1_000_000]


def test_offsets_of_the_account_stand_beside_measured_runs_only(stage: Stage) -> None:
    stage.call("claim", "add", "--kind", "offset", "--tonnes", "2.5", "--year", "2023",
               "--registry", "Verra")  # fmt: skip
    theirs = published_run(name="theirs", energy_kwh=5, scope="it", zone="DE")
    with open_ledger(stage.home / "ledger.db") as ledger:
        ledger.put(theirs)
    assert "Verra" in stage.call("show", RUN).out
    assert "Verra" not in stage.call("show", "theirs").out
    assert stage.call("show", "theirs", "--json").document["carbon"]["offsets"] == []


def test_offsets_are_listed_apart(stage: Stage) -> None:
    added = stage.call("claim", "add", "--kind", "offset", "--tonnes", "2.5", "--year", "2023",
                       "--registry", "Verra")  # fmt: skip
    assert added.out == "entered offset offset-2023-1 (2.5 tCO2e, 2023)\n"
    listed = stage.call("claim", "list")
    assert "apart" in listed.out
    assert "none is entered" in stage.call("claim", "use", RUN).err


@pytest.mark.parametrize(
    "wrong",
    [
        ("--kind", "GO", "--year", "2026", "--zone", "DE"),
        ("--kind", "GO", "--year", "2026", "--zone", "DE", "--tonnes", "1"),
        ("--kind", "offset", "--year", "2026", "--mwh", "1"),
        ("--kind", "GO", "--year", "2026", "--mwh", "1"),
        ("--kind", "GO", "--year", "2026", "--zone", "DE", "--mwh", "much"),
        ("--kind", "magic", "--year", "2026", "--mwh", "1"),
        (*GO[2:], "--mwh", "1e99999999999"),
        (*GO[2:], "--mwh", "1e-99999999999"),
        (*GO[2:], "--mwh", "snan"),
        (*GO[2:], "--mwh", "1", "--fuel", "unobtainium"),
        (*GO[2:], "--mwh", "1", "--id", "EECS\u202e-1"),
        (*GO[2:], "--mwh", "1", "--id", "EECS\n1"),
        (*GO[2:], "--mwh", "1", "--id", "\x1b[31mred"),
        (*GO[2:], "--mwh", "1", "--id", " "),
        (*GO[2:], "--mwh", "1", "--id", "EECS\u200d1"),
        (*GO[2:], "--mwh", "1", "--registry", "HK\u202eNR"),
        (*GO[2:], "--mwh", "1", "--registry", "HK\x07NR"),
        (*GO[2:], "--mwh", "1", "--zone", "WORLD"),
        (*GO[2:], "--mwh", "1", "--zone", "EU27"),
    ],
)
def test_words_that_make_no_claim(stage: Stage, wrong: tuple[str, ...]) -> None:
    refused = stage.call("claim", "add", *wrong)
    assert refused.code == 2
    assert "Traceback" not in refused.err
    assert left_wh(stage) == []


def test_a_source_is_entered_by_its_name_in_the_catalog(stage: Stage) -> None:
    assert stage.call(*GO, "--mwh", "1", "--fuel", "Biomass", "--id", "Ünïkod №1").code == 0
    (entered,) = stage.call("claim", "list", "--json").document["claims"]
    assert (entered["fuel"], entered["id"]) == ("bioenergy", "Ünïkod №1")


def test_without_claims_the_list_is_empty_and_makes_no_file(stage: Stage) -> None:
    listed = stage.call("claim", "list")
    assert (listed.code, listed.out) == (0, "")
    assert "submeter claim add" in listed.err
    assert stage.call("claim", "list", "--json").document == {
        "schema": 1,
        "claims": [],
        "runs": {},
    }
    assert not (stage.home / "claims.db").exists()
