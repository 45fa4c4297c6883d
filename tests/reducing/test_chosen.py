# SPDX-License-Identifier: Apache-2.0
"""Techniques that are chosen from outside: by a variable, by ``tune --technique``."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import submeter
from submeter.errors import UsageError
from submeter.reducing.spaces import Value, check_command, command_of, parse_space, technique_set
from submeter.reducing.techniques.chosen import VARIABLE, parse
from tests.reducing.models import convolutions, images, network, same, state


@pytest.mark.parametrize(
    ("words", "set_"),
    [
        ("mixed_precision", "technique.mixed_precision=off,on"),
        ("bf16=on,off", "technique.mixed_precision=off,on"),
        ("freeze=off,share:0.25,share:0.5", "technique.freeze=off,share:0.25,share:0.5"),
        ("quantise = kind:int8 , off", "technique.quantise=off,kind:int8"),
    ],
)
def test_a_technique_is_a_thing_to_turn(words: str, set_: str) -> None:
    assert technique_set(words) == set_
    (dimension,) = parse_space([technique_set(words)])
    assert dimension.choices[0] == "off"
    check_command(["python", "train.py"], [dimension])  # it needs no place in the command


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("nothing", "no technique"),
        ("freeze=half", "no choice of freeze"),
        ("freeze=share:", "no choice of freeze"),
        ("distil", "cannot be chosen from outside"),
        ("batch_size", "cannot be chosen from outside"),
    ],
)
def test_what_makes_no_sense_is_refused(words: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        technique_set(words)


def test_the_command_says_which_are_chosen() -> None:
    command = ("python", "train.py", "--lr", "{lr}")
    off: dict[str, Value] = {
        "lr": 0.1,
        "technique.freeze": "off",
        "technique.mixed_precision": "off",
    }
    assert command_of(command, {"lr": 0.1}) == ("python", "train.py", "--lr", "0.1")
    assert command_of(command, off)[:3] == ("env", f"{VARIABLE}=", "python")
    on = {**off, "technique.freeze": "share:0.25", "technique.mixed_precision": "on"}
    words = command_of(command, on)[1]
    assert words == f"{VARIABLE}=freeze=share:0.25 mixed_precision"
    assert [(c.name, c.options) for c in parse(words.removeprefix(f"{VARIABLE}="))] == [
        ("freeze", {"share": 0.25}),
        ("mixed_precision", {}),
    ]


values = st.one_of(
    st.integers(-9, 9), st.sampled_from([0.25, 1e-3, True, False]), st.sampled_from(["int8", "x"])
)


@given(st.dictionaries(st.sampled_from(["share", "kind", "names"]), values, min_size=1))
def test_options_are_read_as_they_were_written(options: dict[str, object]) -> None:
    told = "+".join(
        f"{k}:{str(v).lower() if isinstance(v, bool) else v}" for k, v in options.items()
    )
    (choice,) = parse(f"freeze={told}")
    assert choice.options == options


def test_one_line_applies_what_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    model = network()
    before, x = state(model), torch.zeros(2, 64)
    assert submeter.reduce.from_environment(model) is model
    assert same(state(model), before)
    monkeypatch.setenv(VARIABLE, "freeze=share:0.9 remove_idle=ahead:3")
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    batches = [x, x]
    found, same_optimiser, loader = submeter.reduce.from_environment(model, optimiser, batches)
    assert found is model
    assert same_optimiser is optimiser
    assert [p.requires_grad for p in model.parameters()].count(False) > 0
    assert len(list(loader)) == 2
    assert [a.technique for a in submeter.reduce.applied[-2:]] == ["freeze", "remove_idle"]
    for applied in submeter.reduce.applied[-2:]:
        applied.undo()
    assert same(state(model), before)


def test_an_optimiser_that_would_train_what_is_gone_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, "depthwise_separable")
    model = convolutions()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(UsageError, match="already holds") as caught:
        submeter.reduce.from_environment(model, optimiser)
    assert "before the optimiser" in str(caught.value.remedy)


def test_what_only_the_program_knows_it_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "prune_channels=ratio:0.5")
    model = convolutions()
    count = sum(p.numel() for p in model.parameters())
    options = {"prune_channels": {"example": images()}}
    model = submeter.reduce.from_environment(model, options=options)
    assert sum(p.numel() for p in model.parameters()) < count
