# SPDX-License-Identifier: Apache-2.0
"""One meter per device: the best channel that answers, with the next best behind it."""

from collections import Counter
from typing import Final

import msgspec

from submeter.metering.curve import CounterCurve, EnergyCurve, PolledCurve, Taken, curve_of
from submeter.records.devices import Channel, Device, DeviceKind, Measures
from submeter.records.figures import Basis, ErrorTerm, Missing, Quantity
from submeter.units import NS_PER_S, ns_to_s

ENERGY_ORDER: Final = (Measures.ENERGY, Measures.POWER, Measures.MEAN_POWER)
MOSTLY: Final = 0.9  # part of a window that a channel must cover to stand for it
DISAGREE_RATIO: Final = 0.10  # beyond the bound of integration: twice the gain of a board
LATE_NS: Final = NS_PER_S // 2  # a counter this late at the end has stopped answering
LOST_NS: Final = 3 * NS_PER_S  # so late that what came after is not bounded but unknown


class DeviceMeter:
    """Energy of one device, block by block.

    A counter is followed where there is one; polled power of the same board runs beside it, fills
    the counter's holes and says when both disagree.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        self._curves: dict[Measures, EnergyCurve] = {}
        self.drawn_j = 0.0
        self.low_j = 0.0
        self.high_j = 0.0
        self.interpolated_j = 0.0
        self.hole_s = 0.0
        self._ever_known = False  # whether anything but holes was seen
        self.share_j = 0.0
        self.share_sd_j = 0.0
        self.by_power_j = 0.0  # part of drawn that the stand-in gave
        self._held = Taken()  # the stand-in's word for time that the counter may yet cover
        self._compared_j = 0.0  # the counter's word over blocks that both covered
        self._beside = Taken()  # the stand-in's word over the same
        self.how: Counter[str] = Counter()
        self._means: dict[Measures, tuple[float, int]] = {}  # sum, and how many

    def add_channel(self, channel: Channel) -> None:
        """Follow one more channel; a channel of the same kind replaces none."""
        if channel.measures in ENERGY_ORDER:
            self._curves.setdefault(channel.measures, curve_of(channel))
        else:
            self._means.setdefault(channel.measures, (0.0, 0))

    @property
    def main(self) -> EnergyCurve | None:
        """The curve that tells the energy."""
        return next((self._curves[m] for m in ENERGY_ORDER if m in self._curves), None)

    @property
    def stand_in(self) -> EnergyCurve | None:
        """The curve that fills the main one's holes."""
        present = [self._curves[m] for m in ENERGY_ORDER if m in self._curves]
        return present[1] if len(present) > 1 else None

    def feed(self, channel: Channel, t_ns: int, half_ns: int, raw: int | None) -> None:
        """Take one reading of one channel."""
        if channel.measures in self._curves:
            self._curves[channel.measures].feed(t_ns, half_ns, raw)
        elif raw is not None and channel.measures in self._means:
            whole, count = self._means[channel.measures]
            self._means[channel.measures] = (whole + raw * channel.scale, count + 1)

    def break_here(self) -> None:
        """Note that a new collector took over."""
        for curve in self._curves.values():
            curve.break_here()

    def skip(self, until_ns: int) -> None:
        """Forget everything before the run began; what is doubtful at that edge is kept."""
        main = self.main
        if main is None:
            return
        for curve in self._curves.values():
            curve.take(until_ns)
        more_j, less_j = main.edge_doubt_j(until_ns)
        self.low_j -= more_j
        self.high_j += less_j

    def take(self, until_ns: int, length_s: float) -> float:
        """Energy drawn in the window that ends now [J]."""
        main, beside = self.main, self.stand_in
        if main is None:
            return 0.0
        got = main.take(until_ns)
        if beside is not None:
            got = self._with_stand_in(got, beside.take(until_ns), length_s)
        self._book(got)
        return got.energy_j

    def _with_stand_in(self, got: Taken, other: Taken, length_s: float) -> Taken:
        """Fill the counter's holes from what the stand-in saw in them."""
        beside = self._held.plus(other)
        if got.hole_s > 0 and beside.covered_s - beside.hole_s >= MOSTLY * got.hole_s:
            self._held = Taken()
            filled = beside.scaled(got.hole_s / beside.covered_s)
            self.by_power_j += filled.energy_j
            return got.without_holes().plus(filled)
        if got.covered_s >= MOSTLY * length_s:
            self._held = Taken()
            sure_s = other.covered_s - other.hole_s
            if not got.hole_s and sure_s >= MOSTLY * length_s:
                self._compared_j += got.energy_j
                self._beside = self._beside.plus(other)
        else:
            # the counter may yet bridge this time; what it did cover must not be told twice
            seen = got.covered_s / other.covered_s if other.covered_s > 0 else 0.0
            self._held = self._held.plus(other.scaled(max(0.0, 1.0 - seen)))
        return got

    def _book(self, got: Taken) -> None:
        self.drawn_j += got.energy_j
        self.low_j += got.low_j
        self.high_j += got.high_j
        self.interpolated_j += got.interpolated_j
        self.hole_s += got.hole_s
        self._ever_known = self._ever_known or got.covered_s > got.hole_s

    def close(self, end_ns: int) -> float:
        """Settle the far edge; energy that only the stand-in saw at the end is added [J]."""
        main = self.main
        if main is None:
            return 0.0
        late_j = 0.0
        covered = main.covers_ns()
        late_ns = end_ns if covered is None else end_ns - covered
        if self._held.covered_s > ns_to_s(LATE_NS) and late_ns > LATE_NS:
            self.by_power_j += self._held.energy_j
            late_j = max(0.0, self._held.energy_j)
            self._book(self._held)
        else:
            # what a lost device drew afterwards is not in the figure, so neither is its doubt
            lost = covered is not None and late_ns > LOST_NS
            more_j, less_j = main.edge_doubt_j(covered if lost and covered else end_ns)
            self.high_j += more_j
            self.low_j -= less_j
        return late_j

    def covers_ns(self) -> int | None:
        """Instant up to which the main curve is settled."""
        return None if self.main is None else self.main.covers_ns()

    def finish_curves(self) -> None:
        """No more readings will come."""
        for curve in self._curves.values():
            curve.close()

    def drawn(self) -> Quantity | Missing:
        """All that the device drew during the run."""
        main = self.main
        if self.device.kind is DeviceKind.REST:
            return Missing("part of the others")
        if main is None:
            return Missing("no channel tells its energy")
        if main.covers_ns() is None and self.drawn_j == 0.0:
            return Missing("no good reading")
        if self.hole_s > 0 and self.drawn_j <= self.interpolated_j and not self._ever_known:
            return Missing("its counter never said what was used")
        channel = main.channel
        extra: tuple[ErrorTerm, ...] = ()
        if isinstance(main, PolledCurve) and main.unseen_j > 0:
            extra = (ErrorTerm(f"unseen:{self.device.id}", absolute_sd=main.unseen_j),)
        quantity = Quantity.of(
            self.drawn_j,
            basis=channel.basis,
            terms=(*channel.terms, *extra),
            bound_low=max(0.0, self.drawn_j - max(0.0, self.low_j)),
            bound_high=max(0.0, self.high_j - self.drawn_j),
            source=channel.source,
        )
        if self.interpolated_j > 0 and channel.basis is Basis.MEASURED:
            basis = {Basis.MEASURED: self.drawn_j - self.interpolated_j}
            basis[Basis.DERIVED] = self.interpolated_j
            quantity = msgspec.structs.replace(quantity, basis=basis)
        return quantity

    def method(self) -> str:
        """How the energy was found, in words."""
        main = self.main
        if main is None:
            return ""
        if main.channel.measures is Measures.MEAN_POWER:
            return f"model: {main.channel.source}" if main.channel.source else "model"
        return "energy counter" if isinstance(main, CounterCurve) else "power, integrated"

    def flags(self) -> dict[str, int]:
        """Everything odd that was met, by name."""
        main = self.main
        flags = dict(main.flags) if main is not None else {}
        if self.by_power_j > 0:
            flags["power_stood_in"] = 1
        counter_j, beside = self._compared_j, self._beside
        least_j, most_j = (1 - DISAGREE_RATIO) * counter_j, (1 + DISAGREE_RATIO) * counter_j
        if counter_j > 0 and (beside.low_j > most_j or beside.high_j < least_j):
            flags["counter_and_power_disagree_percent"] = round(
                100 * (beside.energy_j - counter_j) / counter_j
            )
        return {k: v for k, v in flags.items() if v}

    def means(self) -> dict[str, float]:
        """Mean utilisation, temperature, clock and cap, where they were read."""
        names = {
            Measures.UTILISATION: "utilisation_ratio",
            Measures.TEMPERATURE: "temperature_c",
            Measures.CLOCK: "clock_hz",
            Measures.CAP: "cap_w",
        }
        return {
            name: whole / count
            for m, name in names.items()
            for whole, count in (self._means.get(m, (0.0, 0)),)
            if count
        }

    def resolution_s(self) -> float:
        """Shortest time whose energy the main channel can tell."""
        main = self.main
        if main is None:
            return 0.0
        return main.channel.update_s + main.channel.window_s

    def last_good_s_before(self, end_ns: int) -> float:
        """How long before the end the last good reading was [s]."""
        covered = self.covers_ns()
        return 0.0 if covered is None else max(0.0, ns_to_s(end_ns - covered))
