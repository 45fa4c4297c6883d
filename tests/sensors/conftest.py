# SPDX-License-Identifier: Apache-2.0
"""Machines made of files, and one with a fake driver."""

from pathlib import Path

import pytest

from tests.sensors.kernel_tree import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path / "machine")
