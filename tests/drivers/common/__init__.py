# SPDX-License-Identifier: Apache-2.0
"""What the models of drivers have in common: a host around the driver, its programs and files, transactions."""
