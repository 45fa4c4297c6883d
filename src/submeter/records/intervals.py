# SPDX-License-Identifier: Apache-2.0
"""Intervals of sums of products of doubts, in closed form."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import mul
from typing import Final, NamedTuple

_ROOT_2: Final = math.sqrt(2.0)
_LARGEST_LOG_SD: Final = 10.0  # a factor of 300 million each way: nobody knows less
_WILD_LOG_SD: Final = 1.0  # from here on, first order is no longer near
_LARGEST_LOG: Final = 700.0  # about the logarithm of the largest float
_LEAST_SLOPE: Final = 1e-9  # relative deviation below which nothing bends
_FARTHEST: Final = 8.0  # standard deviations; beyond, |Z| is Z or nothing


class Row(NamedTuple):
    """One product of doubts: ``value * prod_k exp(log_sds[k] * Z_k) * prod_j |Z_j|``."""

    value: float
    log_sds: Mapping[str, float]
    zeros: tuple[str, ...] = ()


def interval(
    rows: Iterable[Row], *, uniform: Collection[str] = (), level: float = 0.95
) -> tuple[float, float]:
    """Ends of the interval that holds the sum of *rows* with probability *level*.

    Parameters
    ----------
    rows
        Products with values >= 0. Equal keys are one variable; different ones are independent,
        standard normal.
    uniform
        Keys whose variable is uniform between plus and minus the root of 3 instead.
    level
        0.95 or 0.90, with equal tails.

    Returns
    -------
    tuple of float
        Both quantiles, finite, in the unit of the values.

    Notes
    -----
    For each end, a direction ``u`` through the space of the variables is chosen along which the
    sum ``T`` moves most there. Given the place ``t = u.Z`` on it, the mean ``M(t)`` of ``T`` is
    known exactly, and what the other directions add is a small variance ``V(t)``. The quantile of
    ``T`` is then ``M(t + d)``, with ``t`` that of a normal variable and, to first order in ``V``,

        d = t (sqrt(1 + V / M'^2) - 1) + (V M'' / M'^3 - V' / M'^2) / 2

    ``M`` and ``u`` are those of [1]_ and [2]_ for sums of log-normals, ``d`` is the granularity
    adjustment of [3]_. A sum without curvature, a constant with one product, or a single product
    has no ``V``: these are exact. Between uniform variables ``t`` follows the kurtosis of ``u.Z``
    (see `coverage`). A variable ``|Z|`` goes along as the function of a normal one that is as
    probable (`_folded`), so that it shares the direction with the others.

    References
    ----------
    .. [1] M. Curran, Valuing Asian and portfolio options by conditioning on the geometric mean
       price, Management Science 40 (1994) 1705.
    .. [2] S. Vanduffel et al., Optimal approximations for risk measures of sums of lognormals
       based on conditional expectations, J. Comput. Appl. Math. 221 (2008) 202.
    .. [3] R. Martin and T. Wilde, Unsystematic credit risk, Risk 15 (2002) 123.
    """
    exact, doubtful = _parted(rows)
    if not doubtful:
        return exact, exact
    low, high = _ends(doubtful, uniform, level)
    tame = [row for row in doubtful if max(row.log_sds.values(), default=0.0) < _WILD_LOG_SD]
    if 0 < len(tame) < len(doubtful):  # a sum is no less than any part of it
        least, most = _ends(tame, uniform, level)
        low, high = max(low, least), max(high, most)
    return exact + low, exact + high


def _ends(rows: Sequence[Row], uniform: Collection[str], level: float) -> tuple[float, float]:
    terms = _Terms(rows, uniform)
    low, high = terms.end(-1.0, level), terms.end(1.0, level)
    return min(low, high), high  # beyond all reason, the ends might cross


def _parted(rows: Iterable[Row]) -> tuple[float, list[Row]]:
    """What is beyond doubt, and the rest with equal doubts as one."""
    exact: list[float] = []
    by_doubt: dict[tuple[object, ...], Row] = {}
    for row in rows:
        if row.value <= 0:
            continue
        sds = {k: min(sd, _LARGEST_LOG_SD) for k, sd in row.log_sds.items() if sd > 0}
        if not sds and not row.zeros:
            exact.append(row.value)
            continue
        key = (row.zeros, frozenset(sds.items()))
        old = by_doubt.get(key)
        by_doubt[key] = Row(row.value + (old.value if old else 0.0), sds, row.zeros)
    return math.fsum(exact), list(by_doubt.values())


class _Point(NamedTuple):
    """One term at a place on a direction, the largest being about 1."""

    mean: float
    slope: float  # of its logarithm along the direction
    bend: float  # second derivative along the direction, over the mean
    sds: list[tuple[int, float]]  # how its logarithm moves with each variable here


class _Terms:
    """The doubtful terms, with numbers for keys."""

    def __init__(self, rows: Sequence[Row], uniform: Collection[str]) -> None:
        keys = dict.fromkeys(k for row in rows for k in (*row.log_sds, *row.zeros))
        number = {key: i for i, key in enumerate(keys)}
        self.n_keys = len(keys)
        self.flat = [i for key, i in number.items() if key in uniform]
        self.rows = [
            (
                math.log(row.value),
                [(number[k], sd) for k, sd in row.log_sds.items()],
                math.fsum(sd * sd for sd in row.log_sds.values()),
                [number[k] for k in row.zeros],
            )
            for row in rows
        ]

    def end(self, side: float, level: float) -> float:
        """Quantile of the sum on the lower (*side* -1) or upper (1) side."""
        start = 1 / math.sqrt(self.n_keys)
        middle = self.gradient(self.at([start] * self.n_keys, 0.0)[1])
        place = side * self.reach(middle, level)
        there = self.gradient(self.at(middle, place)[1])
        if side < 0:  # the sum is convex: downhill, a full step would go too far
            there = _unit([a + b for a, b in zip(middle, there, strict=True)])
        place = side * self.reach(there, level)
        place += _shift(self.at(there, place)[1], there, place)
        top, points = self.at(there, place)
        return math.exp(min(_LARGEST_LOG, top + math.log(math.fsum(p.mean for p in points))))

    def reach(self, direction: list[float], level: float) -> float:
        """Quantile of the variable along *direction*, which may be uniform in part."""
        return coverage(-1.2 * math.fsum(direction[i] ** 4 for i in self.flat), level)

    def at(self, direction: list[float], place: float) -> tuple[float, list[_Point]]:
        """Each term's mean at a *place* on *direction*, over the exponential of the first."""
        found: list[tuple[float, float, float, list[tuple[int, float]]]] = []
        for value, own, square, zeros in self.rows:
            slope, sds = 0.0, own
            for k, sd in own:
                slope += sd * direction[k]
            log = value + slope * place + 0.5 * (square - slope * slope)
            bend, along = slope * slope, slope
            for k in zeros:
                share = direction[k]
                mean, first, second = _folded(share * (place - along), 1 - share * share)
                log += math.log(mean)
                bend += 2 * slope * share * first / mean + share * share * second / mean
                slope += share * first / mean
                sds = [*sds, (k, first / mean)]
            found.append((log, slope, bend, sds))
        top = max(row[0] for row in found)
        return top, [_Point(math.exp(row[0] - top), *row[1:]) for row in found]

    def gradient(self, points: list[_Point]) -> list[float]:
        """Direction in which the sum of *points* moves most."""
        sums = [0.0] * self.n_keys
        for mean, _, _, sds in points:
            for k, sd in sds:
                sums[k] += mean * sd
        return _unit(sums)


def _shift(points: list[_Point], direction: list[float], place: float) -> float:
    """How far along *direction* the variance across it moves a quantile.

    Notes
    -----
    Terms ``i`` and ``j`` covary by ``m_i m_j (exp(c_ij) - 1)`` with ``c_ij = r_i.r_j``, where
    ``r`` are their deviations across the direction. To second order in ``c`` the double sum is
    one over pairs of keys, of ``P = sum m_i s_i s_i^T``, which is far shorter.
    """
    n = len(direction)
    sums, once, twice = [0.0] * n, [0.0] * n, [0.0] * n
    pairs: dict[tuple[int, int], float] = {}
    sloped: dict[tuple[int, int], float] = {}
    for mean, slope, _, sds in points:
        for i, (k, a) in enumerate(sds):
            part = mean * a
            sums[k] += part
            once[k] += part * slope
            twice[k] += part * slope * slope
            for other, b in sds[: i + 1]:
                key = (k, other) if k < other else (other, k)
                pairs[key] = pairs.get(key, 0.0) + part * b
                sloped[key] = sloped.get(key, 0.0) + part * b * slope
    whole = math.fsum(p.mean for p in points)
    first = math.fsum(p.mean * p.slope for p in points)
    if first <= _LEAST_SLOPE * whole:
        return 0.0
    along, square = _dot(sums, direction), _dot(once, direction)
    cube = _dot(twice, direction)
    weights = [1.0 if k == other else 2.0 for k, other in pairs]
    across = sum(w * y * y for w, y in zip(weights, pairs.values(), strict=True))
    tilted = sum(w * y * sloped[key] for w, (key, y) in zip(weights, pairs.items(), strict=True))
    variance = _dot(sums, sums) - along**2
    variance += 0.5 * (across - 2 * _dot(once, once) + square**2)
    growth = 2 * (_dot(once, sums) - square * along)
    growth += tilted - 2 * _dot(twice, once) + cube * square
    bend = math.fsum(p.mean * p.bend for p in points) / first
    return _granular(max(0.0, variance), growth, first, bend, whole, place)


def _granular(
    variance: float, growth: float, first: float, bend: float, mean: float, place: float
) -> float:
    """Shift of a quantile, of the notes of `interval`.

    Notes
    -----
    What is left across the direction is rather log-normal than normal. Its variance is taken as
    that of the logarithm, ``ln(1 + V / M^2)``: the same where it is small, and sane where not.
    """
    relative = variance / mean**2
    slower = math.log1p(relative) / relative if relative > 0 else 1.0
    ratio, drift = slower * variance / first**2, slower * growth / first**2
    shift = place * (math.sqrt(1 + ratio) - 1) + 0.5 * (ratio * bend - drift)
    return max(-abs(place), min(abs(place), shift))


# Gauss-Hermite quadrature with five points for the standard normal distribution.
_HERMITE: Final = (
    (0.0, 0.533333333333333),
    (1.355626179974266, 0.222075922005613),
    (-1.355626179974266, 0.222075922005613),
    (2.856970013872806, 0.011257411327721),
    (-2.856970013872806, 0.011257411327721),
)


def _folded(mean: float, variance: float) -> tuple[float, float, float]:
    """Means of `half_normal` of a normal variable, and of its first two derivatives."""
    sd = math.sqrt(max(0.0, variance))
    value = first = second = 0.0
    for node, weight in _HERMITE if sd > 0 else ((0.0, 1.0),):
        z = max(-_FARTHEST, min(_FARTHEST, mean + sd * node))
        h = half_normal(z)
        slope = 0.5 * math.exp(0.5 * (h * h - z * z))
        value += weight * h
        first += weight * slope
        second += weight * slope * (h * slope - z)
    return value, first, second


def half_normal(z: float) -> float:
    """Value ``h`` of which ``|Z| < h`` is as probable as ``Z < z``, of a standard normal Z.

    Newton's method on the logarithm of the tail, where it converges from anywhere.
    """
    beyond = 0.5 * math.erfc(z / _ROOT_2)
    h = z + 0.6745 / (1 + 0.717 * z) if z > 0 else math.sqrt(math.pi / 2) * (1 - beyond)
    for _ in range(3):
        tail = math.erfc(h / _ROOT_2)
        h += tail * math.log(tail / beyond) * math.sqrt(math.pi / 2) * math.exp(h * h / 2)
    return max(h, 0.0)


# 97.5 % quantile, in standard deviations, of the symmetric beta distribution (Pearson type II)
# with this excess kurtosis: -1.2 is a uniform distribution, 0 a normal one. Regenerated and
# checked against scipy by tests/records/test_intervals.py.
_KURTOSIS: Final = (-1.2, -1.0, -0.8, -0.6, -0.4, -0.2, 0.0)
_LEVELS: Final = {
    0.95: (1.6454, 1.7567, 1.8333, 1.8848, 1.9196, 1.9435, 1.959964),
    0.90: (1.5588, 1.6108, 1.6361, 1.6467, 1.6495, 1.6482, 1.644854),
}


def coverage(kurtosis: float, level: float = 0.95) -> float:
    """How many standard deviations hold *level* of a sum of independent errors.

    Notes
    -----
    The sum of independent symmetric errors with variances ``u_i^2`` and excess kurtosis ``g_i``
    (uniform -1.2, normal 0) has ``g = sum(g_i u_i^4) / (sum u_i^2)^2``. The quantile is that of
    the symmetric beta distribution of equal kurtosis, exact for one uniform error and for normal
    ones, and within 1 % between.

    References
    ----------
    .. [1] JCGM 100:2008 (GUM), 4.3.7 and annex G.
    """
    if level not in _LEVELS:
        msg = f"level must be one of {sorted(_LEVELS)}, got {level}"
        raise ValueError(msg)
    table = _LEVELS[level]
    place = (max(-1.2, kurtosis) - _KURTOSIS[0]) / 0.2
    i = min(int(place), len(table) - 2)
    return table[i] + (table[i + 1] - table[i]) * (place - i)


def _dot(a: Iterable[float], b: Iterable[float]) -> float:
    return math.fsum(map(mul, a, b))


def _unit(vector: list[float]) -> list[float]:
    """*vector* with a length of 1."""
    largest = max(vector)
    scaled = [x / largest for x in vector]
    length = math.hypot(*scaled)
    return [x / length for x in scaled]
