# SPDX-License-Identifier: Apache-2.0
"""The six providers: what they ask, and what they make of answers in their true shape."""

import base64
import math
from pathlib import Path

import pytest

from submeter.errors import CoverageError, PluginError, UsageError
from submeter.providers.csv_file import CsvFile
from submeter.providers.eia import Eia
from submeter.providers.electricity_maps import ElectricityMaps
from submeter.providers.entsoe import Entsoe
from submeter.providers.finding import BUILT_IN, Ask, Provider, Request, find
from submeter.providers.live import fetch
from submeter.providers.places import known
from submeter.providers.uk_carbon_intensity import UkCarbonIntensity
from submeter.providers.watttime import WattTime
from submeter.records.places import Zone
from submeter.records.traces import Kind, Trace
from submeter.testing.providers import GridProviderContract
from tests.providers.desk import (
    ANSWERS,
    CAISO,
    DE,
    GB,
    SECRET,
    Asked,
    Reply,
    at,
    clock_at,
    desk_of,
    factor_of,
    recorded,
)

NOW = "2026-11-20T12:10"
KEYS = dict.fromkeys(
    (
        "SUBMETER_ELECTRICITYMAPS_TOKEN",
        "SUBMETER_WATTTIME_USER",
        "SUBMETER_WATTTIME_PASSWORD",
        "SUBMETER_ENTSOE_TOKEN",
        "SUBMETER_EIA_KEY",
    ),
    SECRET,
)


def asked_of(
    provider: Provider, zone: Zone, start: str, end: str, scope: str | None = None
) -> Trace:
    return fetch(
        provider,
        zone,
        at(start),
        at(end),
        clock=clock_at(NOW),
        keys=KEYS,
        scope=scope,  # type: ignore[arg-type]
    )


def electricity_maps(asked: Asked) -> Reply:
    which = asked.path.rpartition("/")[2].replace("-", "_")
    return recorded(f"electricity_maps_{which}.json", zipped=True)


def test_electricity_maps_past() -> None:
    with desk_of(electricity_maps) as desk:
        trace = asked_of(
            ElectricityMaps(f"{desk.base}/v4"), DE, "2026-09-10T00:30", "2026-09-10T04:00"
        )
    (asked,) = desk.asked
    assert asked.path == "/v4/carbon-intensity/past-range"
    assert asked.headers["auth-token"] == SECRET
    assert asked.query["zone"] == ["DE"]
    assert asked.query["disableCallerLookup"] == ["true"]
    assert asked.query["start"] == ["2026-09-10T00:00Z"]
    assert asked.query["end"] == ["2026-09-11T00:00Z"]
    assert trace.values == (302, 298, 295, 301)
    assert (trace.start_utc_s, trace.step_s) == (at("2026-09-10T00:00"), 3600)
    assert trace.kind == Kind("average", "lifecycle", "consumption", "location")
    assert trace.shape == "metered"
    assert "1 of 4 slots were estimated by electricity-maps" in trace.notes


def test_electricity_maps_around_now() -> None:
    with desk_of(electricity_maps) as desk:
        trace = asked_of(
            ElectricityMaps(f"{desk.base}/v4"), DE, "2026-11-20T09:00", "2026-11-20T16:00"
        )
    assert [a.path.rpartition("/")[2] for a in desk.asked] == ["history", "forecast"]
    assert desk.asked[1].query["horizonHours"] == ["6"]
    assert trace.values == (410, 402, 396, 390, 371, 365, 383)
    assert trace.shape == "forecast"
    assert "4 of 7 slots are forecasts" in trace.notes
    assert trace.high_ratio == pytest.approx(math.exp(1.959964 * math.sqrt(math.log(1.0225))))


def test_electricity_maps_ten_days_at_a_time() -> None:
    with desk_of(electricity_maps) as desk:
        asked_of(ElectricityMaps(desk.base), DE, "2026-09-01T05:00", "2026-09-22T05:00")
    spans = [(a.query["start"][0][:10], a.query["end"][0][:10]) for a in desk.asked]
    assert spans == [
        ("2026-09-01", "2026-09-11"),
        ("2026-09-11", "2026-09-21"),
        ("2026-09-21", "2026-09-23"),
    ]


@pytest.mark.parametrize(
    ("code", "parents", "place"),
    [
        ("DE", ("WORLD",), "DE"),
        ("US-CAL-CISO", ("US",), "US-CAL-CISO"),
        ("SE-SE3", ("SE",), "SE-SE3"),
        ("US-CA", ("US", "WORLD"), "US"),
        ("CAMX", ("US", "WORLD"), "US"),
        ("CN-GD", ("CN", "WORLD"), "CN"),
        ("aws/us-west-2", ("US-NW-PACW", "US"), "US-NW-PACW"),
    ],
)
def test_electricity_maps_knows_zones_and_stand_ins(
    code: str, parents: tuple[str, ...], place: str
) -> None:
    zone = Zone(code, code, "subregion", "argument", parents=parents)
    assert ElectricityMaps().place(zone) == place


@pytest.mark.parametrize(
    ("zone", "note"),
    [
        (
            Zone("DE-BY", "Bavaria", "subregion", "argument", country="DE", parents=("DE",)),
            "DE stands for DE-BY",
        ),
        (Zone("DE", "Germany", "country", "time zone", country="DE"), ""),
    ],
    ids=["stand-in", "guessed"],
)
def test_a_place_that_nobody_named_is_more_doubtful(zone: Zone, note: str) -> None:
    with desk_of(recorded("entsoe_a75.xml")) as desk:
        provider = Entsoe(desk.base, factor_of=factor_of)
        sure, unsure = (
            asked_of(provider, z, "2026-11-10T00:00", "2026-11-10T02:00") for z in (DE, zone)
        )
    assert unsure.values == sure.values
    assert unsure.high_ratio > 1.05 * sure.high_ratio
    assert unsure.zone == zone.code
    assert note in " ".join(unsure.notes)
    assert "stands for" not in " ".join(sure.notes)


def watttime(asked: Asked) -> Reply:
    return recorded(f"watttime_{asked.path.rpartition('/')[2]}.json")


def test_watttime_past() -> None:
    with desk_of(watttime) as desk:
        trace = asked_of(WattTime(desk.base), CAISO, "2026-11-10T00:00", "2026-11-10T00:20")
    login, asked = desk.asked
    assert login.path == "/login"
    pair = base64.b64encode(f"{SECRET}:{SECRET}".encode()).decode()
    assert login.headers["Authorization"] == f"Basic {pair}"
    assert asked.path == "/v3/historical"
    assert asked.headers["Authorization"] == "Bearer eyJhbGciOi.hand-written.token"
    assert asked.query["region"] == ["CAISO_NORTH"]
    assert asked.query["signal_type"] == ["co2_moer"]
    # 870 lb/MWh: 870 × 453.59237 g / 1000 kWh
    assert trace.values == pytest.approx((394.6253619, 395.30575, 0, 413.67624), rel=1e-6)
    assert trace.step_s == 300
    assert trace.kind == Kind("marginal", "direct", "production", "location")


def test_watttime_ahead() -> None:
    with desk_of(watttime) as desk:
        trace = asked_of(WattTime(desk.base), CAISO, "2026-11-20T12:10", "2026-11-20T12:25")
    assert [a.path for a in desk.asked] == ["/login", "/v3/forecast"]
    assert desk.asked[1].query["horizon_hours"] == ["1"]
    assert trace.shape == "forecast"
    assert trace.values[1] == pytest.approx(810 * 0.45359237)


def uk_reply(asked: Asked) -> Reply:
    del asked
    return recorded("uk_carbon_intensity.json")


def test_uk_carbon_intensity() -> None:
    with desk_of(uk_reply) as desk:
        trace = asked_of(UkCarbonIntensity(desk.base), GB, "2026-11-20T10:30", "2026-11-20T13:00")
    (asked,) = desk.asked
    assert asked.path == "/intensity/2026-11-20T00:00Z/2026-11-21T00:00Z"
    assert trace.values == (181, 177, 179, 175, 171)
    assert trace.step_s == 1800
    assert trace.kind == Kind("average", "direct", "consumption", "location")
    assert trace.licence == "CC BY 4.0"
    assert "2 of 5 slots are forecasts" in trace.notes
    assert "1 of 5 slots were estimated by uk-carbon-intensity" in trace.notes


@pytest.mark.parametrize("code", ["GB-NIR", "GB-ORK", "IE", "DE"])
def test_uk_carbon_intensity_is_about_great_britain_only(code: str) -> None:
    zone = Zone(code, code, "subregion", "argument", parents=("GB",) if "-" in code else ())
    with pytest.raises(CoverageError, match="has no data"):
        UkCarbonIntensity().place(zone)


def test_entsoe_makes_intensity_of_generation() -> None:
    with desk_of(lambda _asked: recorded("entsoe_a75.xml", zipped=True)) as desk:
        trace = asked_of(
            Entsoe(desk.base, factor_of=factor_of), DE, "2026-11-10T00:00", "2026-11-10T02:00"
        )
    (asked,) = desk.asked
    assert {k: v[0] for k, v in asked.query.items()} == {
        "documentType": "A75",
        "processType": "A16",
        "in_Domain": "10Y1001A1001A83F",
        "periodStart": "202611100000",
        "periodEnd": "202611110000",
        "securityToken": SECRET,
    }
    # 10 GW lignite at 1000 and 10 GW wind at 10; then 8 with 24, then 8 with 32 repeated (A03).
    first, second, last = (1000 + 10) / 2, (8000 + 240) / 32, (8000 + 320) / 40
    assert trace.values == pytest.approx((first,) * 4 + (second,) + (last,) * 3)
    assert trace.step_s == 900
    assert trace.kind == Kind("average", "lifecycle", "production", "location")


def test_entsoe_in_the_scope_asked_for() -> None:
    with desk_of(lambda _asked: recorded("entsoe_a75.xml")) as desk:
        provider = Entsoe(desk.base, factor_of=factor_of)
        trace = asked_of(provider, DE, "2026-11-10T00:00", "2026-11-10T01:00", scope="direct")
    assert trace.values[0] == pytest.approx(0.8 * 505)
    assert trace.kind is not None
    assert trace.kind.scope == "direct"


def test_entsoe_without_data_says_so() -> None:
    with (
        desk_of(recorded("entsoe_nothing.xml")) as desk,
        pytest.raises(CoverageError, match="no generation of DE"),
    ):
        asked_of(Entsoe(desk.base), DE, "2026-11-10T00:00", "2026-11-10T02:00")


def test_g08_an_hour_without_a_fuel_that_matters_is_a_gap() -> None:
    """Where coal has not reported yet, the rest would look clean."""
    body = (ANSWERS / "entsoe_a75.xml").read_bytes()
    late = body.replace(
        b"<end>2026-11-10T02:00Z</end></timeInterval>\n      <resolution>PT60M</resolution>\n"
        b"      <Point><position>1</position><quantity>10000</quantity></Point>\n"
        b"      <Point><position>2</position><quantity>8000</quantity></Point>",
        b"<end>2026-11-10T01:00Z</end></timeInterval>\n      <resolution>PT60M</resolution>\n"
        b"      <Point><position>1</position><quantity>10000</quantity></Point>",
    )
    assert late != body
    with desk_of(Reply(late)) as desk:
        trace = asked_of(
            Entsoe(desk.base, factor_of=factor_of), DE, "2026-11-10T00:00", "2026-11-10T02:00"
        )
    assert trace.values == pytest.approx((505,) * 4 + (None,) * 4)
    assert any("without a fuel that matters" in note for note in trace.notes)


def test_eia_makes_intensity_of_generation() -> None:
    with desk_of(recorded("eia_fuel_type_data.json")) as desk:
        trace = asked_of(
            Eia(f"{desk.base}/v2", factor_of=factor_of),
            CAISO,
            "2026-11-10T00:00",
            "2026-11-10T02:00",
        )
    (asked,) = desk.asked
    assert asked.path == "/v2/electricity/rto/fuel-type-data/data/"
    assert asked.query["facets[respondent][]"] == ["CISO"]
    assert asked.query["data[0]"] == ["value"]
    assert asked.query["start"] == ["2026-11-10T01"]
    assert asked.query["end"] == ["2026-11-11T00"]
    assert asked.query["api_key"] == [SECRET]
    # The period 01 ends at 01:00. Batteries do not count, solar at night is none.
    assert trace.start_utc_s == at("2026-11-10T00:00")
    assert trace.values == pytest.approx(((6000 * 500 + 2000 * 10) / 8000, (500 + 10) / 2))


def test_e13_eia_does_not_take_a_part_for_the_whole() -> None:
    body = (
        (ANSWERS / "eia_fuel_type_data.json").read_bytes().replace(b'"total":"7"', b'"total":"9"')
    )
    with desk_of(Reply(body)) as desk, pytest.raises(OSError, match="only part"):
        asked_of(
            Eia(desk.base, factor_of=factor_of), CAISO, "2026-11-10T00:00", "2026-11-10T02:00"
        )


def test_generation_of_unknown_origin_widens_and_is_noted() -> None:
    body = (ANSWERS / "eia_fuel_type_data.json").read_bytes()
    traces = []
    for answer in (body, body.replace(b'"fueltype":"WND"', b'"fueltype":"OTH"')):
        with desk_of(Reply(answer)) as desk:
            provider = Eia(desk.base, factor_of=factor_of)
            traces.append(asked_of(provider, CAISO, "2026-11-10T00:00", "2026-11-10T02:00"))
    known_mix, unknown_mix = traces
    assert unknown_mix.values == pytest.approx((500, 500))
    assert unknown_mix.high_ratio > 1.3 * known_mix.high_ratio
    assert any("of unknown origin" in note for note in unknown_mix.notes)


def test_the_interval_of_a_mix_comes_from_its_factors() -> None:
    with desk_of(recorded("eia_fuel_type_data.json")) as desk:
        trace = asked_of(
            Eia(desk.base, factor_of=factor_of), CAISO, "2026-11-10T00:00", "2026-11-10T02:00"
        )
    gas, wind = 11_000 * 500.0, 7_000 * 10.0
    factor_sd = math.log(1.2) / 1.959964 * math.hypot(gas, wind) / (gas + wind)
    sd = math.hypot(factor_sd, 0.05)
    assert trace.high_ratio == pytest.approx(math.exp(1.959964 * math.sqrt(math.log1p(sd**2))))
    assert trace.low_ratio == pytest.approx(1 / trace.high_ratio)


@pytest.mark.parametrize("name", ["entsoe", "eia", "watttime"])
def test_places_are_well_formed(name: str) -> None:
    table = known(name)
    assert len(table) > 50
    for code, place in table.items():
        assert Zone(code, code, "country", "argument").code == code
        if name == "entsoe":
            assert len(place) == 16, place  # EIC codes have sixteen characters
        assert place.strip() == place != ""


@pytest.mark.parametrize(
    "make", [WattTime, Entsoe, Eia, UkCarbonIntensity, ElectricityMaps], ids=lambda m: m.name
)
def test_the_world_is_no_zone_of_a_provider(make: type[Provider]) -> None:
    world = Zone("WORLD", "world", "world", "world")
    with pytest.raises(CoverageError, match="world") as caught:
        make().place(world)
    assert "annual figure" in (caught.value.remedy or "")


@pytest.mark.parametrize(
    ("make", "scope"), [(WattTime, "lifecycle"), (UkCarbonIntensity, "lifecycle")]
)
def test_g09_a_scope_that_it_does_not_have_is_refused(make: type[Provider], scope: str) -> None:
    with pytest.raises(CoverageError, match=f"no {scope} intensities"):
        make().kind(scope)  # type: ignore[arg-type]


# ---- names and plug-ins ----


def test_all_built_in_providers_are_found_by_name(tmp_path: Path) -> None:
    for name in BUILT_IN:
        asked = f"csv:{tmp_path}/x.csv" if name == "csv" else name
        assert find(asked).name == name


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("electricitymaps", "electricity-maps"),
        ("entso-e", "entsoe"),
        ("qqqq", "providers are"),
        ("csv", "csv:"),
    ],
)
def test_an_unknown_name_is_met_with_the_nearest(name: str, remedy: str) -> None:
    with pytest.raises(UsageError) as caught:
        find(name)
    assert remedy in (caught.value.remedy or "")


def plug_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str) -> None:
    """Put a distribution with an entry point on the path, as pip would."""
    (tmp_path / "plugged_grid.py").write_text(code)
    about = tmp_path / "plugged_grid-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged-grid\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[submeter.grid]\nplugged = plugged_grid:make\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "plugged_grid", raising=False)


def test_a_plug_in_is_found_by_its_entry_point(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plug_in(
        monkeypatch,
        tmp_path,
        "from submeter.providers.uk_carbon_intensity import UkCarbonIntensity as make\n",
    )
    assert find("plugged").name == "uk-carbon-intensity"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise RuntimeError('boom')", "RuntimeError"),
        ("def make(): return object()", "has no name"),
        ("def make(needed): return 1", "TypeError"),
        ("", "AttributeError"),
    ],
)
def test_a_broken_plug_in_names_its_distribution(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str, words: str
) -> None:
    plug_in(monkeypatch, tmp_path, code)
    with pytest.raises(PluginError, match=words) as caught:
        find("plugged")
    assert "plugged-grid" in str(caught.value)
    assert caught.value.exit_code == 9


# ---- conformance ----


class _Recorded(GridProviderContract):
    zone = DE
    start, end, scope = "2026-11-10T00:00", "2026-11-10T02:00", None
    file = ""

    def ask(self, provider: Provider) -> Ask:
        return Ask(
            self.zone, provider.place(self.zone), at(self.start), at(self.end), at(NOW), self.scope
        )

    def answer(self, request: Request) -> bytes:
        del request
        return (ANSWERS / self.file).read_bytes()


class TestElectricityMaps(_Recorded):
    start, end = "2026-09-10T00:00", "2026-09-10T04:00"
    file = "electricity_maps_past_range.json"

    @pytest.fixture
    def provider(self) -> Provider:
        return ElectricityMaps()


class TestWattTime(_Recorded):
    zone, end = CAISO, "2026-11-10T00:20"

    def answer(self, request: Request) -> bytes:
        name = request.url.rpartition("/")[2]
        return (ANSWERS / f"watttime_{name}.json").read_bytes()

    @pytest.fixture
    def provider(self) -> Provider:
        return WattTime()


class TestUkCarbonIntensity(_Recorded):
    zone, start, end = GB, "2026-11-20T10:30", "2026-11-20T13:00"
    file = "uk_carbon_intensity.json"

    @pytest.fixture
    def provider(self) -> Provider:
        return UkCarbonIntensity()


class TestEntsoe(_Recorded):
    file = "entsoe_a75.xml"

    @pytest.fixture
    def provider(self) -> Provider:
        return Entsoe(factor_of=factor_of)


class TestEia(_Recorded):
    zone, file = CAISO, "eia_fuel_type_data.json"

    @pytest.fixture
    def provider(self) -> Provider:
        return Eia(factor_of=factor_of)


class TestCsvFile(_Recorded):
    def asks_nobody(self, provider: Provider) -> bool:
        del provider
        return True

    @pytest.fixture
    def provider(self, tmp_path: Path) -> Provider:
        path = tmp_path / "mine.csv"
        path.write_text(
            "# kind: average, direct, production\n# zone: DE\n# licence: own data\n"
            "timestamp,value\n2026-11-10T00:00Z,300\n2026-11-10T01:00Z,310\n"
        )
        return CsvFile(path)


# ---- with the catalog's own factors ----


def test_the_catalog_knows_the_fuels_of_both_mixes() -> None:
    """What has no factor would count as of unknown origin."""
    from submeter.catalog.facts import has
    from submeter.providers import eia, entsoe
    from submeter.providers.mixes import STORAGE, UNKNOWN

    fuels = {*eia.FUELS.values(), *entsoe.FUELS.values()} - {STORAGE, UNKNOWN}
    quantities = ("lifecycle_g_per_kwh", "direct_g_per_kwh")
    assert [f for f in fuels for q in quantities if not has("generation", f, q)] == []


def test_lignite_and_wind_by_the_catalog() -> None:
    with desk_of(recorded("entsoe_a75.xml")) as desk:
        trace = asked_of(Entsoe(desk.base), DE, "2026-11-10T00:00", "2026-11-10T02:00")
        direct = asked_of(
            Entsoe(desk.base), DE, "2026-11-10T00:00", "2026-11-10T02:00", scope="direct"
        )
    for whole, stack in zip(trace.values, direct.values, strict=True):
        assert whole is not None
        assert stack is not None
        assert 100 < stack < whole < 700  # of half to a fifth lignite
    assert 1.05 < trace.high_ratio < 2
