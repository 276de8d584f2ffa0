// SPDX-License-Identifier: Apache-2.0
// A minimal Tether peer: hails a node, sends one message on a flow, reads its echo, closes.
'use strict';
const dgram = require('dgram');
const dns = require('dns');
const os = require('os');
const path = require('path');
const { publicKey } = require('./noise');
const { Hailer } = require('./hail');
const { Channel } = require('./channel');
const { TYPE, encodeTag, encodeLane } = require('./tags');
const { checkVectors } = require('./vectors');

const USAGE = `node peer.js --to HOST:PORT --listen PORT --key SECRET_HEX --peer PUBLIC_HEX
  [--bytes N] [--message TEXT] [--loss P] [--seed N] [--cipher chacha|aes] [--lane N] [--counter FILE] [--bind ADDRESS] [--verbose]
node peer.js --key SECRET_HEX --public
node peer.js --vectors DIR`;
const DEADLINE = 20000;
const FLOW = 2;
const MANIFEST = { // of this peer: MTU 1500 over UDP; 1024 receive cells, all in memory
  floor: 22, frame_blocks: 22, pool_slots: 176, ring_frames: 1024, ember_frames: 1, lanes: 0,
  max_message: 65536, rtt_ns: 1e6, rate_bps: 0, silence_ns: 1e6,
};

function options(argv) {
  const out = {};
  const flags = ['public', 'verbose', 'help'];
  for (let i = 0; i < argv.length; i++) {
    const name = argv[i].replace(/^--/, '');
    if (!argv[i].startsWith('--')) throw new Error('what is ' + argv[i] + '?\n' + USAGE);
    out[name] = flags.includes(name) ? true : argv[++i];
    if (out[name] === undefined) throw new Error(`--${name} needs a value`);
  }
  return out;
}

const key32 = (hex, name) => { if (!/^[0-9a-f]{64}$/i.test(hex || '')) throw new Error(`--${name} needs 64 hexadecimal digits\n` + USAGE); return Buffer.from(hex, 'hex'); };

function randomFrom(seed) { // mulberry32: the same losses for the same seed
  let a = seed >>> 0;
  return () => { a = (a + 0x6d2b79f5) | 0; let t = Math.imul(a ^ (a >>> 15), 1 | a); t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t; return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32; };
}

class Peer {
  constructor(o, done) {
    this.o = o;
    this.done = done;
    this.secret = key32(o.key, 'key');
    this.peerPublic = key32(o.peer, 'peer');
    const match = /^(.+):(\d+)$/.exec(o.to || '');
    if (!match || !o.listen) throw new Error(USAGE);
    [, this.host, this.port] = match;
    this.text = o.message !== undefined ? Buffer.from(o.message) : this.pattern(Number(o.bytes || 100));
    if (this.text.length < 1 || this.text.length > MANIFEST.max_message) throw new Error('a message has 1 to 65536 bytes');
    this.random = randomFrom(Number(o.seed || 1));
    this.loss = Number(o.loss || 0);
    if (this.loss > 1) this.loss /= 100;       // 5 means 5 %
    this.lost = { out: 0, in: 0 };
    const begin = process.hrtime.bigint();
    this.now = () => Number(process.hrtime.bigint() - begin);
    // An address looked up once: with dgram's own look-up a frame would leave only after the present turn of the event loop,
    // long after the moment that its Timestamp tells, and the peer would name frames that had not left yet.
    this.socket = dgram.createSocket({ type: 'udp4', lookup: (name, _, done) => done(null, name === this.host ? this.address : name, 4) });
    this.socket.on('message', (frame) => this.receive(frame));
    this.socket.on('error', (e) => this.finish(e));
    this.bindAddress = o.bind || '127.0.0.1';
    this.deadline = setTimeout(() => this.finish(new Error(`not done after ${DEADLINE / 1000} s: ${this.stage}`)), DEADLINE);
    this.stage = 'hailing';
    dns.lookup(this.host, 4, (e, address) => {
      if (e) return this.finish(e);
      this.address = address;
      this.socket.bind(Number(o.listen), this.bindAddress, () => this.hail());
    });
  }

  pattern(n) { const out = Buffer.alloc(n); for (let i = 0; i < n; i++) out[i] = (i * 167 + (i >> 8) * 13 + 1) & 255; return out; }

  loses(way) { if (this.random() >= this.loss) return false; this.lost[way]++; return true; }

  transmit(frame) { if (!this.loses('out')) this.socket.send(frame, Number(this.port), this.host); }

  receive(frame) {
    if (this.loses('in')) return;
    (this.channel || this.hailer).receive(frame);
  }

  hail() {
    const name = publicKey(this.secret).toString('hex').slice(0, 16);
    this.hailer = new Hailer({
      secret: this.secret, peerPublic: this.peerPublic, mine: MANIFEST, now: this.now, transmit: (f) => this.transmit(f),
      counterFile: this.o.counter || path.join(os.tmpdir(), `tether-hail-${name}.counter`),
      targetLane: Number(this.o.lane || 0), ciphers: { chacha: 1, aes: 2 }[this.o.cipher] || 3,
      on: { reply: (r) => this.connected(r), failed: (e) => this.finish(e) },
    });
    this.hailer.start();
  }

  connected(reply) {
    this.stage = 'waiting for the echo';
    let fullBlocks = Math.min(MANIFEST.frame_blocks, reply.theirs.frame_blocks);
    if (reply.hailBlocks > 4) fullBlocks = Math.min(fullBlocks, reply.hailBlocks);
    const bound = Math.min(MANIFEST.max_message, Number(reply.theirs.max_message));
    if (this.text.length > bound) return this.finish(new Error(`the peer takes no message above ${bound} bytes`));
    this.channel = new Channel({
      ...reply, mine: MANIFEST, fullBlocks, bound, now: this.now, transmit: (f) => this.transmit(f), verbose: this.o.verbose,
      on: {
        message: (id, bytes) => this.echoed(bytes),
        gone: (id, reason) => this.flowGone(reason),
        trouble: (text) => { this.failure = this.failure || new Error(text); },
        down: (error) => this.finish(this.failure || (this.stage === 'ending the channel' ? null : error)),
      },
    });
    const c = this.channel;
    if (this.o.verbose) console.error('up after', reply.roundTrip, 'ns; their Manifest', reply.theirs);
    c.rtt.sample(reply.roundTrip);              // T-HDR-18
    const address = Buffer.from([...this.bindAddress.split('.').map(Number), this.o.listen >> 8, this.o.listen & 255]);
    c.control(encodeTag(TYPE.MANIFEST, { ...MANIFEST, lanes: 1 }, encodeLane(0, 2, address)), c.define(FLOW));
    this.sentAt = this.now();
    c.message(FLOW, this.text);
    c.pump();
  }

  echoed(bytes) {
    this.roundTrip = this.now() - this.sentAt;
    if (!bytes.equals(this.text)) this.failure = new Error(`the echo differs: ${bytes.length} bytes for ${this.text.length}`);
    this.stage = 'closing the flow';
    this.channel.closeFlow(FLOW);
  }

  flowGone(reason) {
    if (reason === 2) this.failure = new Error('the peer refused the flow');
    this.stage = 'ending the channel';
    this.channel.bye(0);
  }

  finish(error) {
    if (this.finished) return;
    this.finished = true;
    clearTimeout(this.deadline);
    this.hailer && this.hailer.stop();
    if (this.channel) { clearTimeout(this.channel.timer); this.channel.up = false; }
    setTimeout(() => { this.socket.close(); this.done(error, this); }, 5); // what was handed to the socket leaves first
  }
}

function main() {
  const o = options(process.argv.slice(2));
  if (o.help) { console.log(USAGE); return; }
  if (o.vectors) { process.exitCode = checkVectors(o.vectors) ? 0 : 1; return; }
  if (o.public) { console.log(publicKey(key32(o.key, 'key')).toString('hex')); return; }
  new Peer(o, (error, p) => { // eslint-disable-line no-new
    const c = p.channel || { counts: {}, rejects: p.hailer ? p.hailer.rejects : {} };
    const numbers = JSON.stringify({ hails: p.hailer && p.hailer.tries, hailRejects: p.hailer && p.hailer.rejects, ...c.counts, rejects: c.rejects, lost: p.lost });
    if (error) { console.log('FAILED:', error.message, numbers); process.exitCode = 1; return; }
    console.log(`OK ${p.text.length} bytes, round trip ${(p.roundTrip / 1e6).toFixed(3)} ms`, numbers);
  });
}

if (require.main === module) {
  try { main(); } catch (e) { console.error(e.message); process.exitCode = 1; }
}
