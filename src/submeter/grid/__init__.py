# SPDX-License-Identifier: Apache-2.0
"""What does this electricity bring with it, there and then: carbon, water, price.

It never decides anything, and asks nobody unless the user wants live data. Read ``live.py`` for
those: who is asked (``providers``), how (``transport.py``), and what is kept (``cache.py``).
"""

__all__: list[str] = []
