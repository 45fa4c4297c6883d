# SPDX-License-Identifier: Apache-2.0
"""Where a run is: what was said goes before what the clock says, and nothing is made up."""

from pathlib import Path
from typing import Any

import pytest

from submeter.catalog.facts import keys
from submeter.errors import CoverageError, UsageError
from submeter.grid.place import country_of, place_of, resolve_place
from submeter.grid.timezone import machine_timezone
from submeter.settings.rules import accept

ALL = {
    "argument": "SE",
    "configured": "FR",
    "origin": "/home/ada/submeter.toml:3",
    "environment": "IN",
    "cloud": "aws/us-west-2",
    "timezone": "Europe/Berlin",
}


@pytest.mark.parametrize(
    ("left_out", "code", "how"),
    [
        ([], "SE", "argument"),
        (["argument"], "FR", "configuration"),
        (["argument", "configured"], "IN", "environment"),
        (["argument", "configured", "environment"], "US-NW-PACW", "cloud region"),
        (["argument", "configured", "environment", "cloud"], "DE", "time zone"),
    ],
)
def test_the_first_that_is_said_holds(left_out: list[str], code: str, how: str) -> None:
    given: dict[str, Any] = {k: v for k, v in ALL.items() if k not in left_out}
    zone = resolve_place(**given)
    assert (zone.code, zone.how) == (code, how)
    assert zone.guessed == (how == "time zone")


def test_a_setting_from_the_environment_is_no_configuration() -> None:
    zone = resolve_place(configured="IN", origin="environment SUBMETER_ZONE")
    assert (zone.code, zone.how) == ("IN", "environment")


@pytest.mark.parametrize(
    ("word", "code", "kind", "country"),
    [
        ("DE", "DE", "country", "DE"),
        ("Germany", "DE", "country", "DE"),
        ("US-CAL-CISO", "US-CAL-CISO", "subregion", "US"),
        ("gcp/europe-west4", "NL", "cloud region", "NL"),
        ("52.5,13.4", "DE", "coordinates", "DE"),
        ("WORLD", "WORLD", "world", ""),
    ],
)
def test_a_place_may_be_said_in_many_ways(word: str, code: str, kind: str, country: str) -> None:
    zone = resolve_place(argument=word)
    assert (zone.code, zone.kind, zone.country) == (code, kind, country)
    assert zone.code == "WORLD" or zone.parents[-1] == "WORLD"


@pytest.mark.parametrize(
    ("word", "code"),
    [("Côte d'Ivoire", "CI"), ("-33.9, 18.4", "ZA"), ("Korea (Republic of)", "KR")],
)
def test_the_setting_lets_names_and_coordinates_through(word: str, code: str) -> None:
    setting = accept("zone", word)
    assert isinstance(setting, str)
    assert resolve_place(configured=setting).code == code


@pytest.mark.parametrize("timezone", ["", "UTC", "Etc/UTC", "CET", "EST5EDT", "Mars/Olympus"])
def test_an_ambiguous_clock_is_the_world_and_no_country(timezone: str) -> None:
    zone = resolve_place(timezone=timezone)
    assert (zone.code, zone.kind, zone.how, zone.country) == ("WORLD", "world", "world", "")
    assert "set zone" in zone.note


@pytest.mark.parametrize(
    ("timezone", "country"),
    [
        ("Europe/Berlin", "DE"),
        ("Europe/Oslo", "NO"),  # a link to Berlin in the tz database, but a country of its own
        ("Asia/Kolkata", "IN"),
        ("Asia/Calcutta", "IN"),  # its old name
        ("America/Los_Angeles", "US"),
        ("US/Pacific", "US"),
        ("Africa/Asmara", "ER"),
        ("Africa/Asmera", ""),  # an old name whose target is the time of Kenya
        ("Etc/GMT+5", ""),
    ],
)
def test_a_time_zone_tells_its_one_country_or_none(timezone: str, country: str) -> None:
    assert country_of(timezone) == country


def test_every_time_zone_of_the_table_resolves_to_its_country() -> None:
    for timezone in keys("timezones"):
        zone = resolve_place(timezone=timezone)
        assert zone.country == country_of(timezone) or zone.how == "world", timezone
        assert "guessed" in zone.note or zone.how == "world"


def test_a_cloud_region_beside_a_zone_still_names_the_rooms() -> None:
    zone = resolve_place(configured="DE", cloud="aws/eu-central-1")
    assert (zone.code, zone.how, zone.cloud) == ("DE", "configuration", "aws/eu-central-1")
    other = resolve_place(environment="SE", cloud="aws/eu-central-1")
    assert (other.code, other.cloud) == ("SE", "")
    assert "aws/eu-central-1 is not in Sweden" in other.note
    assert resolve_place(argument="DE", cloud="aws/eu-central-1").cloud == ""
    assert "tlantis" in resolve_place(configured="DE", cloud="aws/atlantis-1").note


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"argument": "Atlantis"}, "argument zone"),
        ({"configured": "Atlantis", "origin": "/x/submeter.toml:2"}, "/x/submeter.toml:2"),
        ({"environment": "Atlantis"}, "SUBMETER_ZONE"),
        ({"cloud": "aws/atlantis-1"}, "the setting cloud"),
    ],
)
def test_a_place_that_is_none_is_an_error_that_says_who_said_it(
    given: dict[str, str], place: str
) -> None:
    with pytest.raises((CoverageError, UsageError)) as caught:
        resolve_place(**given)
    assert place in str(caught.value)
    assert "tlantis" in str(caught.value)


def test_a_recorded_run_finds_its_place_again() -> None:
    zone = place_of({"zone": "SE", "zone_from": "environment", "timezone": "Europe/Berlin"})
    assert (zone.code, zone.how) == ("SE", "environment")
    assert place_of({"zone": "SE", "zone_from": "argument"}).how == "argument"
    assert place_of({"zone": "SE"}, argument="FR").code == "FR"
    assert place_of({"timezone": "Europe/Paris"}).code == "FR"
    assert place_of({}).code == "WORLD"


def test_a_recorded_place_that_is_gone_is_passed_over_and_named() -> None:
    zone = place_of({"zone": "Atlantis", "timezone": "Europe/Paris"})
    assert zone.code == "FR"
    assert "Atlantis" in zone.note
    kept = place_of({"zone": "Atlantis", "cloud": "aws/us-west-2"})
    assert kept.cloud == "aws/us-west-2"
    assert place_of({"zone": "Atlantis", "cloud": "aws/atlantis-1"}).code == "WORLD"
    with pytest.raises(CoverageError):
        place_of({"zone": "DE"}, argument="Atlantis")


def machine(root: Path, *, link: str = "", timezone: str = "") -> Path:
    (root / "etc").mkdir()
    if link:
        (root / "etc" / "localtime").symlink_to(link)
    if timezone:
        (root / "etc" / "timezone").write_text(timezone, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("env", "link", "file", "expected"),
    [
        ({"TZ": "Asia/Tokyo"}, "/usr/share/zoneinfo/Europe/Paris", "", "Asia/Tokyo"),
        ({"TZ": ":Asia/Tokyo"}, "", "", "Asia/Tokyo"),
        ({"TZ": "/usr/share/zoneinfo/Asia/Tokyo"}, "", "", "Asia/Tokyo"),
        ({"TZ": "UTC"}, "/usr/share/zoneinfo/Europe/Paris", "", "Europe/Paris"),
        ({"TZ": "CET-1CEST"}, "../usr/share/zoneinfo/Europe/Paris", "", "Europe/Paris"),
        ({}, "/usr/share/zoneinfo/posix/Europe/Paris", "", "Europe/Paris"),
        ({}, "/usr/share/zoneinfo/Europe/Paris", "Europe/Rome\n", "Europe/Paris"),
        ({}, "", "Europe/Rome\n", "Europe/Rome"),
        ({}, "/etc/my-own-clock", "Europe/Rome\n", "Europe/Rome"),
        ({}, "/usr/share/zoneinfo/Etc/UTC", "", "Etc/UTC"),
        ({"TZ": "UTC"}, "", "", "UTC"),
        ({}, "", "", ""),
    ],
)
def test_the_clock_of_the_machine_names_its_zone(
    tmp_path: Path, env: dict[str, str], link: str, file: str, expected: str
) -> None:
    assert machine_timezone(machine(tmp_path, link=link, timezone=file), env) == expected


def test_a_time_zone_file_of_garbage_is_no_place(tmp_path: Path) -> None:
    machine(tmp_path)
    (tmp_path / "etc" / "timezone").write_bytes(b"\xff\xfe" * 5000)
    assert machine_timezone(tmp_path, {}) == ""
    (tmp_path / "etc" / "timezone").unlink()
    (tmp_path / "etc" / "timezone").mkdir()
    assert machine_timezone(tmp_path, {}) == ""
