# SPDX-License-Identifier: Apache-2.0
"""Spreads that were themselves estimated from few, put together and widened accordingly."""

import math
from typing import Final

import msgspec

NORMAL_90: Final = 1.644854


class Spread(msgspec.Struct, frozen=True):
    """Deviation of a logarithm, and the degrees of freedom it was estimated with.

    Attributes
    ----------
    sd
        Root mean square of the residuals, of natural logarithms.
    df
        Degrees of freedom; infinite where the deviation is taken as known.
    """

    sd: float
    df: float = math.inf

    @property
    def normal_sd(self) -> float:
        """Deviation of the normal distribution with the 90 % interval of Student's."""
        return self.sd * student_90(self.df) / NORMAL_90


def together(*parts: Spread) -> Spread:
    """Spread of the sum of independent doubts, with degrees of freedom after Satterthwaite.

    ``sd² = sum sd_i²``, ``df = sd⁴ / sum (sd_i⁴ / df_i)``.

    References
    ----------
    .. [1] Satterthwaite, F. E. (1946), Biometrics Bulletin 2 (6), 110, eq. 17.
    """
    square = math.fsum(part.sd**2 for part in parts)
    doubt = math.fsum(part.sd**4 / part.df for part in parts)
    return Spread(math.sqrt(square), square**2 / doubt if doubt else math.inf)


def student_90(df: float) -> float:
    """Half-width of the central 90 % interval of Student's distribution.

    A series in ``1 / df`` around the normal quantile, within 0.5 % from two degrees of
    freedom on; below, that of two.

    References
    ----------
    .. [1] Abramowitz and Stegun (1964), Handbook of Mathematical Functions, 26.7.5.
    """
    z, n = NORMAL_90, max(2.0, df)
    return (
        z
        + (z**3 + z) / (4 * n)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * n**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * n**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * n**4)
    )
