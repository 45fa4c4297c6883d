# SPDX-License-Identifier: Apache-2.0
"""How much of a device's energy each phase used, when phases are shorter than the readings.

A window (the time between two readings) in which one phase filled everything gives its energy to
that phase. In mixed windows the phases' powers are found by a non-negative regression of window
energy on occupancy, over the whole run, and each mix is divided in proportion, so that every
split sums exactly. What the data cannot tell apart is said to be not separable.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from submeter.metering.shares import SHARE_RELATIVE_SD
from submeter.records.frames import OTHER_PHASES

OUTSIDE: Final = ""  # the path of time in no phase
PURE_RATIO: Final = 0.999  # a phase that fills this much of a window owns it
MAX_LEAVES: Final = 48  # more leaves than this are regressed by their parents' mean power
MAX_MIXES: Final = 512
DOUBTFUL_RATIO: Final = 0.25  # standard error over energy beyond which a split is not shown
CORRELATED: Final = -0.7  # estimates that move against each other like this belong together
NNLS_OPERATIONS: Final = 2_000_000
BUSY_RATIO: Final = 0.1  # CPU time over time from which on it says who a window was for
SINGULAR: Final = 1e-10  # pivot of a scaled matrix that is zero to working precision


class Occupation(msgspec.Struct):
    """Time of one leaf within windows, summed over processes [s], and its energy there [J]."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    energy_j: float = 0.0


class Split(msgspec.Struct):
    """Energy of one leaf by device [J].

    ``sd_j`` is the standard error of the split; of a leaf that cannot be told from those in
    ``joint_with`` it is that of all of them together.
    """

    devices: dict[str, float]
    sd_j: float = 0.0
    joint_with: tuple[str, ...] = ()

    @property
    def energy_j(self) -> float:
        """All devices together."""
        return math.fsum(self.devices.values())


class _Mix(msgspec.Struct):
    """All windows in which the same leaves met."""

    seconds: dict[str, float]
    energy_j: dict[str, float]


class Separator:
    """Collects windows in a memory that does not grow with the run.

    Parameters
    ----------
    by_cpu_time
        Leaves side by side share a window by CPU time (for processors and memory) instead of by
        time (for boards).
    """

    def __init__(self, *, by_cpu_time: bool) -> None:
        self._by_cpu_time = by_cpu_time
        self._pure: dict[str, dict[str, float]] = {}
        self._mixes: dict[frozenset[str], _Mix] = {}
        self._gram: dict[tuple[str, str], float] = {}
        self._moment: dict[str, dict[str, float]] = {}  # device -> leaf -> sum of x * energy
        self._shared_sd_j: dict[str, float] = {}  # of windows divided among leaves side by side
        self._square_j2 = 0.0
        self._seconds: dict[str, float] = {}
        self._windows = 0

    def add(
        self,
        window_s: float,
        occupied: Mapping[str, Occupation],
        energy_j: Mapping[str, float],
    ) -> None:
        """Take one window of *window_s* with its occupancy and the energy of each device."""
        if not energy_j:
            return
        if window_s <= 0:
            for device, amount_j in energy_j.items():
                _add(self._pure.setdefault(OUTSIDE, {}), device, amount_j)
            return
        if math.fsum(o.wall_s for o in occupied.values()) > window_s * (2 - PURE_RATIO):
            self._share_out(window_s, occupied, energy_j)
            return
        x = self._weights(window_s, occupied)
        self._windows += 1
        leaves = sorted(x)
        for i, a in enumerate(leaves):
            _add(self._seconds, a, x[a])
            for b in leaves[i:]:
                _add(self._gram, (a, b), x[a] * x[b])
        total_j = 0.0
        for device, amount_j in energy_j.items():
            total_j += amount_j
            moment = self._moment.setdefault(device, {})
            for a in leaves:
                _add(moment, a, x[a] * amount_j)
        self._square_j2 += total_j * total_j
        if len(leaves) == 1:
            into = self._pure.setdefault(leaves[0], {})
        else:
            into = self._mix(frozenset(leaves), x).energy_j
        for device, amount_j in energy_j.items():
            _add(into, device, amount_j)

    def _share_out(
        self,
        window_s: float,
        occupied: Mapping[str, Occupation],
        energy_j: Mapping[str, float],
    ) -> None:
        """Divide a window in which leaves ran side by side: by CPU time, or by time.

        What hardly computes is divided by time: a few milliseconds of CPU time say nothing about
        who the window was for.
        """
        cpu_s = math.fsum(o.cpu_s for o in occupied.values())
        by_cpu = self._by_cpu_time and cpu_s > BUSY_RATIO * window_s
        by_cpu = by_cpu and OTHER_PHASES not in occupied  # whose CPU time nobody counted
        weight = {p: o.cpu_s if by_cpu else o.wall_s for p, o in occupied.items()}
        whole = math.fsum(weight.values())
        drawn_j = math.fsum(energy_j.values())
        for path, w in weight.items():
            part = w / whole
            for device, amount_j in energy_j.items():
                _add(self._pure.setdefault(path, {}), device, amount_j * part)
            _add(self._shared_sd_j, path, SHARE_RELATIVE_SD * drawn_j * part * (1 - part))

    def _weights(self, window_s: float, occupied: Mapping[str, Occupation]) -> dict[str, float]:
        x = {path: o.wall_s for path, o in occupied.items() if o.wall_s > 0}
        used_s = math.fsum(x.values())
        if used_s < window_s * PURE_RATIO:
            x[OUTSIDE] = window_s - used_s
        elif len(x) > 1:
            # leaves below a thousandth of the window are the reader's own jitter
            x = {p: s for p, s in x.items() if s > window_s * (1 - PURE_RATIO)} or x
        return x

    def _mix(self, key: frozenset[str], x: Mapping[str, float]) -> _Mix:
        if key not in self._mixes and len(self._mixes) >= MAX_MIXES:
            # one common pot for what is left: still summed exactly, only less finely divided
            key = frozenset({"*"})
        mix = self._mixes.setdefault(key, _Mix({}, {}))
        for path, seconds in x.items():
            _add(mix.seconds, path, seconds)
        return mix

    def finish(self) -> dict[str, Split]:
        """Energy of every leaf, `OUTSIDE` among them."""
        devices = sorted(self._moment.keys() | {d for e in self._pure.values() for d in e})
        leaves = sorted(self._seconds, key=lambda p: -self._seconds[p])[:MAX_LEAVES]
        gram = [[self._gram.get((min(a, b), max(a, b)), 0.0) for b in leaves] for a in leaves]
        power = {
            d: dict(
                zip(
                    leaves,
                    non_negative_least_squares(
                        gram, [self._moment.get(d, {}).get(a, 0.0) for a in leaves]
                    ),
                    strict=True,
                )
            )
            for d in devices
        }
        out = {p: Split(dict(e)) for p, e in self._pure.items()}
        mixed: dict[str, Occupation] = {}
        for mix in self._mixes.values():
            for path, seconds in mix.seconds.items():
                mixed.setdefault(path, Occupation()).wall_s += seconds
                out.setdefault(path, Split({}))
            for device, amount_j in mix.energy_j.items():
                for path, part_j in _divide(amount_j, mix.seconds, power[device]).items():
                    _add(out[path].devices, device, part_j)
                    mixed[path].energy_j += part_j
        self._judge(out, leaves, gram, mixed, power)
        for path, sd_j in self._shared_sd_j.items():
            out[path].sd_j += sd_j  # one rough guide for all windows: errors do not cancel
        return out

    def _judge(
        self,
        out: dict[str, Split],
        leaves: list[str],
        gram: list[list[float]],
        mixed: dict[str, Occupation],
        power: dict[str, dict[str, float]],
    ) -> None:
        """Standard errors of the splits, and which leaves cannot be told apart.

        Notes
        -----
        Only what mixed windows gave is doubtful. The covariance of the powers is
        ``s^2 (G + s^2 / m^2 I)^-1``: residual variance ``s^2``, and before any data a power
        within once the run's mean ``m`` of it.
        """
        inside = [p for p in leaves if p in mixed]
        seconds = math.fsum(self._seconds.values())
        if not inside or seconds <= 0:
            return
        moment = [math.fsum(m.get(a, 0.0) for m in self._moment.values()) for a in leaves]
        p_total = [math.fsum(power[d].get(a, 0.0) for d in power) for a in leaves]
        mean_w = math.fsum(w * self._seconds[a] for w, a in zip(p_total, leaves, strict=True))
        mean_w /= seconds
        if mean_w**2 <= 0:  # nothing was drawn, to working precision
            return
        variance_j2 = self._residual_j2(gram, moment, p_total, mean_w)
        ridge = max(variance_j2 / mean_w**2, SINGULAR * max(gram[i][i] for i in range(len(gram))))
        inverse = invert(
            [
                [v + (ridge if i == j else 0.0) for j, v in enumerate(row)]
                for i, row in enumerate(gram)
            ]
        )
        assert inverse is not None  # noqa: S101 - the ridge sees to it
        for path in inside:
            i = leaves.index(path)
            sd_w = math.sqrt(max(variance_j2, ridge * mean_w**2) * max(0.0, inverse[i][i]))
            part = mixed[path]
            # a leaf that the fit gives nothing may still have drawn the mean
            out[path].sd_j = min(sd_w * part.wall_s, max(part.energy_j, mean_w * part.wall_s))
        groups = linked(
            (path, self._companions(path, leaves, inverse))
            for path in inside
            if path != OUTSIDE and out[path].sd_j > DOUBTFUL_RATIO * out[path].energy_j
        )
        for group in groups:
            together = sorted((leaves.index(p), mixed[p].wall_s) for p in group if p in mixed)
            spread = math.fsum(s * t * inverse[i][j] for i, s in together for j, t in together)
            most_j = math.fsum(mixed[p].energy_j for p in group if p in mixed)
            for path in group:
                out[path].joint_with = tuple(sorted(group - {path}))
                out[path].sd_j = min(math.sqrt(max(0.0, spread * variance_j2)), most_j)

    def _residual_j2(
        self, gram: list[list[float]], moment: list[float], p_w: list[float], mean_w: float
    ) -> float:
        """Variance of a window's energy about the fit; all of it where windows are too few."""
        spare = self._windows - len(p_w)
        if spare <= 0:
            return math.fsum(gram[i][i] for i in range(len(gram))) * mean_w**2
        fitted = math.fsum(
            a * row_v * b
            for a, row in zip(p_w, gram, strict=True)
            for row_v, b in zip(row, p_w, strict=True)
        )
        return max(0.0, self._square_j2 - 2 * _dot(p_w, moment) + fitted) / spare

    def _companions(self, path: str, leaves: list[str], inverse: list[list[float]]) -> set[str]:
        """Leaves that met *path*, and whose estimates move against its own."""
        met = {p for key in self._mixes if path in key for p in key} - {path, OUTSIDE}
        i = leaves.index(path)
        near = set()
        for other in met & set(leaves):
            j = leaves.index(other)
            scale = math.sqrt(inverse[i][i] * inverse[j][j])
            if inverse[i][j] < CORRELATED * scale:
                near.add(other)
        return near


def linked(links: Iterable[tuple[str, set[str]]]) -> list[set[str]]:
    """Leaves that belong together, also by way of a third; groups of one are left out."""
    groups: list[set[str]] = []
    for path, near in links:
        whole = {path} | near
        for group in [g for g in groups if g & whole]:
            whole |= group
            groups.remove(group)
        groups.append(whole)
    return [g for g in groups if len(g) > 1]


def _add(table: dict, key: object, amount: float) -> None:  # type: ignore[type-arg]
    table[key] = table.get(key, 0.0) + amount


def _dot(a: Iterable[float], b: Iterable[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))


def _divide(
    amount_j: float, seconds: Mapping[str, float], power_w: Mapping[str, float]
) -> dict[str, float]:
    """*amount_j* in proportion to seconds times power; by seconds alone if no power is known."""
    known = [w for p, w in power_w.items() if p in seconds]
    mean_w = sum(known) / len(known) if known else 1.0
    weight = {p: s * power_w.get(p, mean_w) for p, s in seconds.items()}
    whole = math.fsum(weight.values())
    if whole <= 0:
        weight = dict(seconds)
        whole = math.fsum(weight.values())
    return {p: amount_j * w / whole for p, w in weight.items()}


def non_negative_least_squares(gram: list[list[float]], moment: list[float]) -> list[float]:
    """Minimise ``p' G p - 2 m' p`` over ``p >= 0``.

    Parameters
    ----------
    gram
        ``(n, n)``, symmetric and positive semi-definite: sums of products of occupancies [s^2].
    moment
        ``n`` sums of occupancy times energy [J s].

    Returns
    -------
    list[float]
        ``n`` powers [W].

    Notes
    -----
    Cyclic coordinate descent, which converges for a positive semi-definite ``G``.

    References
    ----------
    .. [1] Franc, Hlaváč, Navara 2005, "Sequential coordinate-wise algorithm for the
       non-negative least squares problem", CAIP 2005, section 3.
    """
    n = len(moment)
    scale = max((abs(m) for m in moment), default=0.0)
    if n == 0 or scale == 0.0:
        return [0.0] * n
    # Begin at one power for all: where the data cannot tell two apart, they stay equal.
    seconds2 = math.fsum(v for row in gram for v in row)
    even_w = max(0.0, math.fsum(moment) / seconds2) if seconds2 > 0 else 0.0
    p = [even_w] * n
    slope = [math.fsum(row) * even_w - m for row, m in zip(gram, moment, strict=True)]
    for _ in range(max(200, NNLS_OPERATIONS // (n * n))):
        moved = 0.0
        for j in range(n):
            row = gram[j]
            if row[j] <= 0.0:
                continue
            step = max(-p[j], -slope[j] / row[j])
            if step:
                p[j] += step
                moved = max(moved, abs(step) * row[j])
                for i in range(n):
                    slope[i] += step * row[i]
        if moved <= 1e-12 * scale:
            break
    return p


def invert(matrix: list[list[float]]) -> list[list[float]] | None:
    """Inverse of a symmetric positive matrix; None where it is singular to working precision."""
    n = len(matrix)
    scale = [math.sqrt(matrix[i][i]) for i in range(n)]
    if any(s == 0.0 for s in scale):
        return None
    rows = [
        [matrix[i][j] / (scale[i] * scale[j]) for j in range(n)]
        + [1.0 if i == j else 0.0 for j in range(n)]
        for i in range(n)
    ]
    for c in range(n):
        pivot = max(range(c, n), key=lambda r: abs(rows[r][c]))
        if abs(rows[pivot][c]) < SINGULAR:
            return None
        rows[c], rows[pivot] = rows[pivot], rows[c]
        lead = rows[c][c]
        rows[c] = [v / lead for v in rows[c]]
        for r in range(n):
            if r != c and rows[r][c]:
                factor = rows[r][c]
                rows[r] = [v - factor * w for v, w in zip(rows[r], rows[c], strict=True)]
    return [[rows[i][n + j] / (scale[i] * scale[j]) for j in range(n)] for i in range(n)]
