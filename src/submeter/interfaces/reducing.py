# SPDX-License-Identifier: Apache-2.0
"""``submeter.reduce``: the techniques by name, each loaded when it is asked for.

>>> import submeter
>>> model = submeter.reduce.mixed_precision(model).target  # doctest: +SKIP
"""

from typing import Final

from submeter.reducing.techniques import NAMES, Technique, technique

__all__ = ["reduce"]


class Reduce:
    """Ways to use less: ``reduce.NAME(model, …)`` applies one and gives an `Applied`.

    ``target`` of that is what to use from now on, ``undo()`` the way back; leaving it as a context
    manager undoes, too. ``dir()`` lists the names, ``submeter techniques`` explains them.
    """

    def __init__(self) -> None:
        self.__name__ = "reduce"

    def __getattr__(self, name: str) -> Technique:
        if name not in NAMES:
            raise AttributeError(f"there is no technique {name!r}: {', '.join(NAMES)}")
        return technique(name)

    def __dir__(self) -> list[str]:
        return sorted(NAMES)


reduce: Final = Reduce()
