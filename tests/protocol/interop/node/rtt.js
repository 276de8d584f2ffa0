// SPDX-License-Identifier: Apache-2.0
// Round trip of a channel and what follows from it: sections 3 (samples), 7.2 (reorder time) and 8.3 (silence).
'use strict';
const { HEADER, BLOCK, M47 } = require('./wire');

class Rtt {
  /** The two Manifests as T-MAN-6 joins them. */
  constructor(mine, theirs) {
    const least = (name) => [mine, theirs].map((m) => Number(m[name])).filter((v) => v > 0).sort((a, b) => a - b)[0] || 0;
    const believed = [mine, theirs].map((m) => Number(m.rtt_ns)).filter((v) => v < 2 ** 46);
    this.declared = Math.max(0, ...believed);
    this.silenceLeast = least('silence_ns');
    const rate = least('rate_bps');
    const bytes = HEADER + mine.frame_blocks * BLOCK + 38;
    this.frameTime = rate ? bytes * 8e9 / rate : 0;
    this.smoothed = this.declared;
    this.smallest = this.declared;
    this.samples = [];
    this.reorder = 0;
  }

  sample(ns) {
    if (ns >= M47) return;
    this.smoothed = this.samples.length ? this.smoothed * 7 / 8 + ns / 8 : ns;
    this.smallest = this.samples.length ? Math.min(this.smallest, ns) : ns;
    this.samples.push(ns);
    if (this.samples.length > 256) this.samples.shift();
  }

  p99() {
    const sorted = [...this.samples].sort((a, b) => a - b);
    return sorted[Math.ceil(sorted.length * 0.99) - 1] || 0;
  }

  spurious() { this.reorder = Math.min(this.smoothed, this.reorder ? 2 * this.reorder : this.smoothed / 16); }

  silence(pacedFrame = 0) {
    return Math.max(1.5 * Math.max(this.declared, this.p99()), 4 * Math.max(this.frameTime, pacedFrame * 1e9), this.silenceLeast);
  }

  wait(doublings, pacedFrame) {
    const silence = this.silence(pacedFrame);
    return Math.min(silence * 2 ** Math.min(doublings, 30), Math.max(silence, Math.min(64 * silence, 1e9)));
  }

  holdMost() { return Math.min(2 ** 46, Math.max(1e6, 1250 * this.smallest)); }
}

module.exports = { Rtt };
