# SPDX-License-Identifier: Apache-2.0
"""Times, lengths, powers and sizes as people write them."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.errors import UsageError
from submeter.planning.words import (
    DAY_S,
    data_bytes,
    duration_s,
    full_instant,
    instant_utc_s,
    power_w,
)

BERLIN = "Europe/Berlin"
NOW = datetime(2026, 11, 23, 22, 17, tzinfo=ZoneInfo(BERLIN)).timestamp()  # a Monday


@pytest.mark.parametrize(
    ("words", "full"),
    [
        ("now", "Mon 2026-11-23 22:17 CET"),
        ("in 12h", "Tue 2026-11-24 10:17 CET"),
        ("+90 min", "Mon 2026-11-23 23:47 CET"),
        ("08:00", "Tue 2026-11-24 08:00 CET"),
        ("23:00", "Mon 2026-11-23 23:00 CET"),
        ("22:17", "Tue 2026-11-24 22:17 CET"),
        ("6pm", "Tue 2026-11-24 18:00 CET"),
        ("6:30 PM", "Tue 2026-11-24 18:30 CET"),
        ("midnight", "Tue 2026-11-24 00:00 CET"),
        ("today 23:59", "Mon 2026-11-23 23:59 CET"),
        ("tomorrow 18:00", "Tue 2026-11-24 18:00 CET"),
        ("Tomorrow at 6 pm", "Tue 2026-11-24 18:00 CET"),
        ("Friday 09:00", "Fri 2026-11-27 09:00 CET"),
        ("on fri 09:00", "Fri 2026-11-27 09:00 CET"),
        ("monday 09:00", "Mon 2026-11-30 09:00 CET"),
        ("monday 23:00", "Mon 2026-11-23 23:00 CET"),
        ("2026-11-24 06:00", "Tue 2026-11-24 06:00 CET"),
        ("2026-11-24T06:00Z", "Tue 2026-11-24 07:00 CET"),
        ("2026-11-24 06:00 UTC", "Tue 2026-11-24 07:00 CET"),
        ("2026-11-24 06:00+05:30", "Tue 2026-11-24 01:30 CET"),
        ("2026-11-25", "Wed 2026-11-25 00:00 CET"),
    ],
)
def test_times_as_people_say_them(words: str, full: str) -> None:
    assert full_instant(instant_utc_s(words, NOW, BERLIN), BERLIN) == full


@pytest.mark.parametrize(
    "words",
    ["", "tomorrow", "8", "25:00", "12:60", "13pm", "someday 08:00", "t 08:00", "in 5",
     "2026-13-01", "2026-02-30 08:00", "yesterday 08:00", "0x10", "٠٨:٠٠"],
)  # fmt: skip
def test_what_is_no_time_is_one_clear_error(words: str) -> None:
    with pytest.raises(UsageError) as caught:
        instant_utc_s(words, NOW, BERLIN)
    assert "is no" in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("now", "words", "full"),
    [
        # clocks are put back at 03:00 on 25 October 2026: the night has 25 hours
        ("2026-10-24 22:00", "08:00", "Sun 2026-10-25 08:00 CET"),
        ("2026-10-24 22:00", "in 12h", "Sun 2026-10-25 09:00 CET"),
        ("2026-10-24 22:00", "tomorrow 02:30", "Sun 2026-10-25 02:30 CEST"),  # the first of two
        # put forward at 02:00 on 28 March 2027: 23 hours
        ("2027-03-27 22:00", "08:00", "Sun 2027-03-28 08:00 CEST"),
        ("2027-03-27 22:00", "in 12h", "Sun 2027-03-28 11:00 CEST"),
    ],
)
def test_g10_nights_in_which_clocks_change(now: str, words: str, full: str) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=ZoneInfo(BERLIN)).timestamp()
    assert full_instant(instant_utc_s(words, at, BERLIN), BERLIN) == full


@pytest.mark.parametrize("words", ["2027-03-28 02:30", "tomorrow 02:00"])
def test_a_time_that_the_clock_leaves_out_is_said_to_be(words: str) -> None:
    at = datetime(2027, 3, 27, 12, tzinfo=ZoneInfo(BERLIN)).timestamp()
    with pytest.raises(UsageError, match="put forward"):
        instant_utc_s(words, at, BERLIN)


@given(
    st.floats(0, 4e9),
    st.integers(0, 23),
    st.integers(0, 59),
    st.sampled_from([BERLIN, "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", ""]),
)
def test_a_time_of_day_is_the_next_that_the_clock_shows(
    now: float, hour: int, minute: int, zone: str
) -> None:
    try:
        at = instant_utc_s(f"{hour}:{minute:02}", now, zone)
    except UsageError as exc:
        assert "put forward" in str(exc)  # noqa: PT017  # most draws raise nothing
        return
    local = datetime.fromtimestamp(at, ZoneInfo(zone or "UTC"))
    assert (local.hour, local.minute) == (hour, minute)
    assert now < at <= now + 25.5 * 3600


@pytest.mark.parametrize(
    ("words", "seconds"),
    [("8h", 28_800), ("90 min", 5400), ("1h30m", 5400), ("1.5 h", 5400), ("2 days", 172_800),
     ("45s", 45), ("1 d 2 h 3 m 4 s", 93_784), ("1 Week", 604_800)],
)  # fmt: skip
def test_lengths(words: str, seconds: float) -> None:
    assert duration_s(words) == seconds


@given(st.integers(0, 300), st.integers(0, 59), st.integers(1, 59))
def test_lengths_add_up(hours: int, minutes: int, seconds: int) -> None:
    assert duration_s(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds


@pytest.mark.parametrize(
    "words", ["8", "h", "8 parsecs", "-8h", "0h", "2000 days", "8h!", "inf h"]
)
def test_what_is_no_length(words: str) -> None:
    with pytest.raises(UsageError, match="duration"):
        duration_s(words)


@pytest.mark.parametrize(
    ("words", "watts"), [("3.2kW", 3200), ("500 W", 500), ("1.5 MW", 1.5e6), ("200w", 200)]
)
def test_powers(words: str, watts: float) -> None:
    assert power_w(words) == watts


@pytest.mark.parametrize("words", ["3.2", "kW", "0 W", "3 kWh", "200 mW", "1e3 W", "5000 MW"])
def test_what_is_no_power(words: str) -> None:
    with pytest.raises(UsageError, match="is no power"):
        power_w(words)


@pytest.mark.parametrize(
    ("words", "size"), [("200GB", 2e11), ("1.5 TB", 1.5e12), ("500GiB", 500 * 2**30), ("8B", 8)]
)
def test_sizes(words: str, size: float) -> None:
    assert data_bytes(words) == size
    with pytest.raises(UsageError):
        data_bytes(words + "it")


def test_there_is_no_such_clock() -> None:
    with pytest.raises(UsageError, match="no time zone"):
        full_instant(NOW, "Mars/Olympus")
    assert DAY_S == 86_400
