// SPDX-License-Identifier: Apache-2.0
// A channel that is up: frames in and out, Flow 0, receipts, clocks, its end.
'use strict';
const crypto = require('crypto');
const { FLAG, M48, mod } = require('./wire');
const { sealFrame, checkFrame } = require('./frame');
const { TYPE, encodeTag, tags } = require('./tags');
const { ReplayWindow } = require('./seal');
const { Rtt } = require('./rtt');
const { Sender } = require('./sender');
const { Receiver } = require('./receiver');

const PURSE = 256, REFILL = 1000; // timer frames, and how many come back in a second

class Channel {
  /** o: index, peerIndex, keysOut, keysIn, mine, theirs (Manifests), fullBlocks, bound, now(), transmit(frame), on{} */
  constructor(o) {
    Object.assign(this, o);
    this.rtt = new Rtt(o.mine, o.theirs);
    this.replay = new ReplayWindow();
    this.sequence = 0;
    this.stampBase = crypto.randomBytes(6).readUIntLE(0, 6);
    this.heard = null;          // { sequence, stamp, at } of the newest verified frame
    this.receipts = 0;
    this.lastReceipt = -Infinity;
    this.ember = null;          // ours, on the way: { flow, end }
    this.emberHeld = null;      // the flow whose ember fills our cell
    this.purse = PURSE;
    this.purseAt = this.now();
    this.askedSince = null;     // T-CLK-7
    this.byeTimers = null;      // timer frames since our BYE
    this.up = true;
    this.rejects = {};
    this.counts = { sent: 0, received: 0, repairs: 0, timers: 0, receipts: 0 };
    this.flows = new Map();
    this.addFlow(0, o.theirs.pool_slots, o.mine.pool_slots);
  }

  addFlow(id, limit = 0, pool = 0) {
    const tx = new Sender(this, id, this.theirs.floor, this.fullBlocks, limit);
    const rx = new Receiver(this, id, this.mine.floor, pool);
    this.flows.set(id, { id, tx, rx, parts: null, size: 0, closedByUs: null, closedByPeer: null });
  }

  wait(doublings, pacedFrame) { return this.rtt.wait(doublings, pacedFrame); }
  stamp() { return mod(this.stampBase + this.now(), M48); }

  // ---- what the application does

  control(...list) { this.flows.get(0).tx.push(Buffer.concat(list), 0); }

  define(id) {
    this.addFlow(id);
    return encodeTag(TYPE.DEFINE, { flow: id, kind: 1, bound: this.bound });
  }

  message(id, bytes) { this.flows.get(id).tx.pushMessage(bytes); }

  closeFlow(id) {
    const f = this.flows.get(id);
    if (!f) return;
    f.closedByUs = { final: f.tx.next };
    this.control(encodeTag(TYPE.CLOSE, { flow: id, reason: 1, final: f.tx.next }));
    f.tx.queue = [];
    f.tx.declaredEnd = f.tx.next;
  }

  bye(reason) {
    if (this.byeTimers !== null) return;
    this.control(encodeTag(TYPE.BYE, { reason }));
    this.byeTimers = 0;
    for (const id of [...this.flows.keys()]) if (id !== 0) this.flows.delete(id);
  }

  end(error) {
    if (!this.up) return;
    this.up = false;
    clearTimeout(this.timer);
    this.on.down(error);
  }

  // ---- frames out

  /** One frame about flow `id`; header-only when there is no payload. */
  emit(id, fields, payload = Buffer.alloc(0), clock = false) {
    const f = this.flows.get(id), now = this.now();
    const told = f.rx.report(now, clock);
    const header = { ...told, ...fields, channel: this.peerIndex, sequence: ++this.sequence, flow: id, Timestamp: this.stamp() };
    header.flags = told.flags | (fields.flags || 0);
    if (this.heard && now - this.heard.at <= this.rtt.holdMost()) {
      header.flags |= FLAG.ECHO;
      header.echo = this.heard.stamp + now - this.heard.at;
    }
    this.counts.sent++;
    this.trace('->', { ...header, length: payload.length });
    this.transmit(sealFrame(this.keysOut, header, payload));
  }

  headerOnly(f, flags, clock) {
    this.emit(f.id, { flags, slot: f.tx.next, want: f.tx.wantFrom(f.tx.next) }, undefined, clock);
  }

  trace(way, h) {
    if (!this.verbose) return;
    const names = Object.keys(FLAG).filter((n) => h.flags & FLAG[n]).join('|');
    console.error(`${(this.now() / 1e6).toFixed(3)} ${way} seq ${h.sequence} flow ${h.flow} len ${h.length} slot ${h.slot} want ${h.want}`
      + ` grant ${h.GrantAmount} nack ${h.NackSlot}+${h.NackCount} pace ${h.pace || 0} ${names}`);
  }

  // ---- frames in

  reject(reason) { this.rejects[reason] = (this.rejects[reason] || 0) + 1; }

  receive(frame) {
    if (!this.up) return;
    const now = this.now();
    const { h, plain, reason } = checkFrame(frame, { index: this.index, frameBlocks: this.mine.frame_blocks, keys: this.keysIn, replay: this.replay });
    if (reason) return this.reject(reason);
    this.counts.received++;
    this.trace('<-', h);
    const echoMoment = this.proveAlive(h, now);
    const f = this.flows.get(h.flow);
    const refused = !f ? 'flow' : h.length ? f.rx.data(h, plain.subarray(0, h.length), now) : f.rx.headerOnly(h, now);
    if (refused) { if (this.verbose) console.error('   refused:', refused); this.reject(refused); return this.pump(); }
    f.tx.hear(h, now, echoMoment);
    if (h.length || (h.flags & FLAG.BLOCKED)) this.receipts++;
    this.deliver(f);
    this.pump();
  }

  proveAlive(h, now) { // T-ERR-4
    this.askedSince = null;
    if (!this.heard || h.sequence > this.heard.sequence) this.heard = { sequence: h.sequence, stamp: h.Timestamp, at: now };
    if (!(h.flags & FLAG.ECHO)) return null;
    const age = mod(this.stampBase + now - h.echo, M48);
    this.rtt.sample(age);
    return now - age;
  }

  deliver(f) {
    for (const part of f.rx.deliver()) {
      if (!this.up) return;
      if (f.id === 0) this.controlFrame(part.data); else this.messagePart(f, part);
    }
    this.finishFlow(f);
  }

  messagePart(f, part) {
    if (part.skipped) { f.parts = null; return; }
    if (part.flags & FLAG.FIRST) { f.parts = []; f.size = 0; }
    if (!f.parts || f.closedByUs) return;               // T-FLW-4, T-FLW-12
    f.parts.push(part.data);
    f.size += part.data.length;
    if (f.size > this.bound) return this.bye(1);        // T-FLW-5
    if (part.flags & FLAG.END) { const m = Buffer.concat(f.parts); f.parts = null; this.on.message(f.id, m); }
  }

  controlFrame(payload) {
    if (this.byeTimers !== null) return;                // T-BYE-2: no tags are read after our BYE
    try {
      for (const tag of tags(payload)) { this.act(tag); if (!this.up) return; }
    } catch (e) {
      if (!/^tags/.test(e.message)) throw e;
      this.on.trouble(e.message);
      this.bye(1);
    }
  }

  act(tag) {
    const f = this.flows.get(tag.flow);
    if (tag.flow === 0) throw new Error('tags: flow 0'); // T-TAG-7
    switch (tag.type) {
      case TYPE.HAIL: case TYPE.COOKIE: case TYPE.REKEY: throw new Error('tags: not on Flow 0');
      case TYPE.MANIFEST:
        if (tag.floor !== this.theirs.floor || tag.frame_blocks !== this.theirs.frame_blocks) throw new Error('tags: Manifest changed');
        break;
      case TYPE.DEFINE: // we take no flows of the peer's
        if (tag.flow % 2 === 0) throw new Error('tags: parity');
        this.control(encodeTag(TYPE.CLOSE, { flow: tag.flow, reason: 2, final: 0 }));
        break;
      case TYPE.SKIP: if (f) { f.rx.skip(Number(tag.first), Number(tag.count), this.now()); this.deliver(f); } break;
      case TYPE.CLOSE: if (f) this.peerCloses(f, tag); break;
      case TYPE.BYE:
        this.receipts--;
        this.headerOnly(this.flows.get(0), 0);
        this.end(new Error(`the peer said BYE, reason ${tag.reason}`));
        break;
      default: // WINDOWS, TABLE, WARM: this peer lives seconds on a link that is always there; 0x80 and above: skipped
    }
  }

  peerCloses(f, tag) {
    const reason = tag.reason > 2 ? 1 : tag.reason;
    if (reason !== 2) f.rx.close(Number(tag.final));
    f.closedByPeer = { reason };
    if (reason) { f.tx.stop(); if (this.ember && this.ember.flow === f.id) this.ember = null; }
    if (reason === 2) { this.flows.delete(f.id); this.on.gone(f.id, 2); return; }
    if (reason === 1 && f.closedByUs) f.rx.settle();
    this.deliver(f);
  }

  /** T-FLW-13: gone once both have closed and our CLOSE has a receipt. */
  finishFlow() {
    if (!this.flows.get(0).tx.done()) return;
    for (const f of [...this.flows.values()]) {
      if (f.id && f.closedByUs && f.closedByPeer && f.closedByPeer.reason === 1) { this.flows.delete(f.id); this.on.gone(f.id, 1); }
    }
  }

  // ---- all that may leave now, then the next moment at which something may

  pump() {
    if (!this.up) return;
    let next = Infinity;
    for (const f of this.flows.values()) next = Math.min(next, this.sendData(f));
    for (const f of this.flows.values()) next = Math.min(next, this.sendReceipt(f));
    for (const f of this.flows.values()) next = Math.min(next, this.runClocks(f));
    if (this.byeTimers !== null && (this.flows.get(0).tx.done() || this.byeTimers > 4)) return this.end(null);
    const now = this.now();
    if (this.askedSince !== null && now - this.askedSince > Math.max(10e9, 16 * this.rtt.silence())) return this.end(new Error('timed out: timer frames unanswered'));
    clearTimeout(this.timer);
    if (next < Infinity) this.timer = setTimeout(() => this.pump(), Math.max(1, Math.ceil((next - now) / 1e6)));
  }

  sendData(f) {
    for (let frame; (frame = f.tx.ready());) {
      const delay = f.tx.paceDelay(this.now());
      if (delay) return this.now() + delay;
      if (frame.slot !== null) this.counts.repairs++;
      f.tx.send(frame);
    }
    return Infinity;
  }

  unmetDemand() { return [...this.flows.values()].some((f) => f.rx.demand > f.rx.granted); }

  sendReceipt(f) {
    const now = this.now(), r = f.rx.receiptAt(now);
    if (this.receipts < 1 || (!r.last && this.receipts === 1 && this.unmetDemand())) return Infinity;
    if (r.at > now) return r.at;
    this.receipts--;
    this.lastReceipt = now;
    this.counts.receipts++;
    this.headerOnly(f, 0);
    return f.rx.receiptAt(now).at;
  }

  runClocks(f) {
    const now = this.now(), sender = f.tx.clock(f.rx.lastCame), receiver = f.rx.clock();
    if (Math.min(sender, receiver) > now) return Math.min(sender, receiver);
    this.purse = Math.min(PURSE, this.purse + (now - this.purseAt) * REFILL / 1e9);
    this.purseAt = now;
    if (this.purse < 1) return now + 1e9 / REFILL;
    this.purse--;
    if (sender <= now) { f.tx.lastTimer = now; f.tx.backoff++; }
    if (receiver <= now) { f.rx.lastTimer = now; f.rx.backoff++; }
    if (this.askedSince === null) this.askedSince = now;
    if (this.byeTimers !== null) this.byeTimers++;
    this.counts.timers++;
    this.headerOnly(f, sender <= now ? FLAG.BLOCKED : 0, receiver <= now);
    return Math.min(f.tx.clock(f.rx.lastCame), f.rx.clock());
  }
}

module.exports = { Channel };
