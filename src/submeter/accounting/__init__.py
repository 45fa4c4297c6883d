# SPDX-License-Identifier: Apache-2.0
"""What a run amounts to: pure functions from a Run and factors to a Footprint."""
