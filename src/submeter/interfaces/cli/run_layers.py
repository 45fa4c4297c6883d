# SPDX-License-Identifier: Apache-2.0
"""``submeter run --layers``: ask the program for its layers, and say so if none came."""

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from submeter.running.launcher import Outcome

__all__ = ["asked_for_layers", "with_layer_note"]

NONE_SEEN = (
    "no layers were seen: the program trained nothing with PyTorch 2.5 or later for ten steps, or "
    "its Python ignores PYTHONPATH or has no submeter; with submeter.layers(model): needs neither"
)


@contextlib.contextmanager
def asked_for_layers(wanted: bool) -> Iterator[None]:  # noqa: FBT001  # a flag as it was given
    """Have programs that are started meanwhile look at their layers, if that is *wanted*."""
    if not wanted:
        yield
        return
    from submeter.interfaces.frameworks.layers import VARIABLE, ask_for_layers

    before = {name: os.environ.get(name) for name in (VARIABLE, "PYTHONPATH")}
    ask_for_layers(os.environ)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def with_layer_note(outcome: "Outcome") -> "Outcome":
    """*outcome* with a note that says what came of the layers."""
    if outcome.folder is None or not outcome.run_id:
        return outcome
    import msgspec

    from submeter.storing import layers

    found = layers.profiles(outcome.folder)
    if any(p.times for p in found):
        note = f"layers: submeter explain {outcome.run_id} --layers"
        troubled = [p.trouble for p in found if p.trouble]
        notes = [note, *troubled[:1]]
    else:
        trouble = next((p.trouble for p in found if p.trouble), "")
        notes = [trouble or layers.reason(outcome.folder) or NONE_SEEN]
    return msgspec.structs.replace(outcome, notes=(*outcome.notes, *notes))
