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

OUTSIDE: Final = ""  # the path of time in no phase
PURE_RATIO: Final = 0.999  # a phase that fills this much of a window owns it
MAX_LEAVES: Final = 48  # more leaves than this are regressed by their parents' mean power
MAX_MIXES: Final = 512
DOUBTFUL_RATIO: Final = 0.25  # standard error over energy beyond which a split is not shown
CORRELATED: Final = -0.7  # estimates that move against each other like this belong together
NNLS_OPERATIONS: Final = 2_000_000
SINGULAR: Final = 1e-10  # pivot of a scaled matrix that is zero to working precision


class Occupation(msgspec.Struct):
    """Time of one leaf within a window, summed over processes [s]."""

    wall_s: float = 0.0
    cpu_s: float = 0.0


class Split(msgspec.Struct):
    """Energy of one leaf: by device [J], standard error of the split [J], and its companions."""

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
        Concurrent leaves share a window by CPU time (for CPUs and memory) instead of by wall
        time (for boards).
    """

    def __init__(self, *, by_cpu_time: bool) -> None:
        self._by_cpu_time = by_cpu_time
        self._pure: dict[str, dict[str, float]] = {}
        self._mixes: dict[frozenset[str], _Mix] = {}
        self._gram: dict[tuple[str, str], float] = {}
        self._moment: dict[str, dict[str, float]] = {}  # device -> leaf -> sum of x * energy
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
        if window_s <= 0:
            for device, amount_j in energy_j.items():
                _add(self._pure.setdefault(OUTSIDE, {}), device, amount_j)
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

    def _weights(self, window_s: float, occupied: Mapping[str, Occupation]) -> dict[str, float]:
        x = {path: o.wall_s for path, o in occupied.items() if o.wall_s > 0}
        used_s = math.fsum(x.values())
        if used_s > window_s * (2 - PURE_RATIO):  # leaves ran side by side
            cpu = {path: occupied[path].cpu_s for path in x}
            cpu_s = math.fsum(cpu.values())
            if self._by_cpu_time and cpu_s > 0:
                return {path: window_s * s / cpu_s for path, s in cpu.items() if s > 0}
            return {path: s * window_s / used_s for path, s in x.items()}
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
        mixed_s: dict[str, float] = {}
        for mix in self._mixes.values():
            for path, seconds in mix.seconds.items():
                _add(mixed_s, path, seconds)
                out.setdefault(path, Split({}))
            for device, amount_j in mix.energy_j.items():
                for path, part_j in _divide(amount_j, mix.seconds, power[device]).items():
                    _add(out[path].devices, device, part_j)
        self._judge(out, leaves, gram, mixed_s, power)
        return out

    def _judge(
        self,
        out: dict[str, Split],
        leaves: list[str],
        gram: list[list[float]],
        mixed_s: dict[str, float],
        power: dict[str, dict[str, float]],
    ) -> None:
        """Standard errors of the splits, and which leaves cannot be told apart."""
        inside = [p for p in leaves if p in mixed_s]
        if not inside:
            return
        spare = self._windows - len(leaves)
        inverse = invert(gram)
        p_total = [math.fsum(power[d].get(a, 0.0) for d in power) for a in leaves]
        moment = [math.fsum(m.get(a, 0.0) for m in self._moment.values()) for a in leaves]
        fitted = math.fsum(
            p_total[i] * gram[i][j] * p_total[j]
            for i in range(len(leaves))
            for j in range(len(leaves))
        )
        residual_j2 = self._square_j2 - 2 * _dot(p_total, moment) + fitted
        variance_j2 = max(0.0, residual_j2) / spare if spare > 0 else math.inf
        for path in inside:
            i = leaves.index(path)
            split = out[path]
            if inverse is None or not math.isfinite(variance_j2):
                split.sd_j = split.energy_j / math.sqrt(3)  # anything from none to twice
            else:
                sd_w = math.sqrt(variance_j2 * max(0.0, inverse[i][i]))
                split.sd_j = min(sd_w * mixed_s[path], split.energy_j)
        doubtful = [
            p
            for p in inside
            if p != OUTSIDE and out[p].sd_j > DOUBTFUL_RATIO * out[p].energy_j > 0
        ]
        for path in doubtful:
            near = self._companions(path, leaves, inverse, mixed_s)
            out[path].joint_with = tuple(sorted(set(out[path].joint_with) | near))
            for other in near:
                joined = set(out[other].joint_with) | {path} | (near - {other})
                out[other].joint_with = tuple(sorted(joined))

    def _companions(
        self,
        path: str,
        leaves: list[str],
        inverse: list[list[float]] | None,
        mixed_s: dict[str, float],
    ) -> set[str]:
        met = {p for key in self._mixes if path in key for p in key} - {path, OUTSIDE, "*"}
        if inverse is None:
            return {p for p in met if p in mixed_s}
        i = leaves.index(path)
        near = set()
        for other in met & set(leaves):
            j = leaves.index(other)
            scale = math.sqrt(max(1e-300, inverse[i][i] * inverse[j][j]))
            if inverse[i][j] / scale < CORRELATED:
                near.add(other)
        return near


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
