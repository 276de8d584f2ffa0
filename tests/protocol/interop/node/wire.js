// SPDX-License-Identifier: Apache-2.0
// Header, float16, serial arithmetic and mac1: sections 2 to 5 and 10.2.
'use strict';
const crypto = require('crypto');
const { blake2s } = require('./blake2s');

const HEADER = 64, BLOCK = 64;
const FLAG = { LAMP: 1, GRANT: 2, NACK: 4, ECHO: 8, BLOCKED: 16, BUSY: 32, END: 64, FIRST: 128 };
const FIELDS = [ // name, offset, size
  ['version', 0, 1], ['flags', 1, 1], ['length', 2, 2], ['channel', 4, 4], ['sequence', 8, 6], ['want', 14, 2],
  ['flow', 16, 2], ['GrantAmount', 18, 6], ['slot', 24, 4], ['NackSlot', 28, 4], ['NackCount', 32, 2], ['pace', 34, 2],
  ['Timestamp', 36, 6], ['echo', 42, 6],
];
const M31 = 2 ** 31, M32 = 2 ** 32, M47 = 2 ** 47, M48 = 2 ** 48;

const mod = (value, modulus) => ((value % modulus) + modulus) % modulus;
const blocksOf = (length) => Math.ceil(length / BLOCK);

/** The 64 bytes of a header; fields that are not given are 0, slots and grants are cut to their wire width. */
function encodeHeader(fields) {
  const out = Buffer.alloc(HEADER);
  for (const [name, offset, size] of FIELDS) out.writeUIntLE(mod(fields[name] || 0, 2 ** (8 * size)), offset, size);
  if (fields.tag) fields.tag.copy(out, 48);
  return out;
}

function decodeHeader(frame) {
  const fields = {};
  for (const [name, offset, size] of FIELDS) fields[name] = frame.readUIntLE(offset, size);
  fields.tag = frame.subarray(48, 64);
  return fields;
}

// float16 works on BigInt, since its values go to 2^64 - 1
function float16(value) {
  value = BigInt(value);
  for (let e = 0n; e < 64n; e++) if (value >> e < 1024n) return Number((e << 10n) | (value >> e));
  return 0xffff;
}

function unfloat16(wire) {
  const value = BigInt(wire & 1023) << BigInt(wire >> 10);
  return value < 2n ** 64n ? value : 2n ** 64n - 1n;
}

const signed = (value, modulus) => { const v = mod(value, modulus); return v >= modulus / 2 ? v - modulus : v; };

/** T-SER-1: slot as the receiver reads it, null where it is below 0. */
function expandSlot(wire, firstMissing) {
  const slot = firstMissing + signed(wire - firstMissing, M32);
  return slot < 0 ? null : slot;
}

/** T-SER-2: NackSlot as the sender reads it, null where it must be ignored. */
function expandNack(wire, sent, firstUnacknowledged) {
  const slot = sent - mod(sent - wire, M32);
  return slot < 0 || slot <= firstUnacknowledged - M31 ? null : slot;
}

/** T-SER-3: the limit after a GrantAmount. */
const expandGrant = (wire, limit) => limit + Math.max(0, signed(wire - limit, M48));

const mac1Key = (publicKey) => blake2s(Buffer.concat([Buffer.from('tether/1 mac1'), publicKey]));
const tag128 = (key, frame) => blake2s(Buffer.concat([frame.subarray(0, 48), frame.subarray(64)]), { key, length: 16 });
const same = (a, b) => a.length === b.length && crypto.timingSafeEqual(a, b);
const allZero = (buffer) => buffer.every((byte) => byte === 0);

module.exports = {
  HEADER, BLOCK, FLAG, FIELDS, M31, M32, M47, M48, mod, blocksOf, encodeHeader, decodeHeader, float16, unfloat16,
  expandSlot, expandNack, expandGrant, mac1Key, tag128, same, allZero,
};
