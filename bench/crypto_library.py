# SPDX-License-Identifier: Apache-2.0
"""ChaCha20-Poly1305 by OpenSSL's EVP and by libsodium: medians and spread of seal + open at two payload sizes.

Usage: .venv/bin/python bench/crypto_library.py [RUNS]     prints one JSON document; needs libssl-dev and libsodium-dev
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    source = Path(__file__).with_suffix(".c")
    samples: dict[tuple[str, int], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="tether-bench-") as folder:
        program = Path(folder) / "crypto_library"
        flags = ["-std=gnu11", "-O3", "-Wall", "-Wextra"]
        subprocess.run(["cc", *flags, "-o", program, source, "-lcrypto", "-lsodium"], check=True)
        for _ in range(runs):
            result = subprocess.run([program], check=True, capture_output=True, text=True, timeout=120)
            for line in result.stdout.splitlines():
                name, payload_bytes, ns = line.split()
                samples[name, int(payload_bytes)].append(float(ns))
    rows = []
    for (library, size), values in samples.items():
        median = statistics.median(values)
        rows.append(
            {
                "library": library,
                "payload_bytes": size,
                "seal_open_ns": {"median": median, "least": min(values), "most": max(values)},
                "goodput_bps": round(size * 8e9 / median),
            }
        )
    document = {"schema": "tether.bench.crypto/1", "runs": runs, "machine": platform.machine(), "results": rows}
    json.dump(document, sys.stdout, indent=1)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
