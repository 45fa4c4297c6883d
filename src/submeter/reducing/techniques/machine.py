# SPDX-License-Identifier: Apache-2.0
"""What of this machine decides whether a technique can gain anything."""

from pathlib import Path
from typing import Any, Final, NamedTuple

from submeter.reducing.techniques.libraries import installed, library

_PROC: Final = Path("/proc")
_DRIVER: Final = Path("/proc/driver/nvidia/version")


class Machine(NamedTuple):
    """A device to train on, and the processes beside this one.

    ``capability`` is NVIDIA's compute capability; ``flags`` are those of the processor.
    """

    kind: str  # cpu, cuda, mps, …
    capability: tuple[int, int] | None = None
    flags: frozenset[str] = frozenset()
    processors: int = 1
    processes: int = 1  # that train together

    @property
    def words(self) -> str:
        """The device in words."""
        if self.kind != "cuda" or self.capability is None:
            return "a processor" if self.kind == "cpu" else self.kind
        return f"an NVIDIA board of compute capability {self.capability[0]}.{self.capability[1]}"

    @property
    def low_precision(self) -> bool:
        """Whether products of bfloat16 have hardware of their own here."""
        if self.kind == "cuda":
            return self.capability is None or self.capability >= (7, 0)
        return self.kind != "cpu" or bool(self.flags & {"amx_bf16", "avx512_bf16"})

    @property
    def low_integers(self) -> bool:
        """Whether products of int8 have hardware of their own here."""
        if self.kind == "cuda":
            return self.capability is None or self.capability >= (7, 2)
        return self.kind != "cpu" or bool(self.flags & {"avx512_vnni", "avx_vnni", "amx_int8"})


def here(proc: Path = _PROC) -> Machine:
    """Return the machine that this process runs on.

    Torch is asked only where a driver is: to import it takes a second.
    """
    import os

    flags = _flags(proc)
    affinity = getattr(os, "sched_getaffinity", None)  # not everywhere
    processors = len(affinity(0)) if affinity else os.cpu_count() or 1
    processes = int(os.environ.get("WORLD_SIZE", "1") or 1)
    if _DRIVER.exists() and installed("torch"):
        torch = library("torch")
        if torch.cuda.is_available():
            capability = torch.cuda.get_device_capability()
            return Machine("cuda", capability, flags, processors, processes)
    return Machine("cpu", None, flags, processors, processes)


def machine_of(target: Any) -> Machine:
    """Return the machine of *target*: where its parameters are, else this one."""
    found = here()
    parameters = getattr(target, "parameters", None)
    first = next(iter(parameters()), None) if callable(parameters) else None
    kind = getattr(getattr(first, "device", None), "type", found.kind)
    return found if kind in {found.kind, "meta"} else found._replace(kind=kind, capability=None)


def _flags(proc: Path) -> frozenset[str]:
    try:
        text = (proc / "cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    lines = (line.partition(":") for line in text.splitlines())
    return next(
        (frozenset(v.split()) for k, _, v in lines if k.strip().lower() in {"flags", "features"}),
        frozenset(),
    )
