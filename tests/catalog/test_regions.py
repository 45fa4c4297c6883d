# SPDX-License-Identifier: Apache-2.0
"""Any word for a place finds its zone; what may mean two is refused with both named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.catalog.names import fold
from submeter.catalog.regions import FARTHEST_KM, Gazetteer, ZoneRow, find_zone, gazetteer
from submeter.catalog.tables import rows
from submeter.errors import CoverageError, SubmeterError, UsageError

COUNTRIES = [row for row in rows("zones") if row["kind"] == "country"]
REGIONS = rows("cloud_regions")
CODES = sorted(gazetteer().codes)

WORDS = [
    ("Germany", "DE"), ("deutschland", "DE"), ("DEU", "DE"), (" de ", "DE"),
    ("USA", "US"), ("U.S.A.", "US"), ("united states of america", "US"),
    ("UK", "GB"), ("England", "GB"), ("Great Britain", "GB"),
    ("South Korea", "KR"), ("Republic of Korea", "KR"), ("DPRK", "KP"),
    ("Czech Republic", "CZ"), ("Turkey", "TR"), ("TURKIYE", "TR"), ("Russia", "RU"),
    ("Ivory Coast", "CI"), ("CÔTE D’IVOIRE", "CI"), ("cote d'ivoire", "CI"), ("Curacao", "CW"),
    ("DR Congo", "CD"), ("Burma", "MM"), ("Holland", "NL"), ("Liechtenstein", "LI"),
    ("World", "WORLD"), ("EU", "EU27"), ("European Union", "EU27"),
    ("US-CAL-CISO", "US-CAL-CISO"), ("us_cal_ciso", "US-CAL-CISO"), ("DK-DK1", "DK-DK1"),
    ("CAMX", "CAMX"), ("camx", "CAMX"), ("US-CA", "US-CA"), ("California", "US-CA"),
    ("CA-ON", "CA-ON"), ("Ontario", "CA-ON"), ("Québec", "CA-QC"), ("quebec", "CA-QC"),
    ("AU-NSW", "AU-NSW"), ("Tasmania", "AU-TAS"),
]  # fmt: skip

MARKETS = [  # bidding zones and operators' areas as their operators write them
    ("DE-LU", "DE"), ("DE_LU", "DE"), ("DE-AT-LU", "DE"), ("IE_SEM", "IE"),
    ("DK1", "DK-DK1"), ("DK_1", "DK-DK1"), ("DK-DK2", "DK-DK2"), ("NO1", "NO-NO1"),
    ("NO_5", "NO-NO5"), ("SE1", "SE-SE1"), ("SE_4", "SE-SE4"), ("se-3", "SE-SE3"),
    ("IT-NORD", "IT-NO"), ("IT_NORD", "IT-NO"), ("IT_CNOR", "IT-CNO"),
    ("IT_CSUD", "IT-CSO"), ("IT_SUD", "IT-SO"), ("IT_CALA", "IT-SO"), ("IT_SICI", "IT-SIC"),
    ("IT_SARD", "IT-SAR"), ("CAISO", "US-CAL-CISO"), ("ERCOT", "US-TEX-ERCO"),
    ("PJM", "US-MIDA-PJM"), ("MISO", "US-MIDW-MISO"), ("NYISO", "US-NY-NYIS"),
    ("SPP", "US-CENT-SWPP"), ("ISO-NE", "US-NE-ISNE"), ("IESO", "CA-ON"), ("NSW1", "AU-NSW"),
    ("SA1", "AU-SA"),
]  # fmt: skip

CLOUDS = [
    ("us-west-2", "aws/us-west-2"), ("aws/us-west-2", "aws/us-west-2"),
    ("AWS:us-west-2", "aws/us-west-2"), ("amazon us-west-2", "aws/us-west-2"),
    ("us-west-2a", "aws/us-west-2"), ("us-central1-b", "gcp/us-central1"),
    ("europe-west4", "gcp/europe-west4"), ("gcp:europe-west4", "gcp/europe-west4"),
    ("google cloud europe-west4", "gcp/europe-west4"), ("Google/europe-west4", "gcp/europe-west4"),
    ("westeurope", "azure/westeurope"), ("West Europe", "azure/westeurope"),
    ("azure westeurope", "azure/westeurope"), ("West US 2", "azure/westus2"),
    ("US West (Oregon)", "aws/us-west-2"), ("ovh/de-frankfurt", "ovhcloud/de-frankfurt"),
]  # fmt: skip


@pytest.mark.parametrize(("word", "code"), WORDS)
def test_a_word_finds_its_zone(word: str, code: str) -> None:
    assert find_zone(word).code == code


@pytest.mark.parametrize(("word", "code"), MARKETS)
def test_a_bidding_zone_finds_the_zone_that_holds_it(word: str, code: str) -> None:
    row = find_zone(word)
    assert row.code == code
    assert len(code) == 2 or code[:2] in row.parents
    assert row.country == code[:2]


def test_each_name_of_a_place_belongs_to_one_that_has_rows() -> None:
    zones = {row["code"] for table in ("zones", "zones_odbl") for row in rows(table)}
    known = {row["key"] for row in rows("sources")}
    for row in rows("place_names"):
        assert row["source"] in known
        if row["source"] == "operators-zones":
            assert row["key"] in zones
            assert row["aliases"]
            assert find_zone(row["name"]).code == row["key"]


@pytest.mark.parametrize(("word", "cloud"), CLOUDS)
def test_a_word_finds_its_cloud_region(word: str, cloud: str) -> None:
    row = find_zone(word)
    assert (row.kind, row.cloud) == ("cloud region", cloud)


def test_every_country_of_the_grid_table_resolves_by_both_codes_and_its_name() -> None:
    grid = {row["key"] for row in rows("grid") if len(row["key"]) == 2}
    assert grid <= {row["code"] for row in COUNTRIES}
    assert len(COUNTRIES) >= 210
    ambiguous = {}
    for country in COUNTRIES:
        code = country["code"]
        for word in (code, code.lower(), country["alpha3"], country["alpha3"].title()):
            row = find_zone(word)
            assert (row.code, row.country, row.kind) == (code, code, "country"), word
            assert row.parents[-1] == "WORLD"
        try:
            assert find_zone(country["name"]).code == code
        except UsageError as exc:
            ambiguous[code] = str(exc)
    assert set(ambiguous) == {"GE"}, ambiguous  # and US-GA, the state
    assert "US-GA" in ambiguous["GE"]


def test_every_country_there_is_has_an_alpha_3_and_is_found() -> None:
    names = [row for row in rows("place_names") if row["alpha3"]]
    assert len(names) >= 249
    assert len({row["alpha3"] for row in names}) == len(names)
    for row in names:
        assert find_zone(row["alpha3"]).code == row["key"]


def test_a_country_without_a_grid_of_its_own_falls_back_to_the_world() -> None:
    row = find_zone("Monaco")
    assert (row.code, row.kind, row.parents) == ("MC", "country", ("WORLD",))


def test_every_cloud_region_resolves_by_id_provider_and_unique_location() -> None:
    assert len(REGIONS) >= 140
    ids = [row["region"] for row in REGIONS]
    locations = [fold(row["location"]) for row in REGIONS]
    told = set()
    refused: dict[str, str] = {}
    for row, location in zip(REGIONS, locations, strict=True):
        for word in (row["key"], row["key"].replace("/", ":"), row["key"].upper()):
            assert find_zone(word).cloud == row["key"]
        if ids.count(row["region"]) == 1:
            assert find_zone(row["region"]).cloud == row["key"]
        if locations.count(location) > 1:
            continue
        try:
            found = find_zone(row["location"])
        except UsageError as exc:  # a town of another provider in brackets, or a country
            refused[row["key"]] = str(exc)
            continue
        assert found.cloud == row["key"] or (not found.cloud and found.country == row["country"])
        told.add(row["key"])
    assert len(told) > 100
    assert all(key in words or key == "gcp/us-east2" for key, words in refused.items()), refused


def test_a_cloud_region_has_the_keys_of_its_grid_country_and_world() -> None:
    row = find_zone("aws/us-west-2")
    assert row.code == "US-NW-PACW"
    assert row.parents == ("US-OR", "US", "WORLD")
    assert (row.country, row.timezone) == ("US", "US/Pacific")
    assert row.latitude == pytest.approx(45.84, abs=0.1)


def test_the_short_way_to_a_key_leads_to_the_same_row() -> None:
    everything = gazetteer()
    for key in (*everything.codes, *everything.clouds):
        assert find_zone(key) == everything.find(key) == everything.place(key), key


@given(st.sampled_from(CODES))
def test_a_code_finds_itself_whatever_its_case(code: str) -> None:
    for word in (code, code.lower(), f" {code} ", code.replace("-", "_")):
        assert find_zone(word).code == code


@given(st.sampled_from(CODES))
def test_the_way_up_ends_with_the_world_and_never_turns_back(code: str) -> None:
    row = find_zone(code)
    chain = (row.code, *row.parents)
    assert len(set(chain)) == len(chain)
    assert chain[-1] == "WORLD"


@pytest.mark.parametrize(
    ("word", "choices"),
    [
        ("Georgia", ["GE", "US-GA"]),
        ("Korea", ["KP", "KR"]),
        ("Frankfurt", ["aws/eu-central-1", "gcp/europe-west3"]),
        ("São Paulo", ["aws/sa-east-1", "gcp/southamerica-east1"]),
    ],
)
def test_a_word_for_two_places_names_both(word: str, choices: list[str]) -> None:
    with pytest.raises(UsageError) as failure:
        find_zone(word)
    for choice in choices:
        assert choice in str(failure.value)
        assert choice in (failure.value.remedy or "")


def test_a_region_id_of_two_providers_is_refused_until_the_provider_is_named() -> None:
    region = {"location": "A", "country": "DE", "em_zone": "DE", "grid_zone": "DE",
              "latitude": "", "longitude": "", "aliases": ""}  # fmt: skip
    both = Gazetteer([], [{**region, "key": "a/eu-1"}, {**region, "key": "b/eu-1"}], [])
    with pytest.raises(UsageError, match=r"a/eu-1.*b/eu-1"):
        both.find("eu-1")


def test_the_same_region_id_is_found_with_its_provider() -> None:
    country = {"key": "DE", "alpha3": "DEU", "name": "Germany", "aliases": ""}
    region = {"location": "A", "country": "DE", "em_zone": "", "grid_zone": "",
              "latitude": "", "longitude": "", "aliases": ""}  # fmt: skip
    both = Gazetteer([], [{**region, "key": "a/eu-1"}, {**region, "key": "b/eu-1"}], [country])
    found = both.find("B eu-1")
    assert (found.cloud, found.code, found.parents) == ("b/eu-1", "DE", ("WORLD",))


@pytest.mark.parametrize(
    ("word", "near"),
    [("germny", "Germany"), ("us-wst-2", "us-west-2"), ("US-CAL-CSO", "US-CAL-CISO")],
)
def test_what_is_not_found_names_what_is_near(word: str, near: str) -> None:
    with pytest.raises(CoverageError) as failure:
        find_zone(word)
    assert near in (failure.value.remedy or "")


@pytest.mark.parametrize("word", ["", "   ", "qqqqqq", "\x00\x1b[31m", "9" * 5000, "'; drop"])
def test_what_is_no_place_at_all_says_what_would_be(word: str) -> None:
    with pytest.raises(CoverageError) as failure:
        find_zone(word)
    assert failure.value.remedy
    assert len(str(failure.value)) < 200


@pytest.mark.parametrize("word", ["ZZ", "QQ", "zv", "XQX", ""])
def test_a_short_word_is_not_near_what_only_holds_its_letters(word: str) -> None:
    with pytest.raises(CoverageError) as caught:
        find_zone(word)
    remedy = str(caught.value.remedy)
    assert "Brazzaville" not in remedy
    assert "such as" in remedy or "give a country" in remedy


def test_coordinates_find_the_nearest_zone_and_say_how_far() -> None:
    row = find_zone("52.5,13.4")
    assert (row.code, row.kind, row.country, row.cloud) == ("DE", "coordinates", "DE", "")
    assert (row.latitude, row.longitude) == (52.5, 13.4)
    assert row.distance_km is not None
    assert row.distance_km < 20
    assert "widened" in row.note


@pytest.mark.parametrize(
    ("word", "country"),
    [("48.85, 2.35", "FR"), ("35.7;139.7", "JP"), ("-33.9,151.2", "AU"), ("57,-4", "GB"),
     ("37.4,-122.1", "US"), ("19.1,72.9", "IN"), ("-1.3,36.8", "KE"), ("65,-18", "IS")],
)  # fmt: skip
def test_coordinates_of_a_town_are_in_its_country(word: str, country: str) -> None:
    assert find_zone(word).country == country


def test_a_mean_of_corners_astride_the_date_line_is_no_position() -> None:
    assert find_zone("-17.3,150.3").country == "AU"


def test_the_line_of_the_date_does_not_part_neighbours() -> None:
    assert find_zone("-13.8,179.9").code == find_zone("-13.8,-179.9").code == "WS"


@pytest.mark.parametrize("word", ["91,0", "0,181", "-90.5,10"])
def test_no_place_on_earth_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="no place"):
        find_zone(word)


def test_the_middle_of_an_ocean_is_no_zone() -> None:
    with pytest.raises(CoverageError, match="km away"):
        find_zone("-45,-120")


@given(
    st.floats(-90, 90).map(lambda x: round(x, 3)), st.floats(-180, 180).map(lambda x: round(x, 3))
)
def test_any_coordinates_give_a_zone_that_is_near_or_none(
    latitude: float, longitude: float
) -> None:
    try:
        row = find_zone(f"{latitude:.3f},{longitude:.3f}")
    except CoverageError:
        return
    assert row.kind == "coordinates"
    assert row.distance_km is not None
    assert 0 <= row.distance_km <= FARTHEST_KM
    assert row.parents[-1:] == ("WORLD",) or row.code == "WORLD"


@given(st.text(max_size=40))
def test_any_word_finds_one_place_or_fails_with_a_remedy(word: str) -> None:
    found: ZoneRow | SubmeterError
    try:
        found = find_zone(word)
    except SubmeterError as exc:
        found = exc
    assert found.code if isinstance(found, ZoneRow) else found.remedy
