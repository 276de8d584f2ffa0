# SPDX-License-Identifier: Apache-2.0
"""Any Linux network device: queues, ring, MTU."""
