# SPDX-License-Identifier: Apache-2.0
"""The one counter function: raw counts in, anchors of energy out, nothing guessed.

Every cumulative counter of the house (RAPL zone, NVML energy, CPU time) passes through
`CounterTrack`. It knows wraps, resets, steps back, frozen and absurd values, sentinels, failed
reads and gaps, and says so in flags.
"""

from collections import Counter
from typing import Final

import msgspec

from submeter.records.devices import Channel, Measures
from submeter.units import NS_PER_S, s_to_ns

# Values that firmware returns for "no reading": all ones in 32 and 64 bits, signed maxima, and
# the all-ones microwatts seen from ACPI power meters.
SENTINELS: Final = frozenset(
    {2**32 - 1, 2**31 - 1, 2**64 - 1, 2**63 - 1, 4_294_967_295_000, 4_294_967_295_000_000}
)
FROZEN_AFTER_S: Final = 1.0  # a device that draws power and does not count for so long is frozen


class Anchor(msgspec.Struct, frozen=True):
    """The counter's total [J] at an instant known to lie between ``early_ns`` and ``late_ns``."""

    early_ns: int
    late_ns: int
    total_j: float
    likely_ns: int | None = None

    @property
    def t_ns(self) -> int:
        """Best guess of the instant."""
        if self.likely_ns is not None:
            return self.likely_ns
        return (self.early_ns + self.late_ns) // 2


class Stretch(msgspec.Struct, frozen=True):
    """Energy between two instants.

    ``known`` stretches come from the counter. Others are holes whose energy lies between
    ``low_j`` and ``high_j``; ``energy_j`` is then the least that is certain, to be replaced by
    an interpolation. ``why`` names the flag.
    """

    start: Anchor
    end: Anchor
    energy_j: float
    low_j: float
    high_j: float
    known: bool = True
    why: str = ""


class CounterTrack:
    """Follows one counter through its readings.

    Parameters
    ----------
    channel
        Scale [J per count], modulus [counts], update period [s] and ceiling of power [W].

    Notes
    -----
    Between two good readings ``r0`` at ``t0`` and ``r1`` at ``t1`` the most that the device can
    have drawn is ``ceiling = peak_w * (t1 - t0 + update_s)``.

    * ``r1 >= r0`` and no more than the ceiling: the difference.
    * ``r1 < r0``, and with one modulus added no more than the ceiling: one wrap.
    * So much time that the modulus fits into the ceiling: the number of wraps is not guessed;
      the hole is between the difference and the ceiling.
    * A counter of energy that stays the same over many reads is frozen: the hole is between
      nothing and the ceiling.
    * Otherwise the reading waits for a second one. If the next reading fits the old level, it
      was a spike and is dropped; if it fits the new level, the counter was reset (new level
      within the ceiling of zero) or moved, and the hole is between what the new level proves
      and the ceiling.
    """

    def __init__(self, channel: Channel) -> None:
        self._scale = channel.scale
        self._modulus = channel.modulus
        self._update_ns = s_to_ns(channel.update_s)
        self._peak_w = channel.peak_w
        self._never_still = channel.measures is Measures.ENERGY
        self._frozen_after_ns = max(s_to_ns(FROZEN_AFTER_S), 10 * self._update_ns)
        self._frozen = False
        self._last: tuple[int, int, int] | None = None  # t_ns, half_ns, raw: the last good one
        self._anchor: Anchor | None = None  # where the last change was seen
        self._pending: tuple[int, int, int] | None = None
        self._total_j = 0.0
        self.flags: Counter[str] = Counter()

    def feed(self, t_ns: int, half_ns: int, raw: int | None) -> list[Stretch]:
        """Take one reading; return the stretches that it completes, oldest first."""
        if raw is None:
            self.flags["missing"] += 1
            return []
        reading = (t_ns, half_ns, raw)
        if raw < 0 or (raw in SENTINELS and not self._expected(reading)):
            self.flags["sentinel"] += 1
            return []
        if self._last is None:
            self._start(reading)
            return []
        if t_ns <= self._last[0]:
            self.flags["out_of_order"] += 1
            return []
        moved = self._pending
        fell = moved is not None and moved[2] < self._last[2] and self._fits(moved, reading)
        if not fell and self._fits(self._last, reading):
            if moved is not None:
                self.flags["spike"] += 1
                self._pending = None
            return self._advance(reading)
        if self._ambiguous(self._last, reading):
            self._pending = None
            return [self._hole(reading, "wraps_unknown")]
        if moved is not None and self._fits(moved, reading):
            self._pending = None
            return [self._hole(moved, self._why_moved(moved)), *self._advance(reading)]
        self._pending = reading
        return []

    def close(self) -> list[Stretch]:
        """End of readings: a reading that still waits for a second one is taken as it stands."""
        if self._pending is None or self._last is None:
            return []
        moved, self._pending = self._pending, None
        if moved[2] >= self._last[2]:
            self.flags["spike"] += 1
            return []
        return [self._hole(moved, self._why_moved(moved))]

    @property
    def last_good_ns(self) -> int | None:
        """Instant of the last good reading."""
        return None if self._last is None else self._last[0]

    @property
    def anchor(self) -> Anchor | None:
        """Where the counter was last seen to change."""
        return self._anchor

    def _expected(self, reading: tuple[int, int, int]) -> bool:
        """Whether a value that firmware uses as a sign is just where the counter has come to."""
        return (
            self._peak_w is not None and self._last is not None and self._fits(self._last, reading)
        )

    def _start(self, reading: tuple[int, int, int]) -> None:
        t_ns, half_ns, _ = reading
        self._last = reading
        self._anchor = Anchor(t_ns - half_ns - self._update_ns, t_ns + half_ns, self._total_j)

    def _ceiling_j(self, start: tuple[int, int, int], end: tuple[int, int, int]) -> float:
        if self._peak_w is None:
            return float("inf")
        elapsed_ns = end[0] - start[0] + start[1] + end[1] + self._update_ns
        return self._peak_w * elapsed_ns / NS_PER_S

    def _delta(self, start: tuple[int, int, int], end: tuple[int, int, int]) -> tuple[int, bool]:
        counts = end[2] - start[2]
        if counts < 0 and self._modulus > max(start[2], end[2]):
            return counts + self._modulus, True
        return counts, False

    def _ambiguous(self, start: tuple[int, int, int], end: tuple[int, int, int]) -> bool:
        """Whether the counter may have gone all the way round."""
        if not self._modulus or self._peak_w is None:
            return False
        return self._modulus * self._scale <= self._ceiling_j(start, end)

    def _fits(self, start: tuple[int, int, int], end: tuple[int, int, int]) -> bool:
        counts, wrapped = self._delta(start, end)
        if counts < 0 or self._ambiguous(start, end):
            return False
        if wrapped and self._peak_w is None:
            # Without a ceiling, only the last sixteenth before the top is taken for a wrap.
            return start[2] >= self._modulus - self._modulus // 16
        return counts * self._scale <= self._ceiling_j(start, end)

    def _why_moved(self, moved: tuple[int, int, int]) -> str:
        assert self._last is not None  # noqa: S101
        if moved[2] > self._last[2]:
            return "jumped"
        near_zero = moved[2] * self._scale <= self._ceiling_j(self._last, moved)
        return "reset" if near_zero else "stepped_back"

    def _advance(self, reading: tuple[int, int, int]) -> list[Stretch]:
        assert self._last is not None  # noqa: S101
        assert self._anchor is not None  # noqa: S101
        last, self._last = self._last, reading
        counts, wrapped = self._delta(last, reading)
        if wrapped:
            self.flags["wrap"] += 1
        self._narrow(last, reading)
        energy_j = counts * self._scale
        if counts == 0:
            still_ns = reading[0] - self._anchor.late_ns
            if not self._never_still or not (self._frozen or still_ns > self._frozen_after_ns):
                return []
            if not self._frozen:
                self.flags["frozen"] += 1
            self._frozen = True
        if self._frozen:
            self._frozen = counts == 0
            self._last = last
            return [self._hole(reading, "frozen")]
        self._total_j += energy_j
        # The new value was there at the end of this read and not at the start of the last one.
        early_ns = max(last[0] - last[1], reading[0] - reading[1] - self._update_ns)
        end = Anchor(early_ns, reading[0] + reading[1], self._total_j)
        start, self._anchor = self._anchor, end
        return [Stretch(start, end, energy_j, energy_j, energy_j)]

    def _narrow(self, last: tuple[int, int, int], reading: tuple[int, int, int]) -> None:
        """What was still said at *last* had come up no longer than an update before.

        Where the change after it was seen closely, most likely just so long before.
        """
        anchor = self._anchor
        early_ns = last[0] - last[1] - self._update_ns
        if anchor is None or not anchor.early_ns < early_ns <= anchor.late_ns:
            return
        step_ns = reading[0] - last[0]
        likely_ns = None
        if step_ns < self._update_ns // 4:
            likely_ns = min(early_ns + step_ns // 2, anchor.late_ns)
        self._anchor = msgspec.structs.replace(anchor, early_ns=early_ns, likely_ns=likely_ns)

    def _hole(self, reading: tuple[int, int, int], why: str) -> Stretch:
        assert self._last is not None  # noqa: S101
        assert self._anchor is not None  # noqa: S101
        if why != "frozen":  # counted when it began
            self.flags[why] += 1
        since = (self._anchor.early_ns, 0, 0)
        ceiling_j = self._ceiling_j(since, reading)
        counts, _ = self._delta(self._last, reading)
        if why in {"wraps_unknown", "frozen"}:
            low_j = max(0.0, counts * self._scale)
        elif why == "reset":
            low_j = reading[2] * self._scale
        else:
            low_j = 0.0
        start = self._anchor
        self._start(reading)
        return Stretch(start, self._anchor, low_j, low_j, ceiling_j, known=False, why=why)
