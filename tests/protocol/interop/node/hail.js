// SPDX-License-Identifier: Apache-2.0
// The initiator's handshake: Hail, retries, cookie, stale answer, reply (section 10), and its durable counter.
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const w = require('./wire');
const { blake2s } = require('./blake2s');
const { Initiator, publicKey } = require('./noise');
const { TYPE, encodeTag, tags } = require('./tags');
const { Keys } = require('./seal');

const STRIDE = 2n ** 20n;
const SIZES = [8, 18, 20]; // smaller Hails of T-PMT-4 that take turns with full ones

/** Hail counters in strides; the end of a stride is on the disk before any of it is used (T-CNT-2). */
class Counter {
  constructor(file) {
    this.file = file;
    let last = STRIDE;
    try { last = BigInt(fs.readFileSync(file, 'utf8').trim()); } catch (e) { if (e.code !== 'ENOENT') throw e; }
    this.begin(last);
  }
  begin(at) {
    const temporary = this.file + '.new', fd = fs.openSync(temporary, 'w', 0o600);
    fs.writeSync(fd, String(at + STRIDE));
    fs.fsyncSync(fd);
    fs.closeSync(fd);
    fs.renameSync(temporary, this.file);
    this.value = at;
    this.end = at + STRIDE;
  }
  next() { if (this.value + 1n >= this.end) this.begin(this.end); return ++this.value; }
  above(seen) { if (seen >= this.value) this.begin(seen - this.value > 2n ** 32n ? this.value + 2n ** 32n : seen); }
}

class Hailer {
  /** o: secret, peerPublic, mine (Manifest), counterFile, now(), transmit(frame), on{ reply, failed } */
  constructor(o) {
    Object.assign(this, o);
    this.counter = new Counter(o.counterFile);
    this.index = crypto.randomBytes(4).readUInt32LE(0) & 0xffffff00;
    this.index = (this.index >>> 0) || 0x100;  // low 8 bits: our lane, 0
    this.ownMac = w.mac1Key(publicKey(o.secret));
    this.peerMac = w.mac1Key(o.peerPublic);
    this.tries = 0;
    this.rejects = {};
  }

  start() { this.hail(); }
  stop() { clearTimeout(this.timer); this.stopped = true; }

  hail() {
    const counter = this.counter.next();
    const shrink = this.tries >= 3 && this.tries % 2 === 1;
    const size = shrink ? SIZES[(this.tries >> 1) % SIZES.length] : this.mine.frame_blocks;
    const blocks = Math.max(4, Math.min(size, this.mine.frame_blocks));
    const prefix = Buffer.alloc(4);
    prefix.writeUInt32LE(this.index, 0);
    const header = w.encodeHeader({
      version: 1, flags: w.FLAG.LAMP, length: 180, sequence: Number(counter & 0xffffffffffffn), GrantAmount: blocks + 1,
      Timestamp: crypto.randomBytes(6).readUIntLE(0, 6),
    });
    const payload = Buffer.concat([
      encodeTag(TYPE.HAIL, { counter, lane: 0, target_lane: this.targetLane, ciphers: this.ciphers, status: 0 }),
      encodeTag(TYPE.MANIFEST, this.mine)]);
    this.noise = new Initiator(this.secret, this.peerPublic);
    const message = this.noise.write1(Buffer.concat([header.subarray(0, 48), prefix]), payload);
    const frame = Buffer.alloc(64 + 64 * blocks);
    Buffer.concat([header, prefix, message]).copy(frame);
    if (this.cookie) blake2s(Buffer.concat([frame.subarray(0, 48), frame.subarray(64, -16)]), { key: this.cookie, length: 16 }).copy(frame, frame.length - 16);
    this.mac1 = w.tag128(this.peerMac, frame);
    this.mac1.copy(frame, 48);
    this.blocks = blocks;
    this.sentAt = this.now();
    this.transmit(frame);
    const silence = Math.max(1.5 * this.mine.rtt_ns, this.mine.silence_ns);
    const wait = Math.min(silence * 2 ** Math.min(this.tries, 30), Math.max(2e9, silence));
    this.tries++;
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.hail(), Math.ceil(wait / 1e6));
  }

  receive(frame) { // T-ORD-4
    if (this.stopped) return;
    this.cameAt = this.now();
    const reason = this.check(frame);
    if (reason) this.rejects[reason] = (this.rejects[reason] || 0) + 1;
  }

  check(frame) {
    if (frame.length < 64) return 'short';
    const h = w.decodeHeader(frame);
    if (h.version !== 1) return 'version';
    if (frame.length < 64 + 64 * w.blocksOf(h.length)) return 'short';
    if (h.channel !== this.index) return 'stranger';
    if (h.flags !== w.FLAG.LAMP || h.flow !== 0) return 'state';
    const whole = frame.subarray(0, 64 * Math.floor(frame.length / 64));
    if (h.length === 40 && whole.length === 128) return this.takeCookie(whole);
    const late = this.tries > 1 ? 'state' : null;
    if (h.length < 132) return 'length';
    if (whole.length > 64 + 64 * this.blocks) return late || 'length';
    if (!w.same(w.tag128(this.ownMac, whole), h.tag)) return 'mac1';
    if (!w.allZero(whole.subarray(64 + h.length))) return 'padding';
    let payload;
    try {
      payload = this.noise.read2(Buffer.concat([whole.subarray(0, 48), whole.subarray(64, 68)]), whole.subarray(68, 64 + h.length));
    } catch (_) { return late || 'auth'; }
    return this.takeReply(payload, whole.readUInt32LE(64));
  }

  takeCookie(frame) {
    const key = blake2s(Buffer.concat([Buffer.from('tether/1 cookie'), this.peerPublic, this.mac1]));
    if (!w.same(w.tag128(key, frame), frame.subarray(48, 64))) return 'mac1';
    let cookie;
    try { [cookie] = [...tags(frame.subarray(64, 104))]; } catch (_) { return 'tags'; }
    if (!cookie || cookie.type !== TYPE.COOKIE) return 'tags';
    const first = !this.cookie;
    this.cookie = Buffer.from(cookie.value.subarray(0, 32));
    if (first) this.hail();
    return null;
  }

  takeReply(payload, peerIndex) {
    let hail, manifest;
    try {
      for (const t of tags(payload)) {
        if (t.type === TYPE.HAIL && !hail) hail = t;
        else if (t.type === TYPE.MANIFEST && !manifest && t.lanes === 0) manifest = t;
        else if (t.type < 0x80) return 'tags';
      }
    } catch (_) { return 'tags'; }
    if (!hail || !manifest || hail.lane !== this.targetLane || hail.target_lane !== 0) return 'tags';
    if (hail.status === 1) return this.takeStale(hail.counter);
    if (hail.status !== 0 || peerIndex === 0 || ![1, 2].includes(hail.ciphers & this.ciphers) || (hail.ciphers & ~this.ciphers)) return 'tags';
    this.stop();
    const [out, back] = this.noise.state.split();
    this.on.reply({
      index: this.index, peerIndex, theirs: manifest, cipher: hail.ciphers, hailBlocks: this.blocks,
      keysOut: new Keys(out, hail.ciphers), keysIn: new Keys(back, hail.ciphers), roundTrip: this.cameAt - this.sentAt,
    });
    return null;
  }

  takeStale(counter) { // T-STL-2, T-STL-4: the next Hail goes when its retry is due
    if (counter >= 2n ** 63n) { this.stop(); this.on.failed(new Error('stale answer of 2^63 or more')); } else this.counter.above(counter);
    return 'counter';
  }
}

module.exports = { Hailer };
