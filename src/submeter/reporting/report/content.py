# SPDX-License-Identifier: Apache-2.0
"""What stands in the report of a run: what it used, how sure that is, where it went, from what."""

from collections.abc import Sequence
from typing import Final

from submeter.records.amounts import Amount, sum_amounts
from submeter.records.figures import Basis, Figure, Missing, Quantity
from submeter.records.footprints import NOT_RECKONED, Footprint
from submeter.records.runs import Run
from submeter.reporting.impacts import equivalent_words, place_words
from submeter.reporting.numbers import (
    MISSING,
    interval,
    write,
    write_count,
    write_duration,
    write_instant,
    write_ratio,
)
from submeter.reporting.report import charts
from submeter.reporting.report.document import (
    Cell,
    Chart,
    Document,
    Gauge,
    Headline,
    Mark,
    Section,
    Table,
)
from submeter.reporting.summary import metric_words, notes, per_work, state, title
from submeter.reporting.text import plain
from submeter.units import J_PER_WH

GRAMS: Final = "gCO2e"
LITRES: Final = "L"
MOST_ROWS: Final = 60  # of the numbers behind a chart
MOST_TITLE: Final = 80
MOST_NAME: Final = 60


def document_of(run: Run, footprint: Footprint, *, made_by: str = "submeter") -> Document:
    """Report of *run*: headline, lead, charts, figures with their sources.

    *made_by* is the program and its version, as the footer tells them.
    """
    sections = [
        _power(run),
        _where(run, footprint),
        _quality(run, footprint),
        _figures(run, footprint),
        _carbon_water(footprint),
        _factors(footprint),
        _notes(run, footprint),
    ]
    return Document(
        title=plain(title(run), width=MOST_TITLE),
        about=" · ".join(_about(run, footprint)),
        headlines=tuple(_headlines(run, footprint)),
        lead=tuple(_lead(run, footprint)),
        sections=tuple(s for s in sections if s is not None),
        made_by=f"{made_by}, run {plain(run.id)}",
    )


def _about(run: Run, footprint: Footprint) -> list[str]:
    words = [plain(state(run)), write_instant(run.started_utc)]
    names = dict.fromkeys(d.device.name for d in run.devices if d.device.id.startswith("gpu"))
    boards = sum(d.device.id.startswith("gpu") for d in run.devices)
    if boards:
        words.append(f"{boards} × {plain(', '.join(names), width=MOST_NAME)}")
    if footprint.zone is not None:
        words.append(place_words(footprint.zone))
    words += [f"{plain(k)} {metric_words(v)}" for k, v in list(run.metrics.items())[:2]]
    return [w for w in words if w]


def _figure(amount: Amount | Missing, unit: str) -> Figure | Missing:
    return amount if isinstance(amount, Missing) else amount.figure(unit)


def _headlines(run: Run, footprint: Footprint) -> list[Headline]:
    carbon, money = footprint.carbon, footprint.money
    below_energy = _shares(_figure(footprint.facility, "J"))
    made = [
        _headline("Electricity at the wall", footprint.facility, "J", below_energy, "energy"),
        _headline("Carbon, location-based", carbon.location, GRAMS, _carbon_below(footprint),
                  "carbon"),
        _headline("Water", _water_total(footprint), LITRES, _water_below(footprint), "water"),
    ]  # fmt: skip
    if money.electricity is not NOT_RECKONED and not isinstance(money.electricity, Missing):
        per = " · ".join(per_work(run, footprint)[:1])
        made.append(_headline("Electricity cost", money.electricity, money.currency, per, "money"))
    return made


def _headline(name: str, amount: Amount | Missing, unit: str, below: str, tone: str) -> Headline:
    figure = _figure(amount, unit)
    if isinstance(figure, Missing):
        return Headline(name, MISSING, plain(figure.why), tone)  # type: ignore[arg-type]
    words = " · ".join(filter(None, [interval(figure).strip("()") + ", 95 %", below]))
    return Headline(name, write(figure), words, tone, _gauge(figure))  # type: ignore[arg-type]


def _gauge(figure: Figure) -> Gauge | None:
    """Where value and interval lie on a bar from zero to a little beyond the upper end."""
    top = 1.05 * max(figure.high, figure.value)
    if not 0 < top < float("inf"):
        return None
    return Gauge(figure.value / top, max(0.0, figure.low / top), figure.high / top)


def _shares(figure: Figure | Missing) -> str:
    if isinstance(figure, Missing):
        return ""
    told = [f"{write_ratio(figure.basis_shares[b])} {b}" for b in Basis
            if figure.basis_shares.get(b, 0.0) > 0]  # fmt: skip
    return ", ".join(told)


def _carbon_below(footprint: Footprint) -> str:
    carbon = footprint.carbon
    words = []
    for name, amount in (("market-based", carbon.market), ("embodied", carbon.embodied)):
        figure = _figure(amount, GRAMS)
        if isinstance(figure, Figure):
            words.append(f"{name} {write(figure)}")
    return " · ".join(words)


def _water_total(footprint: Footprint) -> Amount | Missing:
    """On-site and at the generators; with one of them unknown, what is known (`_water_below`)."""
    parts = [a for a in _waters(footprint).values() if isinstance(a, Amount)]
    return sum_amounts(parts) if parts else footprint.water.offsite


def _waters(footprint: Footprint) -> dict[str, Amount | Missing]:
    return {"on-site": footprint.water.onsite, "at the generators": footprint.water.offsite}


def _water_below(footprint: Footprint) -> str:
    waters = _waters(footprint)
    words = [f"{name} {write(_figure(amount, LITRES))}" for name, amount in waters.items()]
    unknown = [name for name, amount in waters.items() if isinstance(amount, Missing)]
    if unknown and len(unknown) < len(waters):
        words.append(f"a lower bound: without water {' and '.join(unknown)}")
    return " · ".join(words)


def _lead(run: Run, footprint: Footprint) -> list[str]:
    """One paragraph: what it comes to in everyday words, and what the interval hangs on."""
    words = []
    equal = equivalent_words(footprint)
    if equal:
        words.append(f"As much as {equal[0]}.")
    if footprint.doubts:
        hangs = ", ".join(f"{plain(d.name)} {write_ratio(d.share_ratio)}"
                          for d in footprint.doubts[:3])  # fmt: skip
        words.append(f"What the interval hangs on: {hangs}.")
        remedy = next((d.remedy for d in footprint.doubts if d.remedy), "")
        if remedy:
            words.append(f"Narrower: {plain(remedy)}.")
    if footprint.unknown:
        words.append("A lower bound: without " + plain(", ".join(footprint.unknown)) + ".")
    if run.status not in {"finished", "running"}:
        words.append(f"The run {run.status}.")
    return words


def _power(run: Run) -> Section | None:
    rows, whole = charts.power_of(run), charts.whole_power_of(run)
    if whole is None or len(rows[0].start_s) < 2:  # noqa: PLR2004  # a point is no curve
        return None
    says = (
        f"Power of the node over {write_duration(run.duration_s)}, by kind of device; at most "
        f"{write(max(whole.peak_w), 'W')}."
    )
    keys = [(charts.COLOURS[r.role], charts.word_of(r.role)) for r in reversed(rows)]
    if whole.peak_w != whole.mean_w:
        says += " The line above is the peak of each stretch that was drawn as one."
    step = max(1, len(rows[0].start_s) // MOST_ROWS)
    heads = ("from", *(f"{charts.word_of(r.role)} [W]" for r in rows))
    table = Table(
        heads,
        tuple(
            (
                Cell(write_duration(rows[0].start_s[i])),
                *(Cell(write(r.mean_w[i], "W").removesuffix(" W"), number=True)
                  for r in rows if i < len(r.mean_w)),
            )
            for i in range(0, len(rows[0].start_s), step)
        ),
    )  # fmt: skip
    chart = Chart(
        "power", charts.power_chart(rows, run.duration_s, whole), says, table, tuple(keys)
    )
    return Section("Power over time", charts=(chart,))


def _where(run: Run, footprint: Footprint) -> Section | None:
    if isinstance(footprint.facility, Missing) or isinstance(footprint.node, Missing):
        return None
    blocks = charts.blocks_of(run, footprint.facility.value, footprint.node.value)
    whole = footprint.facility.value or 1.0
    table = Table(
        ("part", "energy", "share"),
        tuple(
            (
                Cell(" " * 2 * b.level + plain(b.name, width=MOST_NAME)),
                Cell(write(b.end_j - b.begin_j, "J"), number=True),
                Cell(write_ratio((b.end_j - b.begin_j) / whole), number=True),
            )
            for b in sorted(blocks, key=lambda b: (b.begin_j, b.level))
        ),
    )
    says = (
        "Where the joules went: from the wall down to the phases; each row splits the one above."
    )
    keys = [
        (charts.COLOURS[role], charts.word_of(role) if role != "phase" else "phases")
        for role in dict.fromkeys(b.role for b in blocks)
        if role != "node"
    ]
    chart = Chart("joules", charts.icicle_chart(_plain_names(blocks)), says, table, tuple(keys))
    return Section("Where the joules went", charts=(chart,))


def _plain_names(blocks: Sequence[charts.Block]) -> list[charts.Block]:
    return [b._replace(name=plain(b.name, width=MOST_NAME)) for b in blocks]


def _quality(run: Run, footprint: Footprint) -> Section | None:
    """The last metric that was logged more than twice, over the energy spent until then."""
    if isinstance(footprint.facility, Missing):
        return None
    names = [n for n in run.metrics if sum(n in p.values for p in run.metric_history) > 2]  # noqa: PLR2004
    if not names:
        return None
    metric = names[-1]
    points = [(p.elapsed_s, p.values[metric]) for p in run.metric_history if metric in p.values]
    known = sum(
        d.share.value for d in run.devices
        if not isinstance(d.share, Missing) and run.series and d.device.id in run.series.devices
    )  # fmt: skip
    if known <= 0:
        return None
    spent = charts.spent_until(run, [t for t, _ in points], footprint.facility.value / known)
    pairs = [
        (e / J_PER_WH, m) for e, (_, m) in zip(spent, points, strict=False) if m == m  # noqa: PLR0124
    ]  # fmt: skip
    if len(pairs) < 2:  # noqa: PLR2004
        return None
    name = plain(metric, width=MOST_NAME)
    chart = Chart(
        "quality",
        charts.quality_chart(pairs, name),
        f"{name} over the energy spent until then.",
        Table(
            ("energy", name),
            tuple(
                (Cell(write(e * J_PER_WH, "J"), number=True), Cell(metric_words(m), number=True))
                for e, m in pairs[:: max(1, len(pairs) // MOST_ROWS)]
            ),
        ),
    )
    return Section("Quality over energy", charts=(chart,))


def _figures(run: Run, footprint: Footprint) -> Section:
    rows = [
        _row("at the wall", footprint.facility, "J"),
        _row("node", footprint.node, "J"),
        _row("devices", footprint.devices, "J"),
    ]
    for d in run.devices:
        method = " · ".join(filter(None, [d.method, d.share_how]))
        rows.append(_row(f"{d.device.id} {d.device.name}".strip(), d.share, "J", method))
    for path, energy in ((p.path, p.energy) for p in run.phases):
        rows.append(_row(f"phase {path}", energy, "J", "by time and regression"))
    return Section(
        "Every figure, its basis and source",
        tables=(Table(("figure", "value", "interval", "basis", "source"), tuple(rows)),),
    )


def _row(
    name: str, amount: Amount | Quantity | Missing, unit: str, source: str = ""
) -> tuple[Cell, ...]:
    if isinstance(amount, Missing):
        return (Cell(plain(name, width=MOST_NAME)), Cell(MISSING, number=True), Cell(""), Cell(""),
                Cell(plain(amount.why)))  # fmt: skip
    figure = amount.figure(unit)
    basis: Mark = str(figure.basis) if figure.basis_shares else ""  # type: ignore[assignment]
    told = source or figure.source
    return (
        Cell(plain(name, width=MOST_NAME)),
        Cell(write(figure), number=True),
        Cell(interval(figure).strip("()"), number=True),
        Cell(basis, basis),
        Cell(plain(told)),
    )


def _carbon_water(footprint: Footprint) -> Section:
    carbon, water, money = footprint.carbon, footprint.water, footprint.money
    rows = [
        _row("carbon, location-based", carbon.location, GRAMS),
        _row("of that at the generators", carbon.direct, GRAMS),
        _row("of that fuel and plant", carbon.upstream, GRAMS),
        _row("of that lost in the grid", carbon.loss, GRAMS),
        _row("carbon, market-based", carbon.market, GRAMS, plain(carbon.market_how)),
        _row("carbon, marginal", carbon.marginal, GRAMS),
        _row("carbon, embodied", carbon.embodied, GRAMS),
        *(_row(f"scope: {name}", amount, GRAMS) for name, amount in carbon.scopes.items()),
        _row("water, on-site", water.onsite, LITRES),
        _row("water, at the generators", water.offsite, LITRES),
        _row("the same without reservoirs", water.offsite_dry, LITRES),
        _row("electricity", money.electricity, money.currency),
    ]
    text: list[str] = []
    if isinstance(water.stress, str):
        text.append(f"Water stress where it was drawn: {plain(water.stress)}.")
    text += [
        f"{plain(words)} (told apart, never subtracted)"
        for words in (*carbon.claims, *carbon.offsets)
    ]
    return Section(
        "What it amounts to",
        tuple(text),
        tables=(Table(("amount", "value", "interval", "basis", "source"), tuple(rows)),),
    )


def _factors(footprint: Footprint) -> Section | None:
    if not footprint.factors:
        return None
    rows = tuple(
        (
            Cell(plain(f.key)),
            Cell(f"{f.value:.4g} {plain(f.unit)}", number=True),
            Cell(f"{f.low:.3g} – {f.high:.3g}" if f.low < f.high else "", number=True),
            Cell(plain(f.verified)),
            Cell(" · ".join(filter(None, [plain(f.source), str(f.year or ""), plain(f.licence)]))),
        )
        for f in footprint.factors
    )
    table = Table(("factor", "value", "interval", "known", "source"), rows)
    return Section("Method: every factor used", tables=(table,), folded=True)


def _notes(run: Run, footprint: Footprint) -> Section | None:
    said = dict.fromkeys((*notes(run, footprint), *footprint.notes))
    facts = [plain(note) for note in said]
    done = [f"{write_count(v)} {plain(k)}" for k, v in run.work.items()]
    if done:
        facts.insert(0, "Work done: " + ", ".join(done) + ".")
    if run.command:
        facts.insert(0, "Command: " + plain(" ".join(run.command), width=400))
    return Section("Notes", tuple(facts), folded=True) if facts else None
