# SPDX-License-Identifier: Apache-2.0
"""``submeter grid``: offline by itself, live when asked, and what stands in when that fails."""

from pathlib import Path

import pytest

from submeter.records.places import Zone
from submeter.records.traces import Kind, Trace
from submeter.reporting.series import blocks, trace_document, trace_text
from tests.cli.stage import Stage, stage

__all__ = ["stage"]

DE = Zone("DE", "Germany", "country", "argument")


@pytest.mark.parametrize(
    ("values", "width", "drawn"),
    [
        ((1, 2, 3, 4, 5, 6, 7, 8), 8, "▁▂▃▄▅▆▇█"),
        ((1, None, 8), 8, "▁·█"),
        ((5, 5, 5), 8, "▄▄▄"),
        ((None, None), 8, "··"),
        ((0, 0, 10, 10), 2, "▁█"),
        ((0, None, 10, 10), 2, "▁█"),
        ((300,), 8, "▄"),
    ],
)
def test_a_series_is_drawn_in_blocks(
    values: tuple[float | None, ...], width: int, drawn: str
) -> None:
    assert blocks(values, width) == drawn


def trace(*values: float | None) -> Trace:
    return Trace(
        "k", "DE", "g/kWh", 1_790_000_000 // 3600 * 3600.0, 3600.0, values, 0.5, 2.0,
        Kind(), "metered", "somebody", 2026, "CC0", "live", ("one of three is missing",),
    )  # fmt: skip


def test_a_trace_in_words() -> None:
    text = trace_text(trace(100.0, None, 300.0), DE, 80)
    assert text.splitlines()[:4] == [
        "Germany (DE)",
        "  14 ▁·█ 17",
        "  time      2026-09-21 14:00 – 2026-09-21 17:00 UTC, 1 h each",
        "  range     100 – 300 g/kWh, mean 200 (100 – 400)",
    ]
    assert "note      one of three is missing" in text


def test_a_trace_in_json_has_its_gaps_and_its_interval() -> None:
    document = trace_document(trace(100.0, None, 300.0), DE)
    assert document["values"] == [100.0, {"missing": "no usable value"}, 300.0]
    assert document["mean"] == {
        "value": 200.0, "low": 100.0, "high": 400.0, "level": 0.95, "unit": "g/kWh",
        "source": "somebody",
    }  # fmt: skip
    assert trace_document(trace(None), DE)["mean"] == {"missing": "no slot has a value"}


def test_offline_by_itself(stage: Stage) -> None:
    called = stage.call("grid", "DE")
    assert (called.code, called.err) == (0, "")
    assert called.out.startswith("Germany (DE)\n")
    assert "average, lifecycle, consumption" in called.out
    assert not (stage.home / "grid").exists()
    document = stage.call("grid", "DE", "--json", "--hours", "-48").document
    assert document["kind"]["signal"] == "average"
    assert len(document["values"]) in {48, 49}
    assert document["mean"]["low"] < document["mean"]["value"] < document["mean"]["high"]


def test_e13_a_provider_without_key_is_stood_in_for(stage: Stage) -> None:
    called = stage.call("grid", "DE", "--provider", "entsoe")
    assert called.code == 0
    assert "offline figures, because entsoe wants a key" in " ".join(called.out.split())


def test_live_needs_a_provider(stage: Stage) -> None:
    called = stage.call("grid", "DE", "--live")
    assert called.code == 2
    assert "config set provider" in called.err


def test_the_provider_of_the_settings_is_asked_when_that_is_wanted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBMETER_PROVIDER", "watttime")
    assert "watttime" not in stage.call("grid", "US-CAL-CISO").out
    called = stage.call("grid", "US-CAL-CISO", "--live")
    assert called.code == 5  # marginal: no offline figure is of that kind
    assert "SUBMETER_WATTTIME_PASSWORD" in called.err


def test_a_file_of_ones_own(stage: Stage, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    rows = "".join(f"2026-11-{day:02d}T00:00Z,{day}\n" for day in range(1, 31))
    path.write_text(f"# kind: average, lifecycle, consumption\ntimestamp,value\n{rows}")
    called = stage.call("grid", "DE", "--provider", f"csv:{path}", "--hours", "8000")
    assert called.code == 0
    assert "DE" in called.out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("DE", "--provider", "entsoee"), "did you mean entsoe?"),
        (("DE", "--hours", "0"), "no time"),
        (("DE", "--hours", "9999"), "9999"),
        (("Nowhereland",), "Nowhereland"),
    ],
)
def test_what_makes_no_sense_is_said(stage: Stage, args: tuple[str, ...], words: str) -> None:
    called = stage.call("grid", *args)
    assert called.code != 0
    assert words in called.err
