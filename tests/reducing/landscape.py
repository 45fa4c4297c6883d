# SPDX-License-Identifier: Apache-2.0
"""A machine whose power hangs on the setting, which nobody knows but by trying."""

import math
from collections.abc import Mapping

from submeter.records.figures import Figure
from submeter.reducing.spaces import Value
from submeter.reducing.tuning import GoesOn, Outcome

LOOKS = 25
WALL_RATIO = 1.2
SETS = ("batch=16,32,64,128", "amp=none,bf16", "lr=0.001,0.01,0.1")


class Landscape:
    """Trains without training: speed, power and how well it learns, by the setting."""

    def __init__(self, *, tells: bool = False) -> None:
        self._tells = tells  # how much of it is done
        self.node_j = 0.0  # what all trials used
        self.ran: list[dict[str, Value]] = []

    def truth(self, settings: Mapping[str, Value]) -> tuple[float, float, float]:
        """Power [W], time to the end [s], score at the end."""
        larger = math.log2(int(settings["batch"]) / 16)
        half = settings["amp"] == "bf16"
        power_w = 80 + 30 * larger + (40 if half else 0)
        time_s = 100 / (1 + 0.6 * larger) / (1.9 if half else 1.0)
        off = abs(math.log10(float(settings["lr"])) + 2)  # 0.01 is best
        score = 1 - 0.03 * math.exp(0.8 * off) - 0.012 * larger**2
        return power_w, time_s, score

    def energy_j(self, settings: Mapping[str, Value]) -> float:
        power_w, time_s, _ = self.truth(settings)
        return power_w * time_s

    def run_one(self, number: int, settings: dict[str, Value], goes_on: GoesOn) -> Outcome:
        del number
        power_w, time_s, score = self.truth(settings)
        self.ran.append(settings)
        for look in range(1, LOOKS + 1):
            t_s = time_s * look / LOOKS
            reached = score * (1 - math.exp(-5 * look / LOOKS)) / (1 - math.exp(-5))
            done = look / LOOKS if self._tells else None
            if look < LOOKS and goes_on(power_w * t_s, t_s, {"accuracy": reached}, done):
                return self._outcome("stopped", power_w * t_s, t_s, reached)
        return self._outcome("finished", power_w * time_s, time_s, score)

    def _outcome(self, state: str, node_j: float, time_s: float, score: float) -> Outcome:
        self.node_j += node_j
        energy = Figure(node_j * WALL_RATIO, node_j, node_j * 1.5, "J", source="fake")
        return Outcome(
            state=state, energy=energy, node_j=node_j, duration_s=time_s,  # type: ignore[arg-type]
            metrics={"accuracy": score},
        )  # fmt: skip
