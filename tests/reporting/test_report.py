# SPDX-License-Identifier: Apache-2.0
"""Reports: the same numbers in each format, and nothing that loads or runs."""

import json
import math
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from submeter.accounting.boundaries import footprint
from submeter.records.amounts import Amount
from submeter.records.devices import Device, DeviceKind
from submeter.records.figures import Basis, Missing, Quantity
from submeter.records.runs import DeviceEnergy, MetricPoint, PhaseEnergy, Run, Series
from submeter.reporting.report import charts, writing
from submeter.reporting.report.content import document_of

TRAP = '<script>alert(1)</script> "=HYPERLINK("x")" \u202eevil `x` | *b* #let x = [#read("/etc")]'


def run_of(name: str = "digits", *, slots: int = 30, boards: int = 2) -> Run:
    devices = [
        DeviceEnergy(Device(f"gpu:GPU-{i}", DeviceKind.GPU, "A100", "h"),
                     (q := Quantity.of(100.0 * slots, basis=Basis.MEASURED)), q, "energy counter")
        for i in range(boards)
    ]  # fmt: skip
    rest = Quantity.of(40.0 * slots, basis=Basis.ASSUMED)
    devices.append(DeviceEnergy(Device("rest:h", DeviceKind.REST, "rest", "h"), rest, rest))
    half = Quantity.of(50.0 * slots * boards, basis=Basis.MEASURED)
    return Run(
        "20261123-120000-abcd", "measured", "finished", "2026-11-23T12:00:00Z", float(slots),
        name=name,
        devices=tuple(devices),
        phases=(
            PhaseEnergy("train", 3, slots * 0.9, half,
                        {f"gpu:GPU-{i}": 80.0 * slots for i in range(boards)}),
            PhaseEnergy("evaluate", 1, slots * 0.1, Missing("too short")),
        ),
        metrics={"accuracy": 0.9},
        metric_history=tuple(
            MetricPoint(t, {"accuracy": 1 - 1 / (1 + t)}) for t in (5.0, 10.0, 20.0, slots - 1.0)
        ),
        work={"samples": 1000.0},
        series=Series(1.0, {**{f"gpu:GPU-{i}": [100.0] * slots for i in range(boards)},
                            "rest:h": [40.0] * slots}),
        command=("python", name),
    )  # fmt: skip


class Page(HTMLParser):
    """Which tags and addresses a page has, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in {"src", "href", "xlink:href"}]

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(run: Run) -> str:
    return writing.html(document_of(run, footprint(run, 1.2)))


def test_the_page_has_the_answer_and_each_chart_its_table() -> None:
    page = Page(page_of(run_of()))
    assert page.tags.count("figure") == 3  # power, joules, quality
    assert page.text.count("The numbers behind it") == 3
    assert "Electricity at the wall" in page.text
    assert page.tags.count("h1") == 1


def test_nothing_loads_from_outside_and_nothing_can_run() -> None:
    page = page_of(run_of())
    found = Page(page)
    assert not {"script", "iframe", "object", "link"} & set(found.tags)
    assert all(a.startswith(("#", "data:")) for a in found.addresses)
    assert "default-src 'none'" in page
    outside = set(re.findall(r"https?://[^\s\"'<]+", page)) - {
        "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink",
    }  # fmt: skip
    assert not outside


def test_f02_f03_names_with_markup_are_shown_as_text_in_each_format() -> None:
    run = run_of(TRAP)
    run = structs.replace(run, metrics={TRAP: 1.0}, work={TRAP: 3.0})
    document = document_of(run, footprint(run, 1.2))
    page = Page(writing.html(document))
    assert "script" not in page.tags
    assert "<script>alert(1)" in page.text
    assert "\u202e" not in page.text
    text = writing.markdown(document)
    assert "<script>" not in text.replace("\\<script\\>", "")
    assert writing.pdf(document).startswith(b"%PDF")


@settings(max_examples=20, deadline=None)
@given(st.text(max_size=60))
def test_any_name_makes_a_page_of_the_same_tags(name: str) -> None:
    usual, odd = (Page(page_of(run_of(n, slots=1))) for n in ("digits", name))
    assert usual.tags == odd.tags


def test_the_same_run_gives_the_same_bytes() -> None:
    run = run_of()
    document = document_of(run, footprint(run, 1.2))
    for write in (writing.html, writing.markdown, writing.pdf):
        assert write(document) == write(document)


def test_a_day_on_eight_boards_stays_small() -> None:
    page = page_of(run_of(slots=86_400, boards=8))
    assert len(page.encode()) < 600_000


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=3000), st.integers(2, 480))
def test_thinning_keeps_energy_and_peak(energies: list[float], bins: int) -> None:
    run = structs.replace(run_of(boards=1), series=Series(1.0, {"gpu:GPU-0": energies}))
    (row,) = charts.power_of(run, bins)
    assert len(row.mean_w) <= bins
    assert max(row.peak_w) == max(energies)
    size = math.ceil(len(energies) / bins)
    lengths = [min(size, len(energies) - i) for i in range(0, len(energies), size)]
    total = math.fsum(w * n for w, n in zip(row.mean_w, lengths, strict=True))
    assert total == pytest.approx(math.fsum(energies), rel=1e-9, abs=1e-9)


def test_the_peak_of_the_node_is_told_and_not_the_sum_of_peaks_that_fell_apart() -> None:
    lone = [0.0] * 1000
    gpu, rest = lone.copy(), lone.copy()
    gpu[100], rest[900] = 300.0, 200.0
    run = structs.replace(run_of(), series=Series(1.0, {"gpu:GPU-0": gpu, "rest:h": rest}))
    whole = charts.whole_power_of(run)
    assert whole is not None
    assert max(whole.peak_w) == 300.0
    spec = charts.power_chart(charts.power_of(run), run.duration_s, whole)
    _, peaks = spec["layer"]
    assert max(row["w"] for row in peaks["data"]["values"]) == 300.0
    assert "at most 300 W" in page_of(run)


def test_a_short_run_has_no_line_of_peaks() -> None:
    run = run_of(slots=30)
    assert "layer" not in charts.power_chart(
        charts.power_of(run), run.duration_s, charts.whole_power_of(run)
    )


def test_a_series_without_readings_has_no_chart() -> None:
    run = structs.replace(run_of(), series=Series(1.0, {"gpu:GPU-0": [], "rest:h": []}))
    assert charts.whole_power_of(run) is None
    assert charts.spent_until(run, [1.0], 1.2) == []
    assert "Power over time" not in page_of(run)


def test_water_of_which_a_part_is_unknown_is_told_as_a_lower_bound() -> None:
    run = run_of()
    reckoned = footprint(run, 1.2)
    offsite = Amount.of(Quantity.of(3.0, basis=Basis.DERIVED))
    for onsite, said in ((Missing("no cooling known"), True), (offsite, False)):
        water = structs.replace(reckoned.water, onsite=onsite, offsite=offsite)
        page = writing.html(document_of(run, structs.replace(reckoned, water=water)))
        assert ("a lower bound: without water on-site" in page) is said


def test_each_row_of_the_icicle_splits_the_one_above_to_the_joule() -> None:
    run = run_of()
    prints = footprint(run, 1.2)
    assert not isinstance(prints.facility, Missing)
    assert not isinstance(prints.node, Missing)
    blocks = charts.blocks_of(run, prints.facility.value, prints.node.value)
    for level in (1, 2):
        total = sum(b.end_j - b.begin_j for b in blocks if b.level == level)
        above = prints.facility.value if level == 1 else prints.node.value
        assert total == pytest.approx(above)
    for board in (b for b in blocks if b.role == "gpu"):
        below = [b for b in blocks if b.level == 3 and board.begin_j <= b.begin_j < board.end_j]
        assert sum(b.end_j - b.begin_j for b in below) == pytest.approx(
            board.end_j - board.begin_j
        )


def test_specifications_are_plain_data() -> None:
    run = run_of()
    specs = writing.specifications(document_of(run, footprint(run, 1.2)))
    assert set(specs) == {"power", "joules", "quality"}
    assert json.loads(json.dumps(specs)) == specs


def test_a_run_that_knows_nothing_still_has_a_page() -> None:
    run = Run("20261123-120000-0000", "published", "finished", "", 0.0)
    page = Page(page_of(run))
    assert "—" in page.text
    assert "figure" not in page.tags
