# SPDX-License-Identifier: Apache-2.0
"""Programs that only this card has."""
