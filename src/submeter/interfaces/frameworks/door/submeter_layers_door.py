# SPDX-License-Identifier: Apache-2.0
"""The door through which ``submeter run --layers`` comes into a program that imports torch.

torch calls `start` at the end of its own import, because the package information beside this file
offers it as ``torch.backends``. The folder is on ``PYTHONPATH`` only if layers were asked for.
Whatever fails here is written down for the run, and the program goes on as if we were not there.
"""

import os


def start() -> None:
    """Begin to look at layers, if that is asked for."""
    if os.environ.get("SUBMETER_LAYERS") != "1":
        return
    try:
        from submeter.interfaces.frameworks.layers import start_in_run

        start_in_run()
    except Exception as exc:  # noqa: BLE001  # torch's import must not fail for our sake
        say_why(f"layers cannot be looked at: {type(exc).__name__}: {exc}")


def say_why(words: str) -> None:
    """Leave *words* in the folder of the run; with nothing of ours, which may not be here."""
    folder = os.environ.get("SUBMETER_RUN")
    if not folder:
        return
    try:
        place = os.path.join(folder, f"no-layers.{os.getpid()}")  # noqa: PTH118  # quick to import
        with open(place, "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(words)
    except OSError:
        pass
