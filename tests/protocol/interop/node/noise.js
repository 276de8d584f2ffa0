// SPDX-License-Identifier: Apache-2.0
// Noise_IK_25519_ChaChaPoly_BLAKE2s (section 10.3). The responder's half is there for the vectors.
'use strict';
const crypto = require('crypto');
const { blake2s, hkdf } = require('./blake2s');
const { seal, open } = require('./seal');

const PROTOCOL = Buffer.from('Noise_IK_25519_ChaChaPoly_BLAKE2s');
const PROLOGUE = Buffer.from('tether/1');
const PKCS8 = Buffer.from('302e020100300506032b656e04220420', 'hex');
const SPKI = Buffer.from('302a300506032b656e032100', 'hex');

const privateKey = (secret) => crypto.createPrivateKey({ key: Buffer.concat([PKCS8, secret]), format: 'der', type: 'pkcs8' });

function publicKey(secret) {
  return crypto.createPublicKey(privateKey(secret)).export({ format: 'der', type: 'spki' }).subarray(-32);
}

function dh(secret, theirs) { // throws on an all-zero result: OpenSSL does so itself, the check is for other builds
  const key = crypto.createPublicKey({ key: Buffer.concat([SPKI, theirs]), format: 'der', type: 'spki' });
  const shared = crypto.diffieHellman({ privateKey: privateKey(secret), publicKey: key });
  if (shared.every((b) => b === 0)) throw new Error('auth: X25519 gave zeros');
  return shared;
}

class Symmetric {
  constructor() { this.h = blake2s(PROTOCOL); this.ck = this.h; this.key = null; this.n = 0; }
  copy() { return Object.assign(Object.create(Symmetric.prototype), this); }
  mixHash(data) { this.h = blake2s(Buffer.concat([this.h, data])); }
  mixKey(input) { [this.ck, this.key] = hkdf(this.ck, input); this.n = 0; }
  encrypt(plain) {
    const { sealed, tag } = seal(1, this.key, this.n++, this.h, plain);
    const out = Buffer.concat([sealed, tag]);
    this.mixHash(out);
    return out;
  }
  decrypt(box) {
    const plain = open(1, this.key, this.n++, this.h, box.subarray(0, -16), box.subarray(-16));
    if (!plain) throw new Error('auth');
    this.mixHash(box);
    return plain;
  }
  split() { return hkdf(this.ck, Buffer.alloc(0)); }
}

function start(responderPublic, context1) {
  const state = new Symmetric();
  state.mixHash(PROLOGUE);
  state.mixHash(responderPublic);
  state.startHash = state.h;
  state.mixHash(context1);
  return state;
}

class Initiator {
  constructor(secret, responderPublic, ephemeral = crypto.randomBytes(32)) {
    Object.assign(this, { secret, responderPublic, ephemeral });
  }
  write1(context, payload) {
    const s = this.state = start(this.responderPublic, context);
    const e = publicKey(this.ephemeral);
    s.mixHash(e);
    s.mixKey(dh(this.ephemeral, this.responderPublic));
    const sealedStatic = s.encrypt(publicKey(this.secret));
    s.mixKey(dh(this.secret, this.responderPublic));
    return Buffer.concat([e, sealedStatic, s.encrypt(payload)]);
  }
  /** Throws on what does not verify and is then as it was (T-NOI-4). */
  read2(context, message) {
    const s = this.state.copy();
    s.mixHash(context);
    const e = message.subarray(0, 32);
    s.mixHash(e);
    s.mixKey(dh(this.ephemeral, e));
    s.mixKey(dh(this.secret, e));
    const payload = s.decrypt(message.subarray(32));
    this.state = s;
    return payload;
  }
}

class Responder {
  constructor(secret, ephemeral) { Object.assign(this, { secret, ephemeral }); }
  read1(context, message) {
    const s = this.state = start(publicKey(this.secret), context);
    this.e = message.subarray(0, 32);
    s.mixHash(this.e);
    s.mixKey(dh(this.secret, this.e));
    this.initiatorPublic = s.decrypt(message.subarray(32, 80));
    s.mixKey(dh(this.secret, this.initiatorPublic));
    return s.decrypt(message.subarray(80));
  }
  write2(context, payload) {
    const s = this.state;
    s.mixHash(context);
    const e = publicKey(this.ephemeral);
    s.mixHash(e);
    s.mixKey(dh(this.ephemeral, this.e));
    s.mixKey(dh(this.ephemeral, this.initiatorPublic));
    return Buffer.concat([e, s.encrypt(payload)]);
  }
}

module.exports = { Initiator, Responder, publicKey };
