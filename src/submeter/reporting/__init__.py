# SPDX-License-Identifier: Apache-2.0
"""Say it: numbers, the summary on the terminal, tables, the words of the JSON."""
