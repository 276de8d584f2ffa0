# SPDX-License-Identifier: Apache-2.0
"""What runs on a managed host: executes a staged plan, journals it, takes it back."""
