# SPDX-License-Identifier: Apache-2.0
"""What panels give, slot by slot, under a clear sky or under clouds."""

import numpy as np
import numpy.typing as npt

from submeter.errors import UsageError
from submeter.grid.microgrid import clear_sky_w_per_m2

Floats = npt.NDArray[np.float64]
_TEST_W_PER_M2 = 1000.0  # irradiance at which peak power is rated, IEC 61215
_PARTS = 4  # of a slot, since the sun does not stand still in it


def panels_kw(
    peak_kw: float,
    place: tuple[float, float],
    start_s: float,
    step_s: float,
    slots: int,
    *,
    cloud_cover: Floats | None = None,
    clearness_ratio: float = 0.81,
    performance_ratio: float = 0.8,
) -> Floats:
    """Mean power of flat panels in each slot [kW], shape (slots,).

    Parameters
    ----------
    place
        Latitude and longitude [degrees].
    cloud_cover
        Share of the sky that is covered, shape (slots,) [1]; if None, *clearness_ratio* is taken,
        that of the Earth's mean cover (see `submeter.grid.microgrid.Microgrid`).
    performance_ratio
        What inverter, heat, dust and cables leave [1].

    Raises
    ------
    UsageError
        If the cover is not between 0 and 1, or has another length.

    Notes
    -----
    Irradiance under clouds is that of a clear sky times ``1 - 0.75 N**3.4`` (Kasten and Czeplak
    1980, Solar Energy 24).
    """
    clear: npt.NDArray[np.float64] | float = clearness_ratio
    if cloud_cover is not None:
        if cloud_cover.shape != (slots,) or not ((cloud_cover >= 0) & (cloud_cover <= 1)).all():
            raise UsageError(
                "cloud cover is a share between 0 and 1 for each slot",
                remedy="give eighths divided by 8, or percent divided by 100",
            )
        clear = 1 - 0.75 * cloud_cover**3.4
    instants_s = start_s + (np.arange(slots * _PARTS) + 0.5) * step_s / _PARTS
    sky = np.array([clear_sky_w_per_m2(float(at), *place) for at in instants_s])
    mean = sky.reshape(slots, _PARTS).mean(axis=1)
    given: Floats = peak_kw * performance_ratio / _TEST_W_PER_M2 * mean * clear
    return given
