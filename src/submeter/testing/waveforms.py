# SPDX-License-Identifier: Apache-2.0
"""Power over time whose energy is known in closed form."""

import math
from dataclasses import dataclass, field, replace
from typing import Final

CONSTANT: Final = 0
PULSES: Final = 1
RAMP: Final = 2


@dataclass(frozen=True, slots=True)
class Part:
    """One addend of a waveform; nvml.c reads the same six numbers.

    ``kind`` constant: ``a`` is the power. Pulses: period ``a``, on for ``b`` of it, at ``d``, else
    ``c``. Ramp: from time ``a`` to ``b`` straight from ``c`` to ``d``. All moved by ``shift_s``.
    """

    kind: int
    shift_s: float
    a: float
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0

    def power_w(self, t_s: float) -> float:
        """Power at *t_s* [W]; at an edge, the value behind it."""
        t = t_s - self.shift_s
        if self.kind == CONSTANT:
            return self.a
        if self.kind == PULSES:
            return self.d if t - math.floor(t / self.a) * self.a < self.b else self.c
        if t < self.a:
            return self.c
        if t >= self.b:
            return self.d
        return self.c + (self.d - self.c) * (t - self.a) / (self.b - self.a)

    def integral_j(self, t_s: float) -> float:
        """Energy from the part's own zero to *t_s* [J], negative before it."""
        t = t_s - self.shift_s
        if self.kind == CONSTANT:
            return self.a * t
        if self.kind == PULSES:
            periods = math.floor(t / self.a)
            on_s = periods * self.b + min(max(t - periods * self.a, 0.0), self.b)
            return self.c * t + (self.d - self.c) * on_s
        inside_s = min(max(t, self.a), self.b) - self.a
        length_s = self.b - self.a
        area = inside_s * inside_s / (2 * length_s) if length_s > 0 else 0.0
        return self.c * t + (self.d - self.c) * (area + max(t - self.b, 0.0))


@dataclass(frozen=True, slots=True)
class Waveform:
    """Power over time, a sum of constants, pulses and ramps.

    Times are seconds of the machine that it drives; they may be negative, because an averaging
    sensor looks back. Waveforms are added with ``+`` and scaled with ``*``.
    """

    parts: tuple[Part, ...] = field(default=())

    def power_w(self, t_s: float) -> float:
        """Power at *t_s* [W]."""
        return math.fsum(part.power_w(t_s) for part in self.parts)

    def energy_j(self, t0_s: float, t1_s: float) -> float:
        """Energy between *t0_s* and *t1_s* [J], exact but for the rounding of floats."""
        total = 0.0
        for part in self.parts:
            total += part.integral_j(t1_s) - part.integral_j(t0_s)
        return total

    def shifted(self, by_s: float) -> "Waveform":
        """Return the same power, *by_s* later."""
        return Waveform(tuple(replace(part, shift_s=part.shift_s + by_s) for part in self.parts))

    def __add__(self, other: "Waveform") -> "Waveform":
        return Waveform(self.parts + other.parts)

    def __mul__(self, ratio: float) -> "Waveform":
        return Waveform(tuple(_scaled(part, ratio) for part in self.parts))

    __rmul__ = __mul__


def _scaled(part: Part, ratio: float) -> Part:
    if part.kind == CONSTANT:
        return replace(part, a=part.a * ratio)
    return replace(part, c=part.c * ratio, d=part.d * ratio)


def _finite(**numbers: float) -> None:
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise ValueError(f"{name} must be a finite number, got {number}")


def constant(power_w: float) -> Waveform:
    """Power that never changes.

    Parameters
    ----------
    power_w
        Power [W].
    """
    _finite(power_w=power_w)
    return Waveform((Part(CONSTANT, 0.0, power_w),))


def square(period_s: float, low_w: float, high_w: float, *, duty_ratio: float = 0.5) -> Waveform:
    """Power that is high at the start of each period and low for the rest of it.

    Parameters
    ----------
    period_s
        Length of a period [s], more than 0; 0.5 s makes 2 Hz.
    low_w, high_w
        The two powers [W].
    duty_ratio
        Part of the period that is high, 0 to 1.
    """
    _finite(period_s=period_s, low_w=low_w, high_w=high_w)
    if period_s <= 0:
        raise ValueError(f"period_s must be more than 0, got {period_s}")
    if not 0 <= duty_ratio <= 1:
        raise ValueError(f"duty_ratio must be within 0 and 1, got {duty_ratio}")
    return Waveform((Part(PULSES, 0.0, period_s, period_s * duty_ratio, low_w, high_w),))


def burst(
    low_w: float, high_w: float, *, length_s: float = 0.05, every_s: float = 0.4
) -> Waveform:
    """Short bursts of high power at a fixed rate, the first at 0.

    Parameters
    ----------
    low_w, high_w
        Power between and in the bursts [W].
    length_s, every_s
        Length of a burst and time from one start to the next [s].
    """
    _finite(length_s=length_s)
    if not 0 <= length_s <= every_s:
        raise ValueError(f"length_s must be within 0 and every_s, got {length_s}")
    return square(every_s, low_w, high_w, duty_ratio=length_s / every_s)


def ramp(start_s: float, end_s: float, low_w: float, high_w: float) -> Waveform:
    """Power that goes straight from one value to another, and is constant before and after.

    Parameters
    ----------
    start_s, end_s
        When it leaves *low_w* and reaches *high_w* [s]; equal for a step.
    low_w, high_w
        Power before and after [W]; *high_w* may be the smaller.
    """
    _finite(start_s=start_s, end_s=end_s, low_w=low_w, high_w=high_w)
    if end_s < start_s:
        raise ValueError(f"end_s must not be before start_s, got {start_s} and {end_s}")
    return Waveform((Part(RAMP, 0.0, start_s, end_s, low_w, high_w),))


def step(at_s: float, before_w: float, after_w: float) -> Waveform:
    """Power that jumps once.

    Parameters
    ----------
    at_s
        When [s].
    before_w, after_w
        Power before and from then on [W].
    """
    return ramp(at_s, at_s, before_w, after_w)
