# SPDX-License-Identifier: Apache-2.0
"""The example of the tour trains for real, also without a run around it."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "digits.py"


@pytest.fixture
def digits() -> ModuleType:
    spec = importlib.util.spec_from_file_location("digits_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_shifting_moves_whole_pixels_and_loses_only_the_edge(digits: ModuleType) -> None:
    images = np.arange(2 * 64, dtype=float).reshape(2, 8, 8)
    assert (digits.shifted(images, 0, 0) == images).all()
    moved = digits.shifted(images, 1, -1)
    assert (moved[:, 1:, :-1] == images[:, :-1, 1:]).all()
    assert not moved[:, 0].any()
    assert not moved[:, :, -1].any()


def test_every_image_is_there_nine_times_with_its_label(digits: ModuleType) -> None:
    images, labels = np.ones((3, 8, 8)), np.array([4, 5, 6])
    more, theirs = digits.augmented(images, labels)
    assert more.shape == (27, 8, 8)
    assert (theirs == np.tile(labels, 9)).all()


def test_it_learns_without_a_run(
    digits: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SUBMETER_RUN", raising=False)
    monkeypatch.setattr(digits, "EPOCHS", 4)
    monkeypatch.setattr(digits, "SHIFTS", [(0, 0)])
    digits.main()
    accuracies = [float(a) for a in re.findall(r"accuracy ([\d.]+)", capsys.readouterr().out)]
    assert len(accuracies) == 4
    assert accuracies[-1] > 0.85  # four passes over the plain images; the whole run gives 0.98
