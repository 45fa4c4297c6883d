# SPDX-License-Identifier: Apache-2.0
"""Meter the electricity, carbon and water that training an AI model costs.

>>> import submeter
>>> with submeter.measure("baseline") as run:  # doctest: +SKIP
...     with submeter.phase("train"):
...         submeter.log(samples=512, loss=train())
"""

TYPE_CHECKING = False  # what type checkers take for true; importing typing takes 8 ms

if TYPE_CHECKING:
    from submeter.accounting.published import as_published, published_run
    from submeter.interfaces.afterwards import compare, footprint
    from submeter.interfaces.estimating import Prediction, Predictions, estimate
    from submeter.interfaces.explaining import explain
    from submeter.interfaces.frameworks.checkpoints import checkpointing
    from submeter.interfaces.frameworks.layers import layers
    from submeter.interfaces.program import MeasuredRun, log, measure, phase
    from submeter.interfaces.reducing import reduce
    from submeter.records.devices import Device, DeviceKind
    from submeter.records.figures import Basis, Figure, Missing, Quantity
    from submeter.records.runs import Run

__all__ = [
    "Basis",
    "Device",
    "DeviceKind",
    "Figure",
    "MeasuredRun",
    "Missing",
    "Prediction",
    "Predictions",
    "Quantity",
    "Run",
    "as_published",
    "checkpointing",
    "compare",
    "estimate",
    "explain",
    "footprint",
    "layers",
    "log",
    "measure",
    "phase",
    "published_run",
    "reduce",
]

# Loaded when asked for: a program pays for nothing that it does not use.
_PLACES = {
    "Basis": "records.figures",
    "Device": "records.devices",
    "DeviceKind": "records.devices",
    "Figure": "records.figures",
    "MeasuredRun": "interfaces.program",
    "Missing": "records.figures",
    "Prediction": "interfaces.estimating",
    "Predictions": "interfaces.estimating",
    "Quantity": "records.figures",
    "Run": "records.runs",
    "as_published": "accounting.published",
    "checkpointing": "interfaces.frameworks.checkpoints",
    "compare": "interfaces.afterwards",
    "estimate": "interfaces.estimating",
    "explain": "interfaces.explaining",
    "footprint": "interfaces.afterwards",
    "layers": "interfaces.frameworks.layers",
    "log": "interfaces.program",
    "measure": "interfaces.program",
    "phase": "interfaces.program",
    "published_run": "accounting.published",
    "reduce": "interfaces.reducing",
}


class _Idle:
    """Stands for `phase`, `log` and `measure` for the moment in which there are none yet."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __enter__(self) -> object:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, function: object) -> object:
        return function


def __getattr__(name: str) -> object:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = import_module(f"{__name__}.{place}")
    try:
        value: object = getattr(module, name)
    except AttributeError:
        if place != "interfaces.program":
            raise
        return _Idle  # a signal's handler asks while the program's first use is being loaded
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
