# SPDX-License-Identifier: Apache-2.0
"""``submeter techniques`` from the command line."""

import subprocess
import sys

from submeter.reducing.techniques import NAMES
from tests.cli.stage import Stage, stage

__all__ = ["stage"]


def test_all_techniques_are_listed_by_group(stage: Stage) -> None:
    called = stage.call("techniques")
    assert called.code == 0
    assert all(f"  {name} " in called.out for name in NAMES)
    assert max(len(line) for line in called.out.splitlines()) <= 80


def test_one_technique_tells_its_price_and_its_source(stage: Stage) -> None:
    out = stage.call("techniques", "QAT").out
    assert out.startswith("quantisation_aware  (numerics)")
    out = stage.call("techniques", "prune-masks").out
    for word in ("what", "why", "expected", "price", "no help", "no gain on this device"):
        assert word in out
    assert max(len(line) for line in out.splitlines()) <= 80


def test_the_document_has_the_words_that_are_documented(stage: Stage) -> None:
    document = stage.call("techniques", "--json").document
    rows = {row["name"]: row for row in document["techniques"]}
    assert list(rows) == list(NAMES)
    assert rows["distil"]["expected"]["missing"]
    assert rows["prune_masks"]["gains"] is False
    assert rows["quantise"]["expected"]["low_ratio"] < 0
    one = stage.call("techniques", "local_sgd", "--json").document["techniques"]
    assert [row["name"] for row in one] == ["local_sgd"]


def test_an_unknown_name_leads_to_the_nearest(stage: Stage) -> None:
    called = stage.call("techniques", "early stoping")
    assert called.code == 2
    assert "submeter techniques early_stopping" in called.err


def test_listing_them_loads_no_torch() -> None:
    code = (
        "import sys; from submeter.interfaces.cli import main; main(['techniques']);"
        "heavy = {'torch', 'torchao', 'numpy', 'transformers'} & set(sys.modules);"
        "from submeter.reducing.techniques.machine import here;"
        "sys.exit(bool(heavy) and here().kind == 'cpu')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
