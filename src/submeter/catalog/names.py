# SPDX-License-Identifier: Apache-2.0
"""Names as kernels and drivers report them, brought to the form under which tables list them."""

import re

_CPU_NOISE = (
    (re.compile(r"\((r|tm|c)\)|®|™"), ""),
    (re.compile(r"@.*$|\bwith radeon.*$|\bw/ radeon.*$"), ""),
    (re.compile(r"\b\d+(st|nd|rd|th) gen\b"), ""),
    (re.compile(r"\b(\d+|two|quad|six|eight|twelve|sixteen)-core\b"), ""),
    (re.compile(r"\b(cpu|processor)\b"), ""),
    (re.compile(r"\s+"), " "),
)
_BOARD_NOISE = (
    (re.compile(r"\(.*?\)"), ""),
    (re.compile(r"\b(nvidia|tesla|geforce|graphics device)\b"), ""),
    (re.compile(r"[-_/\s]+"), " "),
)


def normal_cpu(name: str) -> str:
    """*name* of a processor without marks, frequency and filler words, in lower case.

    Examples
    --------
    >>> normal_cpu("Intel(R) Xeon(R) CPU E5-2620 v3 @ 2.40GHz")
    'intel xeon e5-2620 v3'
    >>> normal_cpu("AMD EPYC 7742 64-Core Processor")
    'amd epyc 7742'
    """
    return _stripped(name, _CPU_NOISE)


def normal_board(name: str) -> str:
    """*name* of a board as NVML says it, without maker and brand, in lower case.

    Examples
    --------
    >>> normal_board("NVIDIA A100-SXM4-80GB")
    'a100 sxm4 80gb'
    >>> normal_board("Tesla V100-SXM2-16GB")
    'v100 sxm2 16gb'
    """
    return _stripped(name, _BOARD_NOISE)


def _stripped(name: str, noise: tuple[tuple[re.Pattern[str], str], ...]) -> str:
    text = name.lower()
    for pattern, replacement in noise:
        text = pattern.sub(replacement, text)
    return text.strip(" ,")
