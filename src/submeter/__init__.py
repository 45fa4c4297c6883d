# SPDX-License-Identifier: Apache-2.0
"""Meter the electricity, carbon and water that training an AI model costs."""
