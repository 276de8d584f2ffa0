// SPDX-License-Identifier: Apache-2.0
// Sealing a frame of a channel and checking one that came: sections 11.3 and 14.2.
'use strict';
const { HEADER, BLOCK, FLAG, M48, blocksOf, encodeHeader, decodeHeader, allZero } = require('./wire');
const { seal, open } = require('./seal');

/** The whole frame; `fields` has everything but the tag. */
function sealFrame(keys, fields, payload) {
  const plain = Buffer.alloc(blocksOf(payload.length) * BLOCK);
  payload.copy(plain);
  const header = encodeHeader({ ...fields, version: 1, length: payload.length });
  if (fields.sequence >= M48) throw new Error('sequences are used up');
  keys.seen(fields.sequence);
  const { sealed, tag } = seal(keys.cipher, keys.lookup(fields.sequence), fields.sequence, header.subarray(0, 48), plain);
  tag.copy(header, 48);
  return Buffer.concat([header, sealed]);
}

/** T-ORD-1 up to `padding`: { h, plain } or { reason }. `auth` is set in the result when the frame has verified. */
function checkFrame(frame, { index, frameBlocks, keys, replay }) {
  if (frame.length < HEADER) return { reason: 'short' };
  const h = decodeHeader(frame);
  if (h.version !== 1) return { reason: 'version' };
  const blocks = blocksOf(h.length), end = HEADER + blocks * BLOCK;
  if (frame.length < end) return { reason: 'short' };
  if (frame.length - end >= BLOCK) return { reason: 'length' };
  if (h.channel !== index) return { reason: 'stranger' };
  if (h.flags & FLAG.LAMP) return { reason: 'state' };
  if (blocks > frameBlocks) return { reason: 'length' };
  if (!replay.fresh(h.sequence)) return { reason: 'replay' };
  const key = keys.lookup(h.sequence);
  if (!key) return { reason: 'epoch' };
  const plain = open(keys.cipher, key, h.sequence, frame.subarray(0, 48), frame.subarray(HEADER, end), h.tag);
  if (!plain) return { reason: 'auth' };
  replay.mark(h.sequence);
  keys.seen(h.sequence);
  if (!allZero(plain.subarray(h.length))) return { reason: 'padding' };
  return { h, plain };
}

module.exports = { sealFrame, checkFrame };
