# SPDX-License-Identifier: Apache-2.0
"""``submeter.reduce``: the techniques by name, each loaded when it is asked for.

>>> import submeter
>>> model = submeter.reduce.mixed_precision(model).target  # doctest: +SKIP
"""

import os
from collections.abc import Mapping
from typing import Any, Final

from submeter.reducing.techniques import NAMES, Applied, Technique, technique
from submeter.reducing.techniques.chosen import VARIABLE, apply_to, parse

__all__ = ["reduce"]

APPLIED: Final = "technique."  # begin of the names by which runs say what was applied


class Reduce:
    """Ways to use less: ``reduce.NAME(model, …)`` applies one and gives an `Applied`.

    ``target`` of that is what to use from now on, ``undo()`` the way back; leaving it as a context
    manager undoes, too. ``dir()`` lists the names, ``submeter techniques`` explains them.
    """

    def __init__(self) -> None:
        self.__name__ = "reduce"
        self.applied: list[Applied] = []  # from the environment, in this process

    def __getattr__(self, name: str) -> Technique:
        if name not in NAMES:
            raise AttributeError(f"there is no technique {name!r}: {', '.join(NAMES)}")
        return technique(name)

    def from_environment(
        self,
        model: Any = None,
        optimiser: Any = None,
        loader: Any = None,
        *,
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Any:
        """Apply the techniques that ``SUBMETER_TECHNIQUES`` names; without it, change nothing.

        ``submeter tune --technique mixed_precision=off,on`` sets it. Each is applied to what it
        takes, if that is given, in the order named; what was done stands in `applied` and is
        logged with the run.

        Parameters
        ----------
        model, optimiser, loader
            What the program uses.
        options
            By technique, what only the program can give: ``{"prune_channels": {"example": x}}``.

        Returns
        -------
        object or tuple
            What to use from now on: as many as were given, in their order.

        Raises
        ------
        UsageError
            If a technique is not known or cannot be applied.
        """
        given = {"model": model, "optimiser": optimiser, "loader": loader}
        targets = {name: value for name, value in given.items() if value is not None}
        done = apply_to(targets, parse(os.environ.get(VARIABLE, "")), options)
        if done:
            from submeter.interfaces.program import log

            words: dict[str, Any] = {
                APPLIED + a.technique: "; ".join(a.notes) or "applied" for a in done
            }
            log(**words)
            self.applied += done
        found = tuple(targets.values())
        return found[0] if len(found) == 1 else found

    def __dir__(self) -> list[str]:
        return sorted(NAMES)


reduce: Final = Reduce()
