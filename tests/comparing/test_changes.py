# SPDX-License-Identifier: Apache-2.0
"""What is different about runs, as far as their records tell."""

from typing import Any

import pytest

from submeter.comparing.changes import GROUPS, differences, facts
from submeter.records.runs import Host, Run
from tests.comparing.runs import a_run


def full(**changes: Any) -> Run:
    """A run that tells something of each group."""
    given = {
        "code": {"commit": "a" * 40, "dirty": "no"},
        "parameters": {"torch": "2.12", "depth": "3"},
        "place": {"zone": "DE"},
        "hosts": (Host("box", {"cpu_model": "a processor", "vcpus": "8", "kernel": "6.0"}),),
    }
    return a_run(**{**given, **changes})


def changed(*runs: Any) -> dict[tuple[str, str], tuple[str | None, ...]]:
    return {
        (row.group, row.name): row.values for row in differences([[run] for run in runs]).changed
    }


def test_a_run_beside_itself_has_no_difference() -> None:
    found = differences([[a_run()], [a_run()]])
    assert found.changed == ()
    assert set(found.same) | set(found.untold) == set(GROUPS)
    assert not set(found.same) & set(found.untold)


@pytest.mark.parametrize(
    ("changes", "group", "name", "values"),
    [
        ({"code": {"commit": "b" * 40, "dirty": "no"}}, "code", "commit", ("a" * 10, "b" * 10)),
        ({"code": {"commit": "a" * 40, "dirty": "yes"}}, "code", "uncommitted changes",
         ("no", "yes")),
        ({"tags": {"data": "faces"}}, "data", "data", ("digits", "faces")),
        ({"parameters": {"depth": "4", "torch": "2.12"}}, "parameters", "depth", ("3", "4")),
        ({"parameters": {"depth": "3", "torch": "2.13"}}, "versions", "torch", ("2.12", "2.13")),
        ({"tags": {"data": "digits", "who": "me"}}, "tags", "who", (None, "me")),
        ({"command": ("python", "train.py", "--lr", "0.2")}, "command", "--lr", ("0.1", "0.2")),
        ({"command": ("python", "other.py", "--lr", "0.1")}, "command", "program",
         ("python train.py", "python other.py")),
        ({"command": ("python", "train.py", "--lr=0.1", "--amp")}, "command", "--amp",
         (None, "given")),
        ({"command": ("python", "train.py", "--lr", "0.1", "--dataset", "faces")}, "data",
         "dataset", (None, "faces")),
        ({"hosts": (Host("box", {"cpu_model": "another", "vcpus": "8"}),)}, "device",
         "processor", ("a processor", "another")),
        ({"hosts": (Host("box", {"cpu_model": "a processor", "vcpus": "8", "kernel": "6.1"}),)},
         "versions", "kernel", ("6.0", "6.1")),
        ({"place": {"zone": "SE"}}, "place", "zone", ("DE", "SE")),
        ({"status": "failed"}, "end", "status", ("finished", "failed")),
        ({"interval_s": 1.0}, "meter", "every", ("0.1 s", "1 s")),
    ],
)  # fmt: skip
def test_each_kind_of_difference_is_found_in_its_group(
    changes: dict[str, Any], group: str, name: str, values: tuple[str | None, ...]
) -> None:
    found = changed(full(), full(**changes))
    assert found[group, name] == values


def test_what_one_tells_nothing_of_is_no_difference_but_said() -> None:
    bare = a_run(command=(), tags={"data": "digits"})
    found = differences([[full()], [bare]])
    assert {group for group, silent in found.partly if silent == (1,)} >= {
        "code",
        "command",
        "place",
    }
    assert not {row.group for row in found.changed} & {"code", "command", "place"}


def test_numbers_are_compared_as_numbers() -> None:
    one = a_run(command=("python", "train.py", "--lr", "0.10"))
    assert not changed(a_run(), one)
    assert not changed(one, a_run(command=("python", "train.py", "--lr", "1e-1")))


def test_negative_numbers_are_values_and_not_options() -> None:
    told = facts(a_run(command=("python", "train.py", "--bias", "-0.5", "--amp")))["command"]
    assert told == {"program": "python train.py", "--bias": "-0.5", "--amp": "given"}


def test_our_own_tags_are_nobodys_difference() -> None:
    assert not changed(a_run(), a_run(tags={"data": "digits", "trial": "x", "compared": "y"}))


def test_two_boards_are_counted() -> None:
    told = facts(a_run())["device"]
    assert told["cpu"] == "cpu of box"
    assert told["machine"] == "box"


def test_uncommitted_changes_are_told_because_their_content_is_not_known() -> None:
    dirty = a_run(code={"commit": "a" * 40, "dirty": "yes"})
    assert "uncommitted" in " ".join(differences([[dirty], [dirty]]).notes)


def test_who_names_no_data_is_told_how_to() -> None:
    nameless = a_run(tags={})
    assert "data=NAME" in " ".join(differences([[nameless], [nameless]]).notes)
    assert "data=NAME" not in " ".join(differences([[a_run()], [a_run()]]).notes)


def test_what_repetitions_say_in_different_ways_is_told_with_all_of_it() -> None:
    seeds = [a_run(tags={"data": "digits", "seed": str(i)}) for i in (1, 2)]
    (row,) = differences([seeds, [seeds[0]]]).changed
    assert row.values == ("1, 2", "1")
