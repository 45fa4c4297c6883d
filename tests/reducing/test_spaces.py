# SPDX-License-Identifier: Apache-2.0
"""What may be turned, as it is written and as it stands in a command."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submeter.errors import UsageError
from submeter.reducing.spaces import (
    Dimension,
    check_command,
    filled,
    parse_dimension,
    parse_space,
    written,
)
from submeter.reducing.tuning import default_setting

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,8}", fullmatch=True)
words = st.text("abcXYZ0189+/_", min_size=1, max_size=6)
choices = st.builds(
    lambda n, c: Dimension(n, "choice", tuple(c)),
    names, st.lists(words, min_size=1, max_size=5, unique=True),
)  # fmt: skip
whole = st.builds(
    lambda n, a, b: Dimension(n, "int", (), float(a), float(a + b)),
    names, st.integers(-99, 99), st.integers(1, 999),
)  # fmt: skip
ranges = st.builds(
    lambda n, a, b, log: Dimension(n, "float", (), 10.0**a, 10.0 ** (a + b), log),
    names, st.integers(-9, 3), st.integers(1, 6), st.booleans(),
)  # fmt: skip


@given(choices | whole | ranges)
def test_what_is_written_is_read_back(dimension: Dimension) -> None:
    assert parse_dimension(str(dimension)) == dimension


@given(names, words | st.integers(-999, 999) | st.floats(1e-9, 1e9), st.text("ab{}= ", max_size=9))
def test_a_value_stands_where_it_is_named_and_braces_are_kept(
    name: str, value: str | float, around: str
) -> None:
    escaped = around.replace("{", "{{").replace("}", "}}")
    assert filled([f"{escaped}{{{name}}}{escaped}"], {name: value}) == (
        f"{around}{written(value)}{around}",
    )


@given(st.floats(1e-12, 1e12))
def test_a_number_in_a_command_is_nearly_the_number(value: float) -> None:
    assert float(written(value)) == pytest.approx(value, rel=1e-5)


@pytest.mark.parametrize(
    ("said", "kind", "rest"),
    [
        ("batch=16,32, 64", "choice", ("16", "32", "64")),
        ("amp=none,bf16,none", "choice", ("none", "bf16")),
        ("lr=log:1e-4..1e-1", "float", (1e-4, 0.1, True)),
        ("width=int:8..64", "int", (8.0, 64.0, False)),
        ("width=log:int:8..64", "int", (8.0, 64.0, True)),
        ("x=-1..1", "float", (-1.0, 1.0, False)),
        ("path=../a,../b", "choice", None),
    ],
)
def test_said(said: str, kind: str, rest: object) -> None:
    if rest is None:
        with pytest.raises(UsageError, match="no range"):
            parse_dimension(said)
        return
    found = parse_dimension(said)
    assert found.kind == kind
    assert rest == (found.choices if kind == "choice" else (found.low, found.high, found.log))


@pytest.mark.parametrize(
    "said",
    ["batch", "batch=", "=3", "1x=3", "lr=log:0..1", "lr=3..1", "n=int:1..2.5", "lr=a..b",
     "a=1,,2", "lr=log:5", "lr=1..inf", "lr=1e..2"],
)  # fmt: skip
def test_nonsense_is_refused_with_a_remedy(said: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_space([said])
    assert refused.value.remedy


def test_a_name_stands_once() -> None:
    with pytest.raises(UsageError, match="twice"):
        parse_space(["a=1,2", "a=3"])


@pytest.mark.parametrize(
    ("command", "what"),
    [
        (["t.py", "--lr", "{lr}"], None),
        (["t.py"], "does not take it"),
        (["t.py", "{lr}", "{batch}"], "nothing fills"),
        (["t.py", "{lr}", "{{batch}}"], None),
    ],
)
def test_each_value_has_a_place(command: list[str], what: str | None) -> None:
    space = parse_space(["lr=0.1,0.2"])
    if what is None:
        check_command(command, space)
        return
    with pytest.raises(UsageError, match=what):
        check_command(command, space)


@pytest.mark.parametrize(
    ("given_words", "expected"),
    [
        ({}, {"b": "16", "lr": 0.01, "w": 36, "x": 0.5}),
        ({"b": "32", "lr": "1e-3", "w": "8"}, {"b": "32", "lr": 0.001, "w": 8, "x": 0.5}),
    ],
)
def test_default(given_words: dict[str, str], expected: dict[str, object]) -> None:
    space = parse_space(["b=16,32", "lr=log:1e-3..1e-1", "w=int:8..64", "x=0..1"])
    found = default_setting(space, given_words)
    assert found == expected
    assert all(d.holds(found[d.name]) for d in space)


@pytest.mark.parametrize("bad", [{"b": "17"}, {"lr": "1"}, {"w": "8.5"}, {"nobody": "1"}])
def test_a_default_lies_in_the_space(bad: dict[str, str]) -> None:
    space = parse_space(["b=16,32", "lr=log:1e-3..1e-1", "w=int:8..64"])
    with pytest.raises(UsageError):
        default_setting(space, bad)
