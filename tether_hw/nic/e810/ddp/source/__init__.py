# SPDX-License-Identifier: Apache-2.0
"""The source language of parser packages: words.py reads lines, compile.py makes tables, decompile.py writes them."""
