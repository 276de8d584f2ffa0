# SPDX-License-Identifier: Apache-2.0
"""NIC families: what each can be asked for, how it is read, planned and rendered."""
