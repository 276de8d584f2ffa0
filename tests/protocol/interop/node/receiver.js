// SPDX-License-Identifier: Apache-2.0
// The receiving half of a flow: grants, gaps, receipts and the receiver's clock (sections 6.3, 6.4, 7, 8.1, 12.4).
'use strict';
const { FLAG, M31, blocksOf, unfloat16, expandSlot } = require('./wire');

const GRANT_MOST = 700; // cells of one flow, below 3/4 of the ring_frames that we declare

class Receiver {
  constructor(channel, id, floor, pool) {
    Object.assign(this, { channel, id, floor, pool });
    this.granted = pool;
    this.grantTold = pool;
    this.known = 0;           // everything below has arrived or is in `gaps`
    this.gaps = [];           // { first, end, due }: missing, in order
    this.arrived = new Map(); // slot -> { end, flags, data } that was not delivered yet
    this.delivered = 0;
    this.demand = 0;
    this.final = null;
    this.lastCame = 0;
    this.lastTimer = 0;
    this.backoff = 0;
    this.untold = 0;
    this.untoldSince = 0;
    this.answerBlocked = false;
    this.tellSkip = false;
    this.sinceCumulative = 0;
  }

  firstMissing() { return this.gaps.length ? this.gaps[0].first : this.known; }

  /** A data frame: null when it is accepted (duplicates too), else the reject reason. */
  data(h, payload, now) {
    const slot = expandSlot(h.slot, this.firstMissing());
    if (slot === null || slot % this.floor !== 0) return 'flow';
    const end = slot + Math.max(this.floor, blocksOf(h.length));
    if (this.final !== null && end > this.final) return 'flow';
    let fresh = false;
    if (slot >= this.known) {
      if (end > this.granted && !this.takesEmber(slot)) return 'grant';
      if (slot > this.known) this.addGap(this.known, slot, now + this.channel.rtt.reorder);
      this.known = end;
      fresh = true;
    } else {
      const gap = this.gaps.find((g) => slot < g.end && end > g.first);
      if (end > this.known || (gap && (slot < gap.first || end > gap.end))) return 'flow';
      if (gap) { this.fill(gap, slot, end); fresh = true; } else this.channel.rtt.spurious();
    }
    this.came(h, now, end);
    if (!this.untold++) this.untoldSince = now;
    if (fresh) {
      this.backoff = 0;
      this.arrived.set(slot, { end, flags: h.flags, data: payload });
    }
    this.raise();
    return null;
  }

  takesEmber(slot) { // the cell of T-STA-4
    const held = this.channel.emberHeld;
    if (this.id === 0 || slot !== this.granted || (held !== null && held !== this.id)) return false;
    this.channel.emberHeld = this.id;
    return true;
  }

  addGap(first, end, due) { this.gaps.push({ first, end, due }); }

  fill(gap, slot, end) {
    const rest = [];
    if (gap.first < slot) rest.push({ ...gap, end: slot });
    if (end < gap.end) rest.push({ ...gap, first: end });
    this.gaps.splice(this.gaps.indexOf(gap), 1, ...rest);
  }

  /** A header-only frame: its high water may show a gap; its want raises demand. */
  headerOnly(h, now) {
    const slot = expandSlot(h.slot, this.firstMissing());
    if (slot === null) return 'flow';
    this.came(h, now, slot);
    const blocked = (h.flags & FLAG.BLOCKED) !== 0;
    if (blocked) this.answerBlocked = true;
    const high = Math.min(slot, this.granted);          // T-NCK-9
    if (high > this.known) {                            // T-NCK-5, T-NCK-8
      this.addGap(this.known, high, blocked ? now : now + Math.max(this.channel.rtt.smoothed / 4, this.channel.rtt.reorder));
      this.known = high;
    }
    this.raise();
    return null;
  }

  came(h, now, end) {
    this.lastCame = now;
    let demand = end + Number(unfloat16(h.want));
    if (this.final !== null) demand = Math.min(demand, this.final);
    this.demand = Math.max(this.demand, demand);
  }

  /** Raises the grant as far as demand and cells allow. */
  raise() {
    if (this.id === 0) { this.granted = this.delivered + this.pool; return; }
    const most = Math.min(this.firstMissing() + M31 - 1, this.delivered + GRANT_MOST * this.floor);
    const aim = Math.floor(Math.min(this.demand, most) / this.floor) * this.floor;
    if (aim > this.granted) this.granted = aim;
    if (this.channel.emberHeld === this.id && this.granted >= this.known) this.channel.emberHeld = null;
  }

  /** Whole frames in the order of their slots. */
  * deliver() {
    while (this.delivered < this.firstMissing()) {
      const f = this.arrived.get(this.delivered);
      if (!f) throw new Error('internal: a slot is neither missing nor there');
      this.arrived.delete(this.delivered);
      this.delivered = f.end;
      yield f;
    }
    if (this.id === 0) this.granted = this.delivered + this.pool;
  }

  /** T-SKP-4, T-SKP-5; throws on an error of the tags. */
  skip(first, count, now) {
    const end = first + count;
    if (count > 0 && end <= this.firstMissing()) return;
    const gap = this.gaps.find((g) => first >= g.first && first < g.end); // a high water beyond the grant may have shown it
    const bad = count === 0 || first > this.granted + this.floor || end >= this.firstMissing() + M31
      || first % this.floor !== 0 || count % this.floor !== 0
      || (first < this.known && (!gap || (end > gap.end && gap.end !== this.known)));
    if (bad) throw new Error('tags: SKIP');
    if (gap) this.fill(gap, first, Math.min(end, gap.end));
    if (first > this.known) this.addGap(this.known, first, now + this.channel.rtt.smoothed / 4);
    this.known = Math.max(this.known, end);
    this.granted = Math.max(this.granted, end);
    this.demand = Math.max(this.demand, end);
    this.arrived.set(first, { end, skipped: true });
    if (this.channel.emberHeld === this.id) this.channel.emberHeld = null;
    this.tellSkip = true;
  }

  /** CLOSE of the peer's direction; throws on an error of the tags. */
  close(final) {
    if (final < this.known || final >= this.firstMissing() + M31 || final % this.floor !== 0
      || (this.final !== null && final !== this.final)) throw new Error('tags: CLOSE');
    this.final = final;
    this.demand = Math.min(this.demand, final);
  }

  /** T-FLW-12: nothing below `final` will be repaired any more. */
  settle() { this.gaps = []; this.known = this.final; this.arrived.clear(); this.delivered = this.final; }

  cut(gap) { // what NackCount can say, in whole multiples of floor (T-NCK-10)
    return Math.min(gap.end - gap.first, Math.floor(65535 / this.floor) * this.floor);
  }

  dueGap(now) {
    if (this.sinceCumulative >= 7) return undefined;    // T-NCK-2
    return this.gaps.find((g) => g.due <= now);
  }

  /** The fields that any frame about this flow says of our receiving; everything is told then. */
  report(now, clock = false) {
    let gap = clock ? this.gaps[0] : this.dueGap(now);
    if (clock && !gap) gap = { first: this.firstMissing(), end: Math.min(this.granted, this.demand) };
    const told = { GrantAmount: this.granted, NackSlot: this.firstMissing(), NackCount: 0, flags: 0 };
    if (this.granted > this.grantTold) told.flags |= FLAG.GRANT;
    if (gap && gap.end > gap.first) {
      told.NackSlot = gap.first;
      told.NackCount = this.cut(gap);
      told.flags |= FLAG.NACK;
      gap.due = now + this.channel.rtt.smoothed + this.channel.rtt.reorder; // T-NCK-3, one frame a turn
      this.sinceCumulative++;
    } else this.sinceCumulative = 0;
    this.grantTold = this.granted;
    this.untold = 0;
    this.answerBlocked = this.tellSkip = false;
    return told;
  }

  /** When a receipt should go about this flow, and whether it may be the last one (T-RCT-4, 5, 9, 10). */
  receiptAt(now) {
    const news = this.id === 0 ? this.pool / 4 : 1;
    if (this.answerBlocked || this.granted - this.grantTold >= news) return { at: now, last: true };
    let at = Infinity;
    if (this.tellSkip || this.untold >= 16) at = now;
    for (const g of this.gaps) at = Math.min(at, g.due);
    const eighth = this.channel.rtt.smoothed / 8;
    if (this.untold) {
      at = Math.min(at, this.untoldSince + eighth);
      if (this.firstMissing() >= this.demand) at = Math.min(at, this.channel.lastReceipt + eighth);
    }
    return { at, last: false };
  }

  /** When the receiver's clock rings (T-CLK-1). */
  clock() {
    if (this.firstMissing() >= Math.min(this.granted, this.demand)) return Infinity;
    return Math.max(this.lastCame, this.lastTimer) + this.channel.wait(this.backoff);
  }
}

module.exports = { Receiver };
