// SPDX-License-Identifier: Apache-2.0
// Tags of Flow 0 and of the handshake: section 12.
'use strict';
const { allZero } = require('./wire');

const TYPE = { HAIL: 1, DEFINE: 2, MANIFEST: 3, SKIP: 4, CLOSE: 5, BYE: 6, WINDOWS: 7, COOKIE: 8, REKEY: 9, WARM: 10, TABLE: 11 };
const LAYOUT = { // least length of the value, then name, offset, size
  1: [16, ['counter', 0, 8], ['lane', 8, 2], ['target_lane', 10, 2], ['ciphers', 12, 2], ['status', 14, 2]],
  2: [40, ['flow', 0, 2], ['kind', 2, 1], ['reliability', 3, 1], ['order', 4, 1], ['scale', 5, 1], ['bound', 8, 8],
    ['latency_ns', 16, 8], ['budget', 24, 8], ['deadline_ns', 32, 8]],
  3: [48, ['floor', 0, 2], ['frame_blocks', 2, 2], ['pool_slots', 4, 4], ['ring_frames', 8, 4], ['ember_frames', 12, 2],
    ['lanes', 14, 2], ['max_message', 16, 8], ['rtt_ns', 24, 8], ['rate_bps', 32, 8], ['silence_ns', 40, 8]],
  4: [24, ['flow', 0, 2], ['first', 8, 8], ['count', 16, 8]],
  5: [16, ['flow', 0, 2], ['reason', 4, 4], ['final', 8, 8]],
  6: [8, ['reason', 0, 4]],
  7: [24, ['clock_ns', 0, 8], ['stamp', 8, 8], ['pairs', 16, 2]],
  8: [32],
  9: [8, ['channel', 0, 4]],
  10: [8, ['early_bytes', 0, 4]],
  11: [24, ['clock_ns', 0, 8], ['stamp', 8, 8], ['pairs', 16, 2]],
};
const ADDRESS_LENGTH = { 1: 8, 2: 6, 3: 18 };
const pad8 = (n) => (n + 7) & ~7;

const read = (b, offset, size) => (size === 8 ? b.readBigUInt64LE(offset) : b.readUIntLE(offset, size));

/** One tag. Fields of 8 bytes may be numbers or BigInt; `extra` is appended to the value (lanes, cookie). */
function encodeTag(type, fields = {}, extra = Buffer.alloc(0)) {
  const [least, ...layout] = LAYOUT[type];
  const value = Buffer.alloc(type === TYPE.COOKIE ? 0 : least);
  for (const [name, offset, size] of layout) {
    if (size === 8) value.writeBigUInt64LE(BigInt(fields[name] || 0), offset);
    else value.writeUIntLE(fields[name] || 0, offset, size);
  }
  const length = value.length + extra.length;
  const out = Buffer.alloc(pad8(4 + length));
  out[0] = type;
  out.writeUInt16LE(length, 2);
  value.copy(out, 4);
  extra.copy(out, 4 + value.length);
  return out;
}

function encodeLane(lane, kind, address) {
  const out = Buffer.alloc(pad8(4 + address.length));
  out.writeUInt16LE(lane, 0);
  out[2] = kind;
  out[3] = address.length;
  address.copy(out, 4);
  return out;
}

function parseLanes(value, count, fail) {
  const lanes = [];
  let at = 48;
  for (let i = 0; i < count; i++) {
    if (at + 4 > value.length) fail('lanes');
    const lane = value.readUInt16LE(at), kind = value[at + 2], length = value[at + 3];
    const end = at + pad8(4 + length);
    if (lane > 255 || length > 28 || end > value.length) fail('lanes');
    if (ADDRESS_LENGTH[kind] !== undefined && ADDRESS_LENGTH[kind] !== length) fail('address length');
    if (!allZero(value.subarray(at + 4 + length, end))) fail('lane padding');
    lanes.push({ lane, kind, address: value.subarray(at + 4, at + 4 + length) });
    at = end;
  }
  return { lanes, end: at };
}

function checkManifest(t, value, fail) {
  if (t.floor < 1 || t.floor > 1023 || t.frame_blocks < 1 || t.frame_blocks > 1023) fail('floor or frame_blocks');
  if (t.pool_slots < t.floor || t.pool_slots > 2 ** 24 || t.ember_frames === 0) fail('pool or ember');
  const { lanes, end } = parseLanes(value, t.lanes, fail);
  if (end !== value.length) fail('lanes do not fill the value');
  t.entries = lanes;
}

/** Yields tags one after the other and throws { position } at the first error, so that those before can be acted on. */
function* tags(payload) {
  let at = 0;
  const fail = (why) => { throw Object.assign(new Error('tags: ' + why), { position: at }); };
  while (at < payload.length) {
    const type = payload[at];
    if (type === 0) { if (!allZero(payload.subarray(at))) fail('bytes after the end'); return; }
    if (at + 4 > payload.length) fail('cut');
    const length = payload.readUInt16LE(at + 2), end = at + pad8(4 + length);
    if (payload[at + 1] !== 0) fail('reserved byte');
    if (end > payload.length) fail('beyond the payload');
    if (!allZero(payload.subarray(at + 4 + length, end))) fail('padding');
    const value = payload.subarray(at + 4, at + 4 + length);
    const tag = { type, value };
    if (LAYOUT[type]) {
      const [least, ...layout] = LAYOUT[type];
      if (length < least) fail('too short');
      for (const [name, offset, size] of layout) tag[name] = read(value, offset, size);
      if (type === TYPE.MANIFEST) checkManifest(tag, value, fail);
      if ((type === TYPE.WINDOWS || type === TYPE.TABLE) && length < 24 + 16 * tag.pairs) fail('pairs');
    } else if (type < 0x80) fail('unknown type');
    if (type < 0x80) yield tag; else yield { type, value };
    at = end;
  }
}

module.exports = { TYPE, encodeTag, encodeLane, tags };
