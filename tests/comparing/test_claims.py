# SPDX-License-Identifier: Apache-2.0
"""Public claims: the cases that come along, the arithmetic, what is refused."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import claims as pages
from submeter.catalog.claims import claim_records
from submeter.comparing.claims.finding import found_numbers, known_claims
from submeter.comparing.claims.formulas import Uncertain, Value, evaluated, parsed, reckoned
from submeter.comparing.claims.judging import judge
from submeter.comparing.claims.measures import measure, times
from submeter.comparing.claims.recognising import nearest, recognised
from submeter.comparing.claims.records import PublicClaim, read_record
from submeter.errors import UsageError
from submeter.records.figures import Figure, Missing
from submeter.reporting.claims import answer_document, answer_words

HOLDS, ONLY_IF, CANNOT = "holds", "holds only if", "cannot hold"
# What each case came to when its sources were read; a change of the catalog that turns one over
# has to be seen.
VERDICTS = {
    "ai-netherlands": ONLY_IF, "bert-flight": HOLDS, "blackwell-25": CANNOT,
    "bloom-tonnes": ONLY_IF, "camera-off": ONLY_IF, "chat-bottle": ONLY_IF,
    "chat-bulb": ONLY_IF, "chat-ten-searches": ONLY_IF, "cloud-saves": ONLY_IF,
    "data-centres-one-percent": ONLY_IF, "deepmind-forty": ONLY_IF, "ethereum-merge": HOLDS,
    "five-cars": ONLY_IF, "gpt3-cars-for-a-year": HOLDS, "gpt3-homes": HOLDS,
    "gpt3-three-jets": ONLY_IF, "gpt3-tonnes": HOLDS, "gpt3-water": ONLY_IF,
    "gpt4-energy": ONLY_IF, "hundred-renewable": ONLY_IF, "idle-nothing": CANNOT,
    "image-phone": ONLY_IF, "immersion-cooling": ONLY_IF, "immersion-halves": ONLY_IF,
    "llama-zero": ONLY_IF, "mixed-precision-half": ONLY_IF, "place-tenfold": ONLY_IF,
    "prompt-nine-seconds": ONLY_IF, "pruning-ninety": CANNOT, "pue-below-one": ONLY_IF,
    "pue-third": ONLY_IF, "rooms-pue": ONLY_IF, "search-seven-grams": ONLY_IF,
    "streaming-miles": CANNOT, "trees": CANNOT, "use-nine-tenths": ONLY_IF,
}  # fmt: skip
# Results known from the papers themselves.
PRINTED = {
    ("five-cars", 0): (4.97, 0.01),  # 284 t over 57 t
    ("gpt3-tonnes", 0): (552, 0.01),
    ("gpt3-water", 0): (700_000, 0.02),
    ("bloom-tonnes", 0): (24.7, 0.01),
    ("bloom-tonnes", 2): (50.5, 0.01),
    ("ai-netherlands", 1): (85.4 / 120.14, 0.01),
    ("gpt3-three-jets", 0): (3, 0.05),
}
POSITIVE = st.floats(0.001, 1e6)


def record(**changes: object) -> str:
    said = {"formula": "a * b", "unit": "J", "low": "1.0", **changes}
    return f"""
claim = "It takes six joules."
quantity = "energy"
value = 6
unit = "{said["unit"]}"
matches = ["takes {{number}} joules"]
[numbers.a]
value = 2
low = {said["low"]}
high = 4
unit = "W"
source = "here"
[numbers.b]
value = 3
unit = "s"
source = "here"
[[boundaries]]
name = "both are right"
formula = "{said["formula"]}"
"""


def test_there_are_thirty_and_each_is_named_here() -> None:
    assert set(claim_records()) == set(VERDICTS)
    assert len(VERDICTS) >= 30


@pytest.mark.parametrize("claim", known_claims(), ids=lambda c: c.id)
def test_each_case_is_executed(claim: PublicClaim) -> None:
    answer = judge(claim, found_numbers(claim))
    assert answer.verdict == VERDICTS[claim.id]
    used = {name for row in answer.sums for name in row.uses}
    assert used == set(claim.numbers), "a number that no sum uses"
    for i, row in enumerate(answer.sums):
        assert row.low <= row.value <= row.high
        if (claim.id, i) in PRINTED:
            value, within = PRINTED[claim.id, i]
            assert row.value == pytest.approx(value, rel=within)
    for number in answer.numbers.values():
        assert number.source
        assert number.year


def test_the_pages_are_what_comes_out() -> None:
    made = pages.pages()
    kept = {path.name: path.read_text(encoding="utf-8") for path in pages.FOLDER.glob("*.md")}
    assert kept == made, "python -m benchmarks.claims"


def test_the_sum_on_a_page_can_be_done_by_hand() -> None:
    """The arithmetic that is shown, typed into a calculator with its units, gives the result."""
    five = next(c for c in known_claims() if c.id == "five-cars")
    row = judge(five, found_numbers(five)).sums[0]
    assert row.arithmetic == "656 347 kWh × 432.7 g/kWh ÷ 57 153 kg/car"
    assert row.value == pytest.approx(656_347 * 432.7 / 1000 / 57_153)


@pytest.mark.parametrize(
    ("text", "id_", "value"),
    [
        ("this training emitted as much as five cars", "five-cars", 5),
        ("Training an AI emits as much as 7 cars in their lifetime!", "five-cars", 7),
        ("immersion cuts cooling energy by 88 %", "immersion-cooling", 88),
        ("Immersion cuts cooling energy by 95%", "immersion-cooling", 95),
        ("100 % renewable", "hundred-renewable", 100),
        ("we are 100% renewable", "hundred-renewable", 100),
        ("Training GPT-3 drank 700,000 litres of water", "gpt3-water", 700_000),
        ("training gpt-3 took as much as 120 homes", "gpt3-homes", 120),
        ("a question to ChatGPT takes ten times the energy of a Google search",
         "chat-ten-searches", 10),
        ("immersion saves 60 % of all energy", "immersion-halves", 60),
        ("Idle servers use nothing", "idle-nothing", None),
        ("Choosing the place cuts the carbon of a training tenfold", "place-tenfold", None),
    ],
)  # fmt: skip
def test_a_sentence_is_recognised_with_its_number(
    text: str, id_: str, value: float | None
) -> None:
    found = recognised(text, known_claims())
    assert found is not None
    assert (found.claim.id, found.value) == (id_, value)


@pytest.mark.parametrize("claim", known_claims(), ids=lambda c: c.id)
def test_each_claim_is_recognised_by_its_own_words(claim: PublicClaim) -> None:
    found = recognised(claim.claim, known_claims())
    assert found is not None
    assert found.claim.id == claim.id
    assert found.value is None or found.value == pytest.approx(claim.value)


@pytest.mark.parametrize(
    ("text", "id_", "value", "relation"),
    [
        ("training GPT-3 emitted 552 kg", "gpt3-tonnes", 0.552, None),
        ("training GPT-3 emitted 552 kg of CO2", "gpt3-tonnes", 0.552, None),
        ("training GPT-3 emitted 552 thousand kilograms of CO2", "gpt3-tonnes", 552, None),
        ("GPT-3 emitted at least 100 tonnes", "gpt3-tonnes", 100, "at least"),
        ("GPT-3 emitted > 100 tonnes", "gpt3-tonnes", 100, "at least"),
        ("GPT-3 emitted less than 1,000 tonnes", "gpt3-tonnes", 1000, "at most"),
        ("GPT-3 emitted no more than 1000 tonnes", "gpt3-tonnes", 1000, "at most"),
        ("training gpt-4 used -5 GWh", "gpt4-energy", -5, None),
        ("BLOOM emitted 30 to 50 tonnes", "bloom-tonnes", None, None),
        ("BLOOM emitted between 30 and 50 tonnes", "bloom-tonnes", None, None),
        ("immersion cuts cooling energy by over 95 %", "immersion-cooling", 95, "at least"),
        ("a web search emits 0.2 grams", "search-seven-grams", 0.2, None),
    ],
)
def test_unit_sign_and_relation_of_a_number_are_read(
    text: str, id_: str, value: float | None, relation: str | None
) -> None:
    found = recognised(text, known_claims())
    assert found is not None
    assert found.claim.id == id_
    assert found.value == (value if value is None else pytest.approx(value))
    assert found.relation == relation
    assert found.unread == (value is None)


def test_a_record_nested_without_end_is_refused() -> None:
    with pytest.raises(UsageError, match="nested too deeply"):
        read_record("x=" + "[" * 5000 + "]" * 5000)


@pytest.mark.parametrize("text", ["", "the sky is blue", "energy", "cars", "five"])
def test_what_is_no_known_claim_is_none(text: str) -> None:
    assert recognised(text, known_claims()) is None


def test_near_claims_are_named() -> None:
    assert "gpt3-water" in [c.id for c in nearest("water of GPT-3", known_claims())]


def test_another_number_is_judged_as_that() -> None:
    five = next(c for c in known_claims() if c.id == "five-cars")
    assert judge(five, found_numbers(five), value=500.0).verdict == CANNOT


@given(a=POSITIVE, b=POSITIVE, c=POSITIVE)
def test_products_and_quotients_are_exact(a: float, b: float, c: float) -> None:
    rows = {n: Uncertain(v, v, v, "1") for n, v in (("a", a), ("b", b), ("c", c))}
    found = reckoned("a * b / c", rows, "1")
    assert found.value == pytest.approx(a * b / c)
    assert found.low == pytest.approx(found.value) == found.high


@given(value=POSITIVE, wide=st.floats(1.0, 10.0), power=st.integers(1, 3))
def test_the_interval_of_a_power_is_the_power_of_the_interval(
    value: float, wide: float, power: int
) -> None:
    row = Uncertain(value, value / wide, value * wide, "1")
    found = reckoned(f"a ** {power}", {"a": row}, "1")
    assert found.high == pytest.approx(row.high**power, rel=1e-9)
    assert found.low == pytest.approx(row.low**power, rel=1e-9)


@given(sds=st.lists(st.floats(0.0, 1.0), min_size=1, max_size=5))
def test_independent_doubts_add_in_quadrature(sds: list[float]) -> None:
    rows = {f"x{i}": Uncertain(1.0, math.exp(-s), math.exp(s), "1") for i, s in enumerate(sds)}
    found = reckoned(" * ".join(rows), rows, "1")
    assert math.log(found.high) == pytest.approx(math.hypot(*sds), abs=1e-9)


@given(a=st.sampled_from(["kWh", "g/kWh", "kg/car", "L", "W"]),
       b=st.sampled_from(["h", "car", "kWh", "1", "t"]))  # fmt: skip
def test_a_unit_times_another_and_over_it_is_itself(a: str, b: str) -> None:
    kind, other = measure(a).kind, measure(b).kind
    assert times(times(kind, other), other, sign=-1) == kind


@pytest.mark.parametrize(
    ("unit", "size"),
    [("kWh", 3.6e6), ("g/kWh", 1 / 3.6e6), ("kg/car", 1000), ("%", 0.01),
     ("TWh/a", 3.6e15 / 31536e3),
     ("L*a/m3", 31536.0)],
)  # fmt: skip
def test_units_come_to_si(unit: str, size: float) -> None:
    assert measure(unit).size == pytest.approx(size)


def test_cars_and_homes_do_not_add_up() -> None:
    rows = {"a": Uncertain(1, 1, 1, "car"), "b": Uncertain(1, 1, 1, "home")}
    with pytest.raises(UsageError, match="do not add up"):
        reckoned("a + b", rows, "car")


@pytest.mark.parametrize(
    "formula",
    ["__import__('os')", "a.real", "[a]", "a if a else b", "lambda: a", "a(b)", "'x' * 9",
     "a ** 99", "a // b", "max()", "min(a, key=a)", "a *", "unknown + a", "a / 0", "True",
     "a + " * 400 + "a"],
)  # fmt: skip
def test_a_formula_does_arithmetic_and_nothing_else(formula: str) -> None:
    values = {"a": Value(2.0), "b": Value(3.0)}
    with pytest.raises(UsageError):
        evaluated(parsed(formula), values)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("claim = 3", "no claim"),
        ("nonsense", "no claim"),
        (record(unit="kg"), "gives J, not kg"),
        (record(formula="a + b"), "do not add up"),
        (record(low="3.0"), "between its low and its high"),
        (record().replace('source = "here"', ""), "a source"),
        (record().replace("value = 6", "value = 6\nwithin = 1.0"), "within above 1"),
        (record() + 'colour = "red"\n', "no claim"),
        (record().partition("[[")[0], "no claim"),
    ],
)
def test_a_record_that_makes_no_sense_says_why(text: str, why: str) -> None:
    def answer() -> object:
        claim = read_record(text, "mine")
        return judge(claim, found_numbers(claim))

    with pytest.raises(UsageError, match=why):
        answer()


@pytest.mark.parametrize(
    ("formula", "value"), [("a ** 4", 1e200), ("a * a", 1e300), ("a / b", 1e308), ("a - a", 1e308)]
)
def test_what_is_too_large_is_refused_and_the_rest_is_not(formula: str, value: float) -> None:
    rows = {"a": Uncertain(value, value, value, "1"), "b": Uncertain(1e-10, 1e-10, 1e-10, "1")}
    if formula == "a - a":
        assert reckoned(formula, rows, "1").value == 0.0
        return
    with pytest.raises(UsageError, match=r"too large|no finite number"):
        reckoned(formula, rows, "1")


def test_a_record_of_ones_own() -> None:
    claim = read_record(record(), "mine")
    answer = judge(claim, found_numbers(claim))
    assert answer.verdict == HOLDS
    assert answer.sums[0].value == pytest.approx(6.0)
    assert answer.sums[0].low == pytest.approx(3.0)
    assert answer.sums[0].beyond
    assert "2 (1 – 4) W" in answer_words(answer)
    assert answer_document(answer)["boundaries"][0]["arithmetic"] == "2 W × 3 s"


def test_a_claim_about_a_run() -> None:
    text = record().replace('value = 2\nlow = 1.0\nhigh = 4\nunit = "W"\nsource = "here"',
                            'run = "energy"\nunit = "kWh"')  # fmt: skip
    claim = read_record(text.replace("a * b", "a").replace("value = 6", "value = 2").replace(
        'unit = "J"', 'unit = "kWh"'), "mine")  # fmt: skip
    run = {"energy": Figure(7.2e6, 6e6, 9e6, "J")}
    assert judge(claim, found_numbers(claim, run)).sums[0].value == pytest.approx(2.0)
    with pytest.raises(UsageError, match="none is given"):
        found_numbers(claim)
    with pytest.raises(UsageError, match="was not read"):
        found_numbers(claim, {"energy": Missing("was not read")})
