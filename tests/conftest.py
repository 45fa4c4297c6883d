# SPDX-License-Identifier: Apache-2.0
"""What holds for the whole suite."""

import signal


def pytest_configure() -> None:
    """Interrupts work here even if the suite was started in the background.

    A shell without job control starts such programs with SIGINT ignored, and every program that
    a test starts would inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
