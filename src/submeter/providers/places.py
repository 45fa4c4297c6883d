# SPDX-License-Identifier: Apache-2.0
"""Which of our zones is which of a provider's: identifiers of their protocols, no figures.

ENTSO-E: Energy Identification Codes of bidding zones, control areas and countries (X and Y codes
of the web API guide, appendix A.15; read in its stored copy 2026-11-23). EIA: respondents of form
930, which end the code of our zone. WattTime: regions of cloud sites, as the Green Software
Foundation's Real Time Cloud lists them (2026); the others only a subscriber may list.
"""

from functools import cache
from typing import Final

from submeter.errors import CoverageError
from submeter.records.places import Zone

_ENTSOE: Final = """
AL 10YAL-KESH-----5  AT 10YAT-APG------L  BA 10YBA-JPCC-----D  BE 10YBE----------2
BG 10YCA-BULGARIA-R  CH 10YCH-SWISSGRIDZ  CY 10YCY-1001A0003J  CZ 10YCZ-CEPS-----N
DE 10Y1001A1001A83F  DK 10Y1001A1001A65H  DK-DK1 10YDK-1--------W  DK-DK2 10YDK-2--------M
EE 10Y1001A1001A39I  ES 10YES-REE------0  FI 10YFI-1--------U  FR 10YFR-RTE------C
GB-NIR 10Y1001A1001A016  GE 10Y1001A1001B012  GR 10YGR-HTSO-----Y  HR 10YHR-HEP------M
HU 10YHU-MAVIR----U  IE 10YIE-1001A00010  IT 10YIT-GRTN-----B  IT-NO 10Y1001A1001A73I
IT-CNO 10Y1001A1001A70O  IT-CSO 10Y1001A1001A71M  IT-SO 10Y1001A1001A788
IT-SAR 10Y1001A1001A74G  IT-SIC 10Y1001A1001A75E  LT 10YLT-1001A0008Q  LU 10YLU-CEGEDEL-NQ
LV 10YLV-1001A00074  MD 10Y1001A1001A990  ME 10YCS-CG-TSO---S  MK 10YMK-MEPSO----8
MT 10Y1001A1001A93C  NL 10YNL----------L  NO 10YNO-0--------C  NO-NO1 10YNO-1--------2
NO-NO2 10YNO-2--------T  NO-NO3 10YNO-3--------J  NO-NO4 10YNO-4--------9
NO-NO5 10Y1001A1001A48H  PL 10YPL-AREA-----S  PT 10YPT-REN------W  RO 10YRO-TEL------P
RS 10YCS-SERBIATSOV  SE 10YSE-1--------K  SE-SE1 10Y1001A1001A44P  SE-SE2 10Y1001A1001A45N
SE-SE3 10Y1001A1001A46L  SE-SE4 10Y1001A1001A47J  SI 10YSI-ELES-----O  SK 10YSK-SEPS-----K
UA 10Y1001C--00003F  XK 10Y1001C--00100H
"""
_EIA: Final = """
US-CAL-BANC US-CAL-CISO US-CAL-IID US-CAL-LDWP US-CAL-TIDC US-CAR-CPLE US-CAR-CPLW US-CAR-DUK
US-CAR-SC US-CAR-SCEG US-CAR-YAD US-CENT-SPA US-CENT-SWPP US-FLA-FMPP US-FLA-FPC US-FLA-FPL
US-FLA-GVL US-FLA-HST US-FLA-JEA US-FLA-SEC US-FLA-TAL US-FLA-TEC US-MIDA-PJM US-MIDW-AECI
US-MIDW-LGEE US-MIDW-MISO US-NE-ISNE US-NW-AVA US-NW-BPAT US-NW-CHPD US-NW-DOPD US-NW-GCPD
US-NW-GRID US-NW-IPCO US-NW-NEVP US-NW-NWMT US-NW-PACE US-NW-PACW US-NW-PGE US-NW-PSCO
US-NW-PSEI US-NW-SCL US-NW-TPWR US-NW-WACM US-NW-WAUW US-NY-NYIS US-SE-SEPA US-SE-SOCO
US-SW-AZPS US-SW-EPE US-SW-PNM US-SW-SRP US-SW-TEPC US-SW-WALC US-TEN-TVA US-TEX-ERCO
"""
_WATTTIME: Final = """
AE ARE  AT AT  AU-NSW NEM_NSW  BE BE  BH BHR  BR BRA  BR-CS BRA  CA-ON IESO_NORTH  CA-QC HQ
CH CH  CL CHL  CL-SEN CHL  CN CHN  DE DE  DK DK  DK-DK2 DK  ES ES  FI FI  FR FR  GB UK  GR GR
HK HKG  ID IDN  IE IE  IL ISR  IN IND  IN-NO IND  IN-SO IND  IN-WE IND  IT IT  IT-NO IT
JP-KN JP_KN  JP-TK JP_TK  KR KOR  MX MX_SIN  NL NL  NZ NZL  PL PL  QA QAT  SA SAU  SE SE
SE-SE3 SE  SG SGP  TW TWN  US-CAL-CISO CAISO_NORTH  US-CAL-LDWP LDWP  US-CAR-SC SC
US-MIDA-PJM PJM_DC  US-MIDW-MISO MISO_MASON_CITY  US-NW-BPAT BPA  US-NW-NEVP NEVP
US-NW-PACE PACE  US-NW-WACM WACM  US-SE-SOCO SOCO  US-SW-AZPS AZPS
US-TEX-ERCO ERCOT_NORTHCENTRAL  ZA ZAF
"""


@cache
def known(provider: str) -> dict[str, str]:
    """All zones that *provider* has, ours to its own; empty if it needs no table."""
    if provider == "eia":
        return {"US": "US48"} | {code: code.rpartition("-")[2] for code in _EIA.split()}
    words = {"entsoe": _ENTSOE, "watttime": _WATTTIME}.get(provider, "").split()
    return dict(zip(words[::2], words[1::2], strict=True))


def candidates(zone: Zone) -> tuple[str, ...]:
    """Codes by which a provider may know *zone*, the nearest first; never the whole world."""
    codes = (zone.code, *zone.parents)
    return tuple(dict.fromkeys(code for code in codes if code not in {"", "WORLD"}))


def looked_up(provider: str, zone: Zone, has: str) -> str:
    """Word of *provider* for *zone*, or for the nearest of its parents, from its table.

    Raises
    ------
    CoverageError
        If it has none of them; the remedy says what it *has*.
    """
    table = known(provider)
    for code in candidates(zone):
        if code in table:
            return table[code]
    raise nothing_there(provider, zone, has)


def nothing_there(provider: str, zone: Zone, has: str) -> CoverageError:
    """Error for a *zone* that *provider* does not know; *has* says what it does know."""
    return CoverageError(
        f"{provider} has no data of {zone.name or zone.code} ({zone.code})",
        remedy=f"it has {has}; leave the provider out for the annual figure",
    )


def code_of(place: str, zone: Zone, provider: str) -> str:
    """Our code of *place*: that of *zone*, or of the parent that stands in for it."""
    table = known(provider) or {code: code for code in candidates(zone)}
    return next((code for code in candidates(zone) if table.get(code) == place), zone.code)
