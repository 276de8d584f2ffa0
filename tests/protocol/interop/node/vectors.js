// SPDX-License-Identifier: Apache-2.0
// The check of this peer against the published vectors (their .txt form, which keeps 64-bit numbers whole).
'use strict';
const crypto = require('crypto');
const fs = require('fs');
const path = require('path');
const w = require('./wire');
const { blake2s } = require('./blake2s');
const { Initiator, Responder, publicKey } = require('./noise');
const { Keys, ReplayWindow, seal, open } = require('./seal');
const { tags } = require('./tags');
const { checkFrame } = require('./frame');

const hex = (s) => (s === '-' ? Buffer.alloc(0) : Buffer.from(s, 'hex'));
const list = (s) => (s === '-' ? [] : s.split(' ').map(Number));

function cases(folder, name) {
  const text = fs.readFileSync(path.join(folder, name + '.txt'), 'utf8');
  const out = [];
  for (const part of text.split(/\n\s*\n/)) {
    const lines = part.split('\n').filter((l) => l && !l.startsWith('#'));
    if (lines.length) out.push(Object.fromEntries(lines.map((l) => { const i = l.indexOf(' ='); return [l.slice(0, i), l.slice(i + 2).trim()]; })));
  }
  return out;
}

const equal = (a, b, what) => { if (String(a) !== String(b)) throw new Error(`${what}: ${a} is not ${b}`); };
const equalHex = (a, b, what) => equal(a.toString('hex'), b === '-' ? '' : b, what);

const CHECKS = {
  header(c) {
    const f = {};
    for (const [name] of w.FIELDS) f[name] = Number(c[name]);
    equalHex(w.encodeHeader({ ...f, tag: hex(c.tag) }), c.frame, 'encoded');
    const d = w.decodeHeader(hex(c.frame));
    for (const [name] of w.FIELDS) equal(d[name], c[name], name);
    equalHex(d.tag, c.tag, 'tag');
  },
  float16(c) {
    if (c.op === 'encode') equal(w.float16(c.value), c.wire, 'wire');
    else equal(w.unfloat16(Number(c.wire)), c.value, 'value');
  },
  serial(c) {
    const wire = Number(c.wire), ref = Number(c.reference);
    const got = c.op === 'slot' ? w.expandSlot(wire, ref) : c.op === 'grant' ? w.expandGrant(wire, ref) : w.expandNack(wire, ref, Number(c.acknowledged));
    equal(got, c.valid === '1' ? c.result : null, c.op);
  },
  replay(c) {
    const window = new ReplayWindow(Number(c.window));
    const got = list(c.sequences).map((s) => { const ok = window.fresh(s); if (ok) window.mark(s); return Number(ok); });
    equal(got.join(' '), c.accepted, 'accepted');
  },
  tags(c) {
    const seen = [];
    let position = null;
    try { for (const t of tags(hex(c.payload))) seen.push(t); } catch (e) { if (e.position === undefined) throw e; position = e.position; }
    equal(position === null ? 'ok' : 'error', c.result, 'result');
    if (position !== null) return; // which byte `position` names is not in the document
    equal(seen.length, c.tags, 'tags');
    if (seen.length === 1) for (const k of Object.keys(c)) if (k !== 'tags' && k !== 'case' && k in seen[0]) equal(seen[0][k], c[k], k);
  },
  mac1(c) {
    const key = w.mac1Key(hex(c.public)), frame = hex(c.frame);
    equalHex(key, c.key, 'key');
    equal(Number(w.same(w.tag128(key, frame), frame.subarray(48, 64))), c.valid, 'valid');
  },
  noise(c) {
    const i = new Initiator(hex(c.initiator_secret), hex(c.responder_public), hex(c.initiator_ephemeral));
    const r = new Responder(hex(c.responder_secret), hex(c.responder_ephemeral));
    equalHex(publicKey(hex(c.initiator_secret)), c.initiator_public, 'public');
    const m1 = i.write1(hex(c.context1), hex(c.payload1));
    equalHex(m1, c.message1, 'message1');
    equalHex(i.state.startHash, c.start_hash, 'start_hash');
    equalHex(i.state.h, c.hash1, 'hash1');
    equalHex(r.read1(hex(c.context1), m1), c.payload1, 'payload1');
    const m2 = r.write2(hex(c.context2), hex(c.payload2));
    equalHex(m2, c.message2, 'message2');
    equalHex(i.read2(hex(c.context2), m2), c.payload2, 'payload2');
    equalHex(i.state.h, c.hash2, 'hash2');
    const [ir, ri] = i.state.split();
    equalHex(ir, c.key_initiator_to_responder, 'key_initiator_to_responder');
    equalHex(ri, c.key_responder_to_initiator, 'key_responder_to_initiator');
    for (const [name, publik] of [['hail', c.responder_public], ['reply', c.initiator_public]]) {
      const f = hex(c[name]);
      equalHex(w.tag128(w.mac1Key(hex(publik)), f), f.subarray(48, 64).toString('hex'), name + ' mac1');
    }
  },
  keys(c) {
    const keys = new Keys(hex(c.split_key), Number(c.cipher), Number(c.epoch));
    equalHex(keys.held.get(Number(c.epoch)).chain, c.chain_key, 'chain');
    equalHex(keys.held.get(Number(c.epoch)).frame, c.frame_key, 'frame');
  },
  frames(c) {
    const seq = Number(c.sequence), cipher = Number(c.cipher);
    const key = new Keys(hex(c.split_key), cipher, Math.floor(seq / 2 ** 22)).lookup(seq);
    equalHex(key, c.frame_key, 'frame_key');
    const { sealed, tag } = seal(cipher, key, seq, hex(c.aad), hex(c.plain));
    equalHex(Buffer.concat([hex(c.aad), tag, sealed]), c.frame, 'frame');
    equalHex(open(cipher, key, seq, hex(c.aad), sealed, tag), c.plain, 'plain');
  },
  cookie(c) {
    const address = hex(c.address);
    const cookie = blake2s(Buffer.concat([Buffer.from('tether/1 cookie'), Buffer.from([Number(c.kind), address.length]), address]), { key: hex(c.secret) });
    equalHex(cookie, c.cookie, 'cookie');
  },
  bad_frames(c) {
    const keys = new Keys(hex(c.split_key), Number(c.cipher), Number(c.epochs_ahead));
    keys.advance(Number(c.newest_epoch));
    const replay = new ReplayWindow(Number(c.window));
    list(c.seen).forEach((s) => replay.mark(s));
    const got = checkFrame(hex(c.frame), { index: Number(c.channel), frameBlocks: Number(c.frame_blocks), keys, replay });
    equal(got.reason || 'ok', c.reason, 'reason');
    if (!got.reason) equalHex(got.plain.subarray(0, got.h.length), c.payload, 'payload');
  },
};

/** True when all hold; prints one line a file. */
function checkVectors(folder) {
  let good = true;
  for (const n of [0, 1, 63, 64, 65, 128, 1000]) {
    const data = crypto.randomBytes(n);
    equalHex(blake2s(data), crypto.createHash('blake2s256').update(data).digest('hex'), 'BLAKE2s');
  }
  for (const [name, check] of Object.entries(CHECKS)) {
    const all = cases(folder, name);
    const bad = [];
    for (const c of all) try { check(c); } catch (e) { bad.push(`  ${c.case}: ${e.message}`); }
    console.log(`${name}: ${all.length - bad.length} of ${all.length}`);
    bad.slice(0, 5).forEach((line) => console.log(line));
    if (bad.length || !all.length) good = false;
  }
  return good;
}

module.exports = { checkVectors };
