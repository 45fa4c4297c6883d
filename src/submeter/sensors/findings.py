# SPDX-License-Identifier: Apache-2.0
"""What looking for sensors found, in the words that ``submeter doctor`` prints."""

from typing import Literal

import msgspec

State = Literal["measured", "refused", "absent", "modelled", "assumed"]


class Finding(msgspec.Struct, frozen=True):
    """One part of the machine and how its energy will be known.

    ``text`` says what was found or why not, without a full stop; ``remedy`` is the next thing to
    do, a command where there is one. ``interval_ratio`` is the half width of the 95 % interval
    of this part's energy, as a ratio of it.
    """

    part: str  # GPU | CPU | DRAM | rest | node
    state: State
    text: str
    remedy: str = ""
    interval_ratio: float | None = None
