# SPDX-License-Identifier: Apache-2.0
"""Boards whose limits tests may set: of a fake driver only, found by names that no board has."""

import ctypes
import importlib
import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from submeter.testing import Board, FakeDriver, constant
from submeter.testing.compiling import SONAME
from submeter.testing.nvml import RESET
from tests.running.scripts import environment

PYTHON = sys.executable
NATURAL_W = 380.0


def board(**about: Any) -> Board:
    """A board that draws 380 W as long as it is let, with a name of its own."""
    given: dict[str, Any] = {
        "waveform": constant(NATURAL_W), "natural_w": NATURAL_W, "uuid": f"GPU-{uuid.uuid4()}",
    }  # fmt: skip
    return Board(**{**given, **about})


@contextmanager
def driver_of(path: Path, *boards: Board, **quirks: Any) -> Iterator[FakeDriver]:
    """A driver of *boards* in this process, which no board of the machine can be taken for."""
    driver = FakeDriver(path / f"nvml-{uuid.uuid4().hex[:8]}.state", boards, **quirks)
    driver.at(1.0)
    with pytest.MonkeyPatch.context() as patch, driver.installed():
        patch.setenv("CUDA_VISIBLE_DEVICES", mask(driver))
        pynvml = importlib.import_module("pynvml")
        library = pynvml.nvmlLib or ctypes.CDLL(SONAME)
        if not hasattr(library, RESET):
            pytest.fail("a real driver would be reached: nothing is set")
        yield driver
    driver.close()


def mask(driver: FakeDriver) -> str:
    """What lets the boards of *driver* through, and none of any other driver."""
    return ",".join(one.uuid for one in driver.boards)


def limits_w(driver: FakeDriver) -> list[float]:
    return [driver.limit_w(i) for i in range(len(driver.boards))]


def program_environment(driver: FakeDriver, home: Path) -> dict[str, str]:
    """What a program of a test sees: the fake driver before any other."""
    env = environment(home, **driver.env())
    env["CUDA_VISIBLE_DEVICES"] = mask(driver)
    assert "submeter-testing" in env["LD_LIBRARY_PATH"].split(os.pathsep)[0]
    return env
