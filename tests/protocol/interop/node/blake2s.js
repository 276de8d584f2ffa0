// SPDX-License-Identifier: Apache-2.0
// BLAKE2s (RFC 7693), keyed and with any output length. Node's own has neither.
'use strict';

const IV = Uint32Array.from([0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19]);
const SIGMA = [
  '0123456789abcdef', 'ea489fd61c02b753', 'b8c052fdae367194', '7931dcbe265a40f8', '905724afe1bc683d',
  '2c6a0b834d75fe19', 'c51fed4a0763928b', 'db7ec13950f4862a', '6fe9b308c2d714a5', 'a2847615fb9e3cd0',
].map((row) => [...row].map((c) => parseInt(c, 16)));
const MIX = [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15], [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]];

const rotr = (x, n) => (x >>> n) | (x << (32 - n));

function compress(h, block, count, last) {
  const m = new Int32Array(16);
  for (let i = 0; i < 16; i++) m[i] = block.readInt32LE(4 * i);
  const v = new Int32Array(16);
  for (let i = 0; i < 8; i++) { v[i] = h[i]; v[i + 8] = IV[i]; }
  v[12] ^= count;                       // inputs stay far below 2^32 bytes
  if (last) v[14] = ~v[14];
  for (const s of SIGMA) {
    MIX.forEach(([a, b, c, d], i) => {
      v[a] += v[b] + m[s[2 * i]]; v[d] = rotr(v[d] ^ v[a], 16);
      v[c] += v[d]; v[b] = rotr(v[b] ^ v[c], 12);
      v[a] += v[b] + m[s[2 * i + 1]]; v[d] = rotr(v[d] ^ v[a], 8);
      v[c] += v[d]; v[b] = rotr(v[b] ^ v[c], 7);
    });
  }
  for (let i = 0; i < 8; i++) h[i] ^= v[i] ^ v[i + 8];
}

/** blake2s(data, { key, length }): length is the output length in bytes, 32 unless told. */
function blake2s(data, { key = Buffer.alloc(0), length = 32 } = {}) {
  const parts = [data];
  if (key.length) parts.unshift(key, Buffer.alloc(64 - key.length));
  const input = Buffer.concat(parts);
  const h = Int32Array.from(IV);
  h[0] ^= 0x01010000 ^ (key.length << 8) ^ length;
  const blocks = Math.max(1, Math.ceil(input.length / 64));
  const padded = Buffer.alloc(blocks * 64);
  input.copy(padded);
  for (let i = 0; i < blocks; i++) {
    const last = i === blocks - 1;
    compress(h, padded.subarray(64 * i, 64 * i + 64), last ? input.length : 64 * (i + 1), last);
  }
  const out = Buffer.alloc(32);
  h.forEach((word, i) => out.writeInt32LE(word, 4 * i));
  return out.subarray(0, length);
}

function xor(buffer, byte) { return Buffer.from(buffer.map((b) => b ^ byte)); }

function hmac(key, data) {
  const k = Buffer.alloc(64);
  key.copy(k);
  return blake2s(Buffer.concat([xor(k, 0x5c), blake2s(Buffer.concat([xor(k, 0x36), data]))]));
}

/** HKDF of the Noise document: two outputs of 32 bytes. */
function hkdf(chain, input) {
  const secret = hmac(chain, input);
  const one = hmac(secret, Buffer.from([1]));
  const two = hmac(secret, Buffer.concat([one, Buffer.from([2])]));
  return [one, two];
}

module.exports = { blake2s, hkdf };
