# SPDX-License-Identifier: Apache-2.0
"""Forecasting: what carbon, price and renewable share of a grid will be in the coming days.

From the past of the series alone, or from a provider's forecast where that back-tests better.
It knows nothing later than the instant it is asked at. Needs numpy (the extra ``plan``).
"""
