// SPDX-License-Identifier: Apache-2.0
// The sending half of a flow: ledger, ember, repair, pace and the sender's clock (sections 6.1, 6.5, 7.3, 8.2, 15).
'use strict';
const { BLOCK, FLAG, M31, blocksOf, float16, unfloat16, expandGrant, expandNack } = require('./wire');

class Sender {
  /** flow id; floor of the peer; fullBlocks = N of T-MSG-6; limit at the start (Flow 0: the peer's pool). */
  constructor(channel, id, floor, fullBlocks, limit) {
    Object.assign(this, { channel, id, floor, fullBlocks, limit });
    this.next = 0;
    this.queue = [];          // frames that were never sent
    this.unacked = [];        // frames that were sent and have no receipt, by slot
    this.declaredEnd = 0;
    this.lastLeft = 0;        // when a data frame of this flow left
    this.lastTimer = 0;
    this.backoff = 0;
    this.pace = 0;
    this.paceAt = 0;
    this.paceWaited = false;
    this.closed = false;      // the peer wants no more (CLOSE with reason 1 or 2)
  }

  push(payload, flags) {
    const blocks = blocksOf(payload.length);
    const slots = Math.max(this.floor, blocks);
    this.queue.push({ payload, flags, blocks, slots, slot: null, sentAt: 0, repair: false });
    this.declaredEnd += slots;
  }

  pushMessage(bytes) {
    const full = this.fullBlocks * BLOCK;
    for (let at = 0; at < bytes.length; at += full) {
      const end = Math.min(at + full, bytes.length);
      this.push(bytes.subarray(at, end), (at === 0 ? FLAG.FIRST : 0) | (end === bytes.length ? FLAG.END : 0));
    }
  }

  firstUnacked() { return this.unacked.length ? this.unacked[0].slot : this.next; }
  done() { return this.queue.length === 0 && this.unacked.length === 0; }

  stop() { this.closed = true; this.queue = []; this.unacked = []; }

  /** GrantAmount, pace, NackSlot and NackCount of an accepted frame about this flow. */
  hear(h, now, echoMoment) {
    const limit = expandGrant(h.GrantAmount, this.limit);
    if (limit > this.limit && !(this.unacked.length && limit >= this.firstUnacked() + M31)) {
      this.limit = limit;
      this.backoff = 0;
    }
    const ember = this.channel.ember;
    if (ember && ember.flow === this.id && this.limit >= ember.end) this.channel.ember = null;
    if (h.pace && !(this.paceSequence > h.sequence)) {
      this.paceSequence = h.sequence;
      this.pace = Number(unfloat16(h.pace));
    }
    const slot = expandNack(h.NackSlot, this.next, this.firstUnacked());
    if (slot === null) return;
    if (h.NackCount === 0) this.acknowledge(slot); else this.nack(slot, slot + h.NackCount, now, echoMoment);
  }

  acknowledge(slot) {
    const before = this.unacked.length;
    while (this.unacked.length && this.unacked[0].slot + this.unacked[0].slots <= slot) this.unacked.shift();
    if (this.unacked.length < before) this.backoff = 0;
  }

  nack(from, to, now, echoMoment) {
    const since = echoMoment === null ? now - this.channel.rtt.smoothed : echoMoment;
    for (const f of this.unacked) {
      if (f.slot < to && f.slot + f.slots > from && f.sentAt <= since) f.repair = true; // T-REP-4
    }
  }

  /** The next frame that may leave now: a repair, new data within the limit, or the ember; null if none. */
  ready() {
    const repair = this.unacked.find((f) => f.repair);
    if (repair) return repair;
    const f = this.queue[0];
    if (!f || this.closed || this.next + f.slots > this.firstUnacked() + M31) return null;
    if (this.next + f.slots <= this.limit) return f;
    if (this.id !== 0 && !this.channel.ember && this.limit === this.next) return f;
    return null;
  }

  slotsAtPace(f) { return Math.min(f.slots, f.blocks + 2); }

  /** ns until the pace lets this frame go; 0 = now. */
  paceDelay(now) {
    if (!this.pace || this.id === 0) return 0;
    const delay = Math.max(0, Math.ceil(this.paceAt - now));
    if (delay) this.paceWaited = true;
    return delay;
  }

  /** Sends `f`; new data takes its slots here and nowhere else. */
  send(f) {
    const now = this.channel.now();
    if (this.pace && this.id !== 0) {
      const burst = this.paceWaited ? 16 * this.floor * 1e9 / this.pace : 0;
      this.paceAt = Math.max(this.paceAt, now - burst) + this.slotsAtPace(f) * 1e9 / this.pace;
      this.paceWaited = false;
    }
    if (f.slot === null) {
      this.queue.shift();
      f.slot = this.next;
      this.next += f.slots;
      this.unacked.push(f);
      if (this.next > this.limit) this.channel.ember = { flow: this.id, end: this.next };
    }
    f.repair = false;
    f.sentAt = now;
    this.lastLeft = now;
    this.channel.emit(this.id, { flags: f.flags, slot: f.slot, want: this.wantFrom(f.slot + f.slots) }, f.payload);
  }

  wantFrom(slot) { return float16(Math.max(0, this.declaredEnd - slot)); }

  /** When the sender's clock rings (T-CLK-2), Infinity when nothing waits. */
  clock(lastCame) {
    if (this.closed || this.done()) return Infinity;
    return Math.max(lastCame, this.lastLeft, this.lastTimer) + this.channel.wait(this.backoff, this.pace && this.floor / this.pace);
  }
}

module.exports = { Sender };
