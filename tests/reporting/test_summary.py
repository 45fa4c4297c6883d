# SPDX-License-Identifier: Apache-2.0
"""Fifteen lines, eighty columns, the answer first: for any run that there can be."""

import re
import time
import unicodedata
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from syrupy.assertion import SnapshotAssertion

from submeter.accounting.boundaries import footprint
from submeter.records.devices import DeviceKind
from submeter.records.figures import Basis, ErrorTerm, Missing, Quantity
from submeter.records.runs import MetricPoint, PhaseEnergy, RankEnergy, Run, Status
from submeter.reporting.summary import MOST_LINES, per_work, summary
from submeter.reporting.tables import WAYS, details
from submeter.reporting.text import columns
from tests.reporting.examples import (
    amount,
    device,
    digits,
    eight_boards,
    measured,
    modelled,
    nothing,
    phase,
)

EVIL = "run\x1b[2J\x1b]0;owned\x07\u202egnp.\r\nrm -rf ~; $(reboot)"


def told(run: Run, width: int = 80) -> str:
    return summary(run, amount(run), width)


def forty_phases() -> Run:
    rows = tuple(phase(f"block{i:02}/forward", measured(10.0 * (i + 1))) for i in range(40))
    return structs.replace(digits(), phases=rows)


def mostly_measured() -> Run:
    return structs.replace(
        digits(),
        devices=(
            device("gpu:GPU-1", DeviceKind.GPU, measured(3e6)),
            device("rest:box", DeviceKind.REST, measured(4e5, "plug")),
        ),
        phases=(),
    )


RUNS = {
    "digits": digits(),
    "eight boards": eight_boards(),
    "eight boards, one lost": eight_boards(lost=True),
    "nothing known": nothing(),
    "forty phases": forty_phases(),
    "evil names": structs.replace(
        digits(),
        name=EVIL,
        metrics={EVIL: 1.0},
        phases=(phase(EVIL, measured(5.0)),),
        notes=(EVIL,),
    ),
    "failed with gaps": structs.replace(
        digits(),
        status="failed",
        exit_code=3,
        gaps_s=0.8,
        work={"samples": 0.0},
        notes=("the collector was killed and restarted after 0.4 s", "GPU 3 was lost after 40 s"),
    ),
    "below resolution": structs.replace(
        digits(),
        duration_s=0.02,
        devices=(
            device(
                "cpu:0",
                DeviceKind.CPU,
                Quantity.of(0.1, basis=Basis.MEASURED, bound_low=0.2, bound_high=0.3),
            ),
        ),
        phases=(),
    ),
    "mostly measured": mostly_measured(),
}


@pytest.mark.parametrize("name", RUNS)
def test_summaries_as_a_person_sees_them(name: str, snapshot: SnapshotAssertion) -> None:
    assert told(RUNS[name]) == snapshot


@pytest.mark.parametrize("name", RUNS)
def test_details_as_a_person_sees_them(name: str, snapshot: SnapshotAssertion) -> None:
    run = RUNS[name]
    assert details(run, amount(run)) == snapshot


def clean(text: str) -> bool:
    return not any(unicodedata.category(c)[0] == "C" for c in text.replace("\n", ""))


words = st.text(st.characters(codec=None), max_size=30)
energies = st.one_of(
    st.builds(Missing, words),
    st.builds(
        lambda j, basis, sd, bound: Quantity.of(
            j,
            basis=basis,
            terms=(ErrorTerm("x", sd),),
            bound_low=bound,
            bound_high=bound,
        ),
        st.floats(0, 1e12),
        st.sampled_from(list(Basis)),
        st.floats(0, 2),
        st.floats(0, 10),
    ),
)
numbers = st.floats()
runs = st.builds(
    Run,
    id=words,
    name=words,
    origin=st.just("measured"),
    status=st.sampled_from(get_args(Status)),
    started_utc=words,
    duration_s=st.floats(0, 1e8),
    exit_code=st.none() | st.integers(-64, 255),
    command=st.lists(words, max_size=3).map(tuple),
    tags=st.dictionaries(words, words, max_size=3),
    devices=st.lists(
        st.builds(device, words, st.sampled_from(list(DeviceKind)), energies), max_size=12
    ).map(tuple),
    phases=st.lists(
        st.builds(PhaseEnergy, words, st.integers(0, 9), st.floats(0, 1e6), energies), max_size=45
    ).map(tuple),
    outside_phases=energies,
    metrics=st.dictionaries(words, numbers, max_size=6),
    work=st.dictionaries(st.sampled_from(["samples", "tokens", "steps"]), numbers, max_size=3),
    gaps_s=st.floats(0, 1e6),
    notes=st.lists(words, max_size=6).map(tuple),
)


@pytest.fixture(autouse=True)
def one_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times are shown by the local clock: that of London, in winter."""
    monkeypatch.setenv("TZ", "UTC0")
    time.tzset()


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    deadline=None,
)
@given(run=runs, width=st.integers(40, 120))
def test_f21_any_run_fits_and_cannot_touch_the_terminal(run: Run, width: int) -> None:
    text = summary(run, amount(run), width)
    lines = text.split("\n")
    assert len(lines) <= MOST_LINES
    assert max(columns(line) for line in lines) <= width
    assert clean(text)
    whole = details(run, amount(run), width=width)
    assert clean(whole)
    assert max(columns(line) for line in whole.split("\n")) <= width


def test_assumptions_beyond_a_fifth_are_said_first() -> None:
    soft = told(digits())
    assert soft.index("50 % assumed (rest of node,") < soft.index("50 % modelled")
    assert soft.index("50 % modelled") < soft.index("nothing measured")
    run = mostly_measured()
    sure = summary(run, footprint(run, 1.02))
    assert sure.index("98 % measured") < sure.index("2 % derived")


def test_a_run_of_which_all_is_measured_says_so() -> None:
    run = mostly_measured()
    assert "all measured" in summary(run, footprint(run, 1.0))
    assert "narrower" not in summary(run, footprint(run, 1.0))


def test_marks_stand_behind_what_was_not_measured() -> None:
    line = next(x for x in told(digits()).split("\n") if "by device" in x)
    assert line == "  by device cpu 0.16 Wh ~ · dram 0.14 Wh ~ · rest of node 0.13 Wh ?"
    assert "~" not in told(mostly_measured())


def test_a_lost_board_makes_the_headline_a_lower_bound() -> None:
    text = told(eight_boards(lost=True))
    assert "at least" in text
    assert "1 of them unknown" in text
    assert "GPU-7: lost before its first reading" in text


def test_nothing_known_is_a_dash_and_a_reason() -> None:
    text = told(nothing())
    assert "energy    — no device of this run could be read or modelled" in text
    assert "0 Wh" not in text
    assert "0 J" not in text


@pytest.mark.parametrize("samples", [0.0, 1e-300, -1.0, float("nan"), float("inf")])
def test_g06_no_work_done_is_not_defined(samples: float) -> None:
    run = structs.replace(digits(), work={"samples": samples})
    (said,) = per_work(run, amount(run))
    assert said.startswith("energy per sample not defined")


def test_g06_no_time_and_no_work_divide_by_nothing() -> None:
    run = structs.replace(nothing(), gaps_s=1.0)
    assert "(—)" in told(run)
    assert per_work(run, amount(run)) == []


def test_tokens_count_where_no_sample_was_logged() -> None:
    run = structs.replace(digits(), work={"tokens": 1e6})
    assert per_work(run, amount(run))[0].endswith("J per token, at the wall")


def test_g01_a_phase_shorter_than_a_step_is_below_resolution() -> None:
    line = next(x for x in told(digits()).split("\n") if "augment" in x)
    assert "augment below resolution (≤ 0.3 J)" in line


def test_the_next_command_can_be_typed_as_it_stands() -> None:
    assert "→ submeter show digits " in told(digits())
    evil = told(structs.replace(digits(), name="two words"))
    assert "→ submeter show 20261123-160000-ab12 " in evil


def test_only_the_ways_asked_for_are_shown() -> None:
    run = digits()
    text = details(run, amount(run), by=("phase",))
    assert "by phase" in text
    assert "by device" not in text
    assert "factor" not in text
    assert set(WAYS) == {"device", "phase", "rank", "metric"}


@pytest.mark.parametrize("status", get_args(Status))
def test_every_status_has_its_words(status: Status) -> None:
    first = told(structs.replace(digits(), status=status)).split("\n")[0]
    assert first.startswith("digits · ")
    assert status in first


def test_what_could_not_be_separated_is_told_once() -> None:
    joint = modelled(500.0)
    rows = (
        phase("forward", joint, joint_with=("backward",)),
        phase("backward", joint, joint_with=("forward",)),
        phase("load", modelled(100.0)),
    )
    text = told(structs.replace(digits(), phases=rows))
    assert "forward + backward 32 %" in text
    assert text.count("32 %") == 1


def test_points_of_one_step_share_a_row_and_only_the_last_are_shown_unasked() -> None:
    points = tuple(
        MetricPoint(float(i), {"loss": 0.5} if i % 2 else {"accuracy": 0.9}, step=i // 2)
        for i in range(60)
    )
    run = structs.replace(digits(), metric_history=points)
    asked = details(run, amount(run), by=("metric",)).split("by metric")[1].splitlines()
    assert len(asked) == 1 + 30
    unasked = details(run, amount(run)).split("by metric")[1].split("\n\n")[0].splitlines()
    assert len(unasked) == 1 + 10
    assert unasked[-1].split() == ["59", "s", "29", "0.900", "0.500"]


def test_ranks_have_a_table_of_their_own() -> None:
    run = structs.replace(digits(), ranks=(RankEnergy(0, "a\x1b[1m", modelled(9.0)),))
    text = details(run, amount(run), by=("rank",))
    assert "by rank" in text
    assert "a" in text.splitlines()[-1]
    assert "by rank" not in details(digits(), amount(digits()), by=("rank",))


def test_a_column_goes_before_all_are_cut() -> None:
    rows = [structs.replace(d, method="by a model of many words") for d in digits().devices]
    run = structs.replace(digits(), devices=tuple(rows))
    narrow = details(run, amount(run), width=70)
    assert "how" not in narrow
    assert "…" not in narrow
    assert "drawn  how" in details(run, amount(run), width=120)
    alone = details(run, amount(run), by=("device",), width=60)
    assert "  dram:0: by a model of many words" in alone  # a line of its own


def test_rows_of_a_table_share_their_unit() -> None:
    text = details(digits(), amount(digits()), by=("phase",))
    table = text[text.index("by phase") :].splitlines()[1:]
    assert {word for line in table for word in ("Wh", "mWh", "kWh") if f" {word} " in line} == {
        "Wh"
    }


@pytest.mark.parametrize("width", [40, 45, 50, 55, 59])
def test_a_narrow_summary_never_cuts_an_interval(width: int) -> None:
    for run in (digits(), mostly_measured(), eight_boards()):
        text = told(run, width=width)
        energy = text[: text.index("by device")]
        assert energy.count("(") == energy.count(")")
        assert re.search(r"\([\d.]+ – [\d.]+\)", energy)
