# SPDX-License-Identifier: Apache-2.0
"""``show``: which run a word means, what is printed, and runs that still go on."""

from pathlib import Path

import msgspec
import pytest
from msgspec import structs

from submeter.collecting.order import Order
from submeter.interfaces.cli.lookup import look_up
from submeter.records.devices import Channel, Device, DeviceKind, Measures
from submeter.records.frames import Head, SensorHead, Started, Ticks, delta_encode
from submeter.records.runs import Run
from submeter.reporting.summary import per_work
from submeter.running.collectors import ORDER_FILE
from submeter.running.reckoning import reckoned
from submeter.storing.journal import JournalWriter
from submeter.storing.ledger import open_ledger
from tests.cli.stage import Stage, stage
from tests.reporting.examples import digits, eight_boards

__all__ = ["stage"]

S = 1_000_000_000
OTHER = structs.replace(
    digits(), id="20261123-150000-0a0a", started_utc="2026-11-23T15:00:00Z", name="digits"
)


def keep(stage: Stage, *runs: Run) -> None:
    with open_ledger(stage.home / "ledger.db") as ledger:
        for run in runs:
            ledger.put(run)


def shown_id(stage: Stage, *ref: str) -> str:
    done = stage.call("show", *ref, "--json")
    assert done.code == 0, done.err
    return str(done.document["run"]["id"])


def test_a_run_is_found_by_age_name_id_and_its_beginning(stage: Stage) -> None:
    keep(stage, OTHER, digits(), eight_boards())
    assert shown_id(stage) == shown_id(stage, "last") == eight_boards().id
    assert shown_id(stage, "last~1") == digits().id
    assert shown_id(stage, "last~2") == OTHER.id
    assert shown_id(stage, "digits") == digits().id
    assert shown_id(stage, OTHER.id) == shown_id(stage, "20261123-15") == OTHER.id


def test_further_back_than_there_are_runs_says_how_many_there_are(stage: Stage) -> None:
    keep(stage, OTHER, digits())
    done = stage.call("show", "last~7")
    assert done.code == 6
    assert done.err == "error: there are only 2 runs\ntry:   submeter show last~1\n"


def test_a_name_nobody_gave_is_an_error_of_the_ledger(stage: Stage) -> None:
    keep(stage, digits())
    assert stage.call("show", "nobody").code == 6


def test_what_is_shown_fits_a_terminal_and_answers_first(stage: Stage) -> None:
    keep(stage, digits())
    done = stage.call("show", "digits")
    lines = done.out.splitlines()
    assert lines[0] == "digits · finished in 1 min 12 s"
    assert max(map(len, lines)) <= 80
    assert "at the wall" in done.out
    assert done.err == ""


def test_only_the_way_asked_for_is_shown(stage: Stage) -> None:
    keep(stage, digits())
    by_phase = stage.call("show", "--by", "phase").out
    assert "by phase" in by_phase
    assert "by device" not in by_phase
    both = stage.call("show", "--by", "phase, device").out
    assert both.index("by phase") < both.index("by device")


def test_a_pue_on_the_command_line_moves_the_headline_only_and_is_said(stage: Stage) -> None:
    keep(stage, digits())
    asked = stage.call("show", "--json", "--pue", "1").document
    prior, (there,) = asked["here"], asked["there"]
    assert prior["energy"] == {
        name: figure
        for name, figure in stage.call("show", "--json").document["energy"].items()
        if name in prior["energy"]
    }
    declared = there["energy"]
    node_j = prior["energy"]["node"]["value"]
    assert declared["facility"]["value"] == declared["node"]["value"] == node_j
    assert prior["energy"]["facility"]["value"] > node_j
    assert there["name"] == "PUE 1.0"
    assert "PUE 1.0" in stage.call("show", "--pue", "1").out
    assert stage.call("show", "--pue", "0.5").code == stage.call("show", "--pue", "nan").code != 0


def test_a_later_setting_changes_no_figure_of_an_earlier_run(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = structs.replace(OTHER, place={"pue": "1.5"})
    keep(stage, digits(), told)
    before = [stage.call("show", r.id, "--json").document for r in (digits(), told)]
    monkeypatch.setenv("SUBMETER_PUE", "1.2")
    after = [stage.call("show", r.id, "--json").document for r in (digits(), told)]
    assert after == before
    assert after[1]["energy"]["factors"] == ["PUE 1.5, declared"]


def test_json_is_one_document_of_schema_1(stage: Stage) -> None:
    keep(stage, eight_boards(lost=True))
    made = stage.call("show", "--json").document
    assert made["schema"] == 1
    assert made["devices"][7]["energy"] == {"missing": "lost before its first reading"}


def begin(stage: Stage, run_id: str, name: str = "") -> JournalWriter:
    """A journal that is held open, as by a living collector: 5 s at 50 W so far."""
    folder: Path = stage.home / "runs" / run_id
    folder.mkdir(parents=True)
    cpu = Device("cpu:0", DeviceKind.CPU, "a processor", "box")
    channel = Channel(cpu.id, Measures.ENERGY, 1e-6, modulus=2**38)
    head = Head(
        schema=1,
        run_id=run_id,
        generation=0,
        host="box",
        boot_id="",
        collector_pid=1,
        leader_pid=1,
        utc_ns=1_795_449_600 * S,
        t_ns=S,
        interval_s=1.0,
        name=name,
        devices=(cpu,),
        sensors=(SensorHead(cpu.id, (channel,)),),
    )
    times = [S * i for i in range(1, 7)]
    counts: list[int | None] = list(delta_encode([50_000_000 * i for i in range(6)]))
    order = Order(run_id, str(folder), "", 1, 2**30, 1.0, 1_795_449_600 * S, S, name=name)
    (folder / ORDER_FILE).write_bytes(msgspec.json.encode(order))
    journal = JournalWriter(folder / "journal")
    ticks = Ticks(0, delta_encode(times), 0, [counts])
    journal.append(head, Started(S), ticks, sync=True)
    return journal


def test_a_run_that_goes_on_is_shown_as_far_as_it_is_known(stage: Stage) -> None:
    keep(stage, digits())
    journal = begin(stage, "20261123-190000-9f9f")
    try:
        found = look_up("last", stage.home)
        assert found.live
        assert found.run.status == "running"
        assert "running, 5.0 s so far" in stage.call("show").out
        made = stage.call("show", "20261123-19", "--json").document
        assert made["run"]["status"] == "running"
        assert made["energy"]["devices"]["value"] == pytest.approx(250, rel=0.01)
        assert shown_id(stage, "last~1") == digits().id
        assert shown_id(stage, "digits") == digits().id
    finally:
        journal.close()


def test_a_run_that_goes_on_is_not_told_as_if_it_had_ended(stage: Stage) -> None:
    journal = begin(stage, "20261123-190000-9f9f", "alive")
    try:
        run = look_up("alive", stage.home).run
        assert not any(n.startswith("ended without") for n in run.notes)
        assert any(n.startswith("so far") for n in run.notes)
        worked = structs.replace(run, work={"samples": 10.0})
        assert per_work(worked, reckoned(worked)) == []
        listed = stage.call("list", "--json", "--status", "running").document["runs"]
        assert [r["run"]["name"] for r in listed] == ["alive"]
        assert stage.call("list", "--status", "failed").out == ""
        keep(stage, digits())
        assert "running" in stage.call("list").out.splitlines()[1]
        for words in (["tag", "alive"], ["export", "last"], ["rm", "-y", "alive"]):
            done = stage.call(*words)
            assert done.code == 6
            assert "is still being metered" in done.err
    finally:
        journal.close()
    assert look_up("alive", stage.home).run.status == "killed"
    assert any(n.startswith("ended without") for n in look_up("alive", stage.home).run.notes)


def test_a_run_that_has_just_begun_is_listed_without_figures(stage: Stage) -> None:
    folder = stage.home / "runs" / "20261123-190000-9f9f"
    folder.mkdir(parents=True)
    journal = JournalWriter(folder / "journal")
    try:
        (row,) = stage.call("list", "--json").document["runs"]
        assert row["run"]["status"] == "running"
        assert "missing" in row["energy"]["facility"]
    finally:
        journal.close()


def test_a_run_that_goes_on_is_shown_before_there_is_any_ledger(stage: Stage) -> None:
    journal = begin(stage, "20261123-190000-9f9f")
    try:
        assert shown_id(stage) == "20261123-190000-9f9f"
        assert stage.call("show", "last~1").code == 6
    finally:
        journal.close()


def test_a_run_whose_collector_died_is_settled_before_it_is_shown(stage: Stage) -> None:
    begin(stage, "20261123-190000-9f9f").close()
    made = stage.call("show", "--json").document
    assert made["run"]["status"] == "killed"
    assert made["energy"]["devices"]["value"] == pytest.approx(250, rel=0.01)


def test_json_of_one_way_to_split_holds_that_and_the_run(stage: Stage) -> None:
    keep(stage, digits())
    made = stage.call("show", "--by", "phase", "--json").document
    assert set(made) == {"schema", "run", "energy", "phases", "outside_phases"}


@pytest.mark.parametrize("option", ["--zone", "--price", "--at", "--cooling", "--supply"])
def test_an_option_without_a_word_is_an_error_of_the_command_line(
    stage: Stage, option: str
) -> None:
    keep(stage, digits())
    for word in ("", "  "):
        done = stage.call("show", option, word)
        assert done.code == 2
        assert option in done.err


def test_a_time_after_all_years_is_an_error_with_a_remedy(stage: Stage) -> None:
    keep(stage, digits())
    done = stage.call("show", "--at", "9999-12-31T23:59:59")
    assert done.code == 2
    assert "years 1 to 9999" in done.err
