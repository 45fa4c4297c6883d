# SPDX-License-Identifier: Apache-2.0
"""A folder that stands in for /sys and /proc, written file by file."""

import shutil
from pathlib import Path

from submeter.sensors import Roots

CPUINFO = """\
processor\t: {n}
vendor_id\t: {vendor}
cpu family\t: 6
model\t\t: 106
model name\t: {model}
stepping\t: 6
physical id\t: {socket}
core id\t\t: {n}
flags\t\t: fpu vme {flags}

"""


class Tree:
    """Kernel trees in a folder; every method writes what a kernel would show."""

    def __init__(self, root: Path) -> None:
        self.sys = root / "sys"
        self.proc = root / "proc"
        self.sys.mkdir(parents=True)
        self.proc.mkdir()

    def roots(self, *, nvml: bool = False) -> Roots:
        return Roots(sys=self.sys, proc=self.proc, nvml=nvml)

    def write(self, path: str, text: str) -> Path:
        file = (self.sys if path.startswith(("class", "fs")) else self.proc) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def zone(
        self,
        key: str,
        name: str,
        *,
        energy_uj: int = 5_000_000,
        range_uj: int | None = 262_143_328_850,
        limit_w: float | None = None,
    ) -> Path:
        folder = f"class/powercap/{key}"
        self.write(f"{folder}/name", name + "\n")
        if range_uj is not None:
            self.write(f"{folder}/max_energy_range_uj", f"{range_uj}\n")
        if limit_w is not None:
            self.write(f"{folder}/constraint_0_power_limit_uw", f"{round(limit_w * 1e6)}\n")
        return self.write(f"{folder}/energy_uj", f"{energy_uj}\n").parent

    def remove(self, key: str) -> None:
        shutil.rmtree(self.sys / "class/powercap" / key)

    def cpus(
        self,
        vcpus: int = 4,
        *,
        sockets: int = 1,
        model: str = "Intel(R) Xeon(R) Platinum 8358 CPU @ 2.60GHz",
        vendor: str = "GenuineIntel",
        guest: bool = False,
    ) -> None:
        self.write(
            "cpuinfo",
            "".join(
                CPUINFO.format(
                    n=n,
                    vendor=vendor,
                    model=model,
                    socket=n * sockets // vcpus,
                    flags="hypervisor" if guest else "",
                )
                for n in range(vcpus)
            ),
        )

    def memory(self, kib: int = 16_000_000) -> None:
        self.write("meminfo", f"MemTotal:       {kib} kB\nMemFree:  1 kB\n")

    def stat(self, *, user: int = 1000, idle: int = 9000, steal: int = 0, guest: int = 0) -> None:
        line = f"cpu  {user} 20 300 {idle} 50 6 7 {steal} {guest} 0"
        self.write("stat", f"{line}\ncpu0 1 2 3 4 5 6 7 8 9 0\nintr 12345\n")

    def process(
        self,
        pid: int,
        *,
        parent: int = 1,
        own: int = 0,
        waited: int = 0,
        start: int = 100,
        environ: dict[str, str] | None = None,
        name: str = "python",
    ) -> None:
        zeros = " ".join(["0"] * 9)
        self.write(
            f"{pid}/stat",
            f"{pid} ({name}) S {parent} {zeros} {own // 2} {own - own // 2} "
            f"{waited // 2} {waited - waited // 2} 20 0 1 0 {start} 0 0\n",
        )
        if environ is not None:
            text = "".join(f"{key}={value}\0" for key, value in environ.items())
            self.write(f"{pid}/environ", text)

    def end(self, pid: int) -> None:
        shutil.rmtree(self.proc / str(pid))
