# SPDX-License-Identifier: Apache-2.0
"""What a run must not depend on: other people's packages, and the zone of the wall clock."""

import datetime as dt
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.budgets import environment, python
from submeter.metering.settle import Settler
from submeter.records.frames import FRAME_SCHEMA, End, Head, Started
from submeter.units import NS_PER_S

ALONE = """
import json, sys
class Broken:
    def find_spec(self, name, path=None, target=None):
        others = {"numpy", "scipy", "pandas", "torch", "sklearn", "rich", "psutil"}
        if name.partition(".")[0] in others:
            raise AttributeError(f"{name} is broken here")
sys.meta_path.insert(0, Broken())
import submeter
with submeter.measure("alone") as run:
    with submeter.phase("train"):
        submeter.log(loss=0.5, samples=10)
print(json.dumps(run.to_dict()))
"""


def test_c25_broken_packages_of_others_are_never_touched(tmp_path: Path) -> None:
    told = json.loads(python(ALONE, env=environment(tmp_path)))
    assert told["run"]["status"] == "finished"
    assert told["metrics"] == {"loss": 0.5}
    assert "value" in told["energy"]["facility"]


@pytest.fixture(params=["UTC", "Europe/Paris", "America/St_Johns", "Pacific/Chatham"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    "instant",
    [
        "2026-10-25T00:59:59Z",  # Paris: the hour that comes twice begins a second later
        "2026-10-25T01:30:00Z",
        "2026-03-29T00:59:59Z",  # Paris: the hour that is left out
        "2026-12-31T23:59:59Z",
        "2028-02-29T12:00:00Z",
    ],
)
@pytest.mark.usefixtures("zone")
def test_b07_a_run_is_dated_in_utc_whatever_the_zone(instant: str) -> None:
    utc_ns = round(dt.datetime.fromisoformat(instant).timestamp()) * NS_PER_S
    start_ns = 7 * NS_PER_S
    settler = Settler()
    settler.feed(
        Head(
            schema=FRAME_SCHEMA,
            run_id="20261025-005959-0000",
            generation=0,
            host="h",
            boot_id="b",
            collector_pid=2,
            leader_pid=1,
            utc_ns=utc_ns,
            t_ns=start_ns,
            interval_s=0.1,
        )
    )
    settler.feed(Started(start_ns))
    settler.feed(End(start_ns + 7200 * NS_PER_S, "finished", 0))
    run = settler.finish()
    assert run.started_utc.endswith("Z")
    assert dt.datetime.fromisoformat(run.started_utc) == dt.datetime.fromisoformat(instant)
    assert run.duration_s == 7200.0
