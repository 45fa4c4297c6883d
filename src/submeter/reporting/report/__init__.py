# SPDX-License-Identifier: Apache-2.0
"""Reports: one document of a run, and one writer for each format.

``document.py`` is what a report is made of, ``content.py`` what stands in it, ``charts.py`` its
pictures as Vega-Lite specifications; then a file for each format. No writer knows a run.
"""
