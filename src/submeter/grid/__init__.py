# SPDX-License-Identifier: Apache-2.0
"""What electricity brings with it, then and there: carbon, water, price, each with its kind.

It never decides, and offline it never asks anybody. Read ``place.py`` first (where a run is),
then ``traces.py`` (intensity over time), ``weighting.py`` (a load over a trace gives one factor),
``factors.py`` (what is known by year only), and ``live.py`` (who is asked when that is wanted).
Nothing is imported here: whoever starts a run needs the place, and not the tables.
"""
