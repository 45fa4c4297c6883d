# SPDX-License-Identifier: Apache-2.0
"""``python -m submeter``."""

import sys

from submeter.interfaces.cli import main

if __name__ == "__main__":
    sys.exit(main())
