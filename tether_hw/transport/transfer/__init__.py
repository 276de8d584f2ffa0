# SPDX-License-Identifier: Apache-2.0
"""Files over lanes: striped, resumable, checked by SHA-256."""
