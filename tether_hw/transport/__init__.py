# SPDX-License-Identifier: Apache-2.0
"""The Tether transport (RFC 0001): engine, carriers and what moves files over them. Standard library only."""
