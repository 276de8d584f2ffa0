// SPDX-License-Identifier: Apache-2.0
// Key schedule, sealing and the replay window: section 11.
'use strict';
const crypto = require('crypto');
const { blake2s } = require('./blake2s');

const CIPHERS = { // bit of HAIL's `ciphers` -> names
  1: { label: 'ChaCha20-Poly1305', node: 'chacha20-poly1305' },
  2: { label: 'AES-256-GCM', node: 'aes-256-gcm' },
};
const EPOCH = 2 ** 22;

function nonce(sequence) {
  const out = Buffer.alloc(12);
  out.writeBigUInt64LE(BigInt(sequence), 4);
  return out;
}

function seal(cipher, key, sequence, aad, plain) {
  const c = crypto.createCipheriv(CIPHERS[cipher].node, key, nonce(sequence), { authTagLength: 16 });
  c.setAAD(aad, { plaintextLength: plain.length });
  const sealed = Buffer.concat([c.update(plain), c.final()]);
  return { sealed, tag: c.getAuthTag() };
}

/** The plaintext, or null when the tag does not verify. */
function open(cipher, key, sequence, aad, sealed, tag) {
  const d = crypto.createDecipheriv(CIPHERS[cipher].node, key, nonce(sequence), { authTagLength: 16 });
  d.setAAD(aad, { plaintextLength: sealed.length });
  d.setAuthTag(tag);
  try {
    return Buffer.concat([d.update(sealed), d.final()]);
  } catch (_) {
    return null;
  }
}

const derive = (key, label) => blake2s(Buffer.from(label), { key });

/** chain_e and frame_key_e of one direction; only the epochs [newest - 1, newest + ahead] are held (T-EPO-1). */
class Keys {
  constructor(splitKey, cipher, ahead = 2) {
    this.cipher = cipher;
    this.ahead = ahead;
    this.held = new Map();
    this.chain = derive(splitKey, 'tether/1 chain' + CIPHERS[cipher].label);
    this.derived = 0;
    this.advance(0);
  }
  advance(newest) {
    while (this.derived <= newest + this.ahead) {
      this.held.set(this.derived, { chain: this.chain, frame: derive(this.chain, 'tether/1 frame') });
      this.chain = derive(this.chain, 'tether/1 next');
      this.derived++;
    }
    for (const e of this.held.keys()) if (e < newest - 1) this.held.delete(e);
    this.newest = newest;
  }
  lookup(sequence) { const k = this.held.get(Math.floor(sequence / EPOCH)); return k && k.frame; }
  seen(sequence) { const e = Math.floor(sequence / EPOCH); if (e > this.newest) this.advance(e); }
}

class ReplayWindow {
  constructor(size = 8192) { this.size = size; this.highest = 0; this.at = new Float64Array(size).fill(-1); this.at[0] = 0; }
  fresh(s) {
    if (s > this.highest) return true;
    return this.highest - s < this.size && this.at[s % this.size] !== s;
  }
  mark(s) { this.at[s % this.size] = s; if (s > this.highest) this.highest = s; }
}

module.exports = { CIPHERS, seal, open, Keys, ReplayWindow };
