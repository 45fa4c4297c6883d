# SPDX-License-Identifier: Apache-2.0
"""HiGHS, silent and on one thread."""

import os
from typing import Any


def highs() -> Any:
    """A new, empty model of HiGHS.

    The first one of a process greets on standard output, even where it is told to be silent;
    that would spoil a JSON document, so the greeting goes nowhere.
    """
    import highspy

    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        model = highspy.Highs()  # type: ignore[no-untyped-call]
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
    for name, value in (("output_flag", False), ("threads", 1), ("random_seed", 1)):
        model.setOptionValue(name, value)
    return model
