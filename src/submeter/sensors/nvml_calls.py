# SPDX-License-Identifier: Apache-2.0
"""What is asked of a board: one driver call per channel, with an older one where it is missing."""

from collections.abc import Callable
from typing import Any, Final

from submeter.records import Measures

Call = Callable[[Any, Any], int]  # bindings, handle


def _energy_mj(api: Any, handle: Any) -> int:
    return int(api.nvmlDeviceGetTotalEnergyConsumption(handle))


class PowerNow:
    """Field 186, asked for with a request that is made once.

    The bindings build a new one for each call, which takes several times as long as the driver's
    answer. One sensor is read by one thread, so that each sensor has a request of its own.
    """

    __slots__ = ("_field", "_request")

    def __init__(self) -> None:
        self._request: Any = None
        self._field: Any = None

    def __call__(self, api: Any, handle: Any) -> int:
        if self._request is None:
            self._request = (api.c_nvmlFieldValue_t * 1)()
            self._field = self._request[0]
            self._field.fieldId = api.NVML_FI_DEV_POWER_INSTANT
        try:
            code = api.nvmlLib.nvmlDeviceGetFieldValues(handle, 1, self._request)
        except AttributeError:
            code = api.NVML_ERROR_FUNCTION_NOT_FOUND
        code = code or self._field.nvmlReturn
        if code:
            raise api.NVMLError(code)
        return int(self._field.value.uiVal)


def _power_usage_mw(api: Any, handle: Any) -> int:
    return int(api.nvmlDeviceGetPowerUsage(handle))


def _utilisation(api: Any, handle: Any) -> int:
    return int(api.nvmlDeviceGetUtilizationRates(handle).gpu)


def _temperature_c(api: Any, handle: Any) -> int:
    return int(api.nvmlDeviceGetTemperature(handle, api.NVML_TEMPERATURE_GPU))


def _clock_mhz(api: Any, handle: Any) -> int:
    return int(api.nvmlDeviceGetClockInfo(handle, api.NVML_CLOCK_SM))


def enforced_limit(api: Any, handle: Any) -> int:
    """Limit that holds now, whoever set it [mW]."""
    return int(api.nvmlDeviceGetEnforcedPowerLimit(handle))


def _set_limit(api: Any, handle: Any) -> int:
    return int(api.nvmlDeviceGetPowerManagementLimit(handle))


def _event_reasons(api: Any, handle: Any) -> int:
    return int(api.nvmlDeviceGetCurrentClocksEventReasons(handle))


def _throttle_reasons(api: Any, handle: Any) -> int:
    return int(api.nvmlDeviceGetCurrentClocksThrottleReasons(handle))


Way = tuple[Measures, float, tuple[tuple[str, Call | type[PowerNow]], ...]]  # scale, calls
POWER_NOW: Final = "NVML field 186, power now"
FAST: Final[tuple[Way, ...]] = (
    (Measures.ENERGY, 1e-3, (("nvmlDeviceGetTotalEnergyConsumption", _energy_mj),)),
    (
        Measures.POWER,
        1e-3,
        ((POWER_NOW, PowerNow), ("nvmlDeviceGetPowerUsage", _power_usage_mw)),
    ),
)
SLOW: Final[tuple[Way, ...]] = (
    (Measures.UTILISATION, 1e-2, (("nvmlDeviceGetUtilizationRates", _utilisation),)),
    (Measures.TEMPERATURE, 1.0, (("nvmlDeviceGetTemperature", _temperature_c),)),
    (Measures.CLOCK, 1e6, (("nvmlDeviceGetClockInfo", _clock_mhz),)),
    (
        Measures.CAP,
        1e-3,
        (
            ("nvmlDeviceGetEnforcedPowerLimit", enforced_limit),
            ("nvmlDeviceGetPowerManagementLimit", _set_limit),
        ),
    ),
    (
        Measures.THROTTLE,
        1.0,
        (
            ("nvmlDeviceGetCurrentClocksEventReasons", _event_reasons),
            ("nvmlDeviceGetCurrentClocksThrottleReasons", _throttle_reasons),
        ),
    ),
)
