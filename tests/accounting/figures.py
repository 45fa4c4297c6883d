# SPDX-License-Identifier: Apache-2.0
"""Factors and amounts as the tests of accounting need them."""

from hypothesis import strategies as st

from submeter.accounting.carbon import Intensity, Located, location_based
from submeter.records.amounts import Amount
from submeter.records.factors import Factor
from submeter.records.figures import Basis, ErrorTerm, Missing, Quantity
from submeter.records.traces import Kind
from submeter.units import J_PER_KWH

LIFECYCLE = Kind()
DIRECT = Kind(scope="direct")
MARKET = Kind(scope="direct", method="market")
MARGINAL = Kind(signal="marginal")

energies_j = st.floats(1.0, 1e13)
intensities = st.floats(0.5, 1500.0)
losses = st.floats(0.0, 0.4)


def factor(key: str, value: float, *, spread: float = 1.2, unit: str = "gCO2e/kWh") -> Factor:
    return Factor(
        key, value, value / spread, value * spread, unit, source=f"source of {key}",
        year=2024, verified="copy",
    )  # fmt: skip


def intensity(value: float, kind: Kind = LIFECYCLE, *, spread: float = 1.2) -> Intensity:
    return Intensity(factor(f"{kind.scope}-{kind.method}", value, spread=spread), kind)


def joules(energy_j: float, key: str = "gain") -> Amount:
    terms = (ErrorTerm(key, 0.03),)
    return Amount.of(Quantity.of(energy_j, basis=Basis.MEASURED, terms=terms))


def kwh(energy_kwh: float) -> Amount:
    return joules(energy_kwh * J_PER_KWH)


def located(
    energy: Amount, lifecycle: float = 400.0, direct: float = 350.0, loss: float = 0.05
) -> Located:
    return location_based(
        energy,
        intensity(lifecycle),
        intensity(direct, DIRECT),
        factor("loss", loss, unit="ratio") if loss > 0 else Missing("no loss known"),
    )


def known(amount: Amount | Missing) -> Amount:
    assert isinstance(amount, Amount), amount
    return amount
