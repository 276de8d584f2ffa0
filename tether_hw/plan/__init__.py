# SPDX-License-Identifier: Apache-2.0
"""What crosses between the controller and a host: facts, steps, plans, lanes, the agent's verbs.

Pure and standard library only: this package also runs on managed hosts (Python 3.9).
"""
