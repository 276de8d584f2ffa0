-- SPDX-License-Identifier: Apache-2.0
-- What tether.lua needs to open frames: BLAKE2s, ChaCha20-Poly1305 and AES-256-GCM in plain Lua, since Wireshark's Lua
-- has no AEAD. Written to be read and to be right; a frame costs milliseconds. For captures only: nothing here runs in
-- constant time.
--
-- Strings in, strings out; keys of 32 bytes, nonces of 12, tags of 16. Lua 5.2 (Wireshark up to 4.2) and 5.4.
local M = {}

local band, bor, bxor, lshift, rshift
if bit32 then
    band, bor, bxor, lshift, rshift = bit32.band, bit32.bor, bit32.bxor, bit32.lshift, bit32.rshift
else
    local ops = load([[
        return {
            function(a, b) return a & b end, function(a, b) return a | b end, function(a, b) return a ~ b end,
            function(a, n) return a << n & 0xffffffff end, function(a, n) return a >> n end,
        }]])()
    band, bor, bxor, lshift, rshift = ops[1], ops[2], ops[3], ops[4], ops[5]
end

local floor, char, byte = math.floor, string.char, string.byte
local unpack_all = table.unpack or unpack

local function rotr(x, n)
    return bor(rshift(x, n), lshift(x, 32 - n))
end

local function add(a, b)
    return (a + b) % 4294967296
end

local function word_le(s, at)
    local a, b, c, d = byte(s, at, at + 3)
    return a + b * 256 + c * 65536 + d * 16777216
end

local function word_be(s, at)
    local a, b, c, d = byte(s, at, at + 3)
    return a * 16777216 + b * 65536 + c * 256 + d
end

local function bytes_le(x)
    return char(band(x, 255), band(rshift(x, 8), 255), band(rshift(x, 16), 255), rshift(x, 24))
end

local function bytes_be(x)
    return char(rshift(x, 24), band(rshift(x, 16), 255), band(rshift(x, 8), 255), band(x, 255))
end

-- ------------------------------------------------------------------ BLAKE2s (RFC 7693)

local IV = {
    [0] = 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
}
local SIGMA = {
    { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 }, { 14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3 },
    { 11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4 }, { 7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8 },
    { 9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13 }, { 2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9 },
    { 12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11 }, { 13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10 },
    { 6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5 }, { 10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0 },
}
local LANES = {
    { 0, 4, 8, 12 }, { 1, 5, 9, 13 }, { 2, 6, 10, 14 }, { 3, 7, 11, 15 },
    { 0, 5, 10, 15 }, { 1, 6, 11, 12 }, { 2, 7, 8, 13 }, { 3, 4, 9, 14 },
}

local function blake2s_block(h, block, count, last)
    local m, v = {}, {}
    for i = 0, 15 do
        m[i] = word_le(block, 4 * i + 1)
    end
    for i = 0, 7 do
        v[i], v[i + 8] = h[i], IV[i]
    end
    v[12] = bxor(v[12], count)
    if last then
        v[14] = bxor(v[14], 0xffffffff)
    end
    for round = 1, 10 do
        local s = SIGMA[round]
        for i = 1, 8 do
            local a, b, c, d = LANES[i][1], LANES[i][2], LANES[i][3], LANES[i][4]
            v[a] = add(add(v[a], v[b]), m[s[2 * i - 1]])
            v[d] = rotr(bxor(v[d], v[a]), 16)
            v[c] = add(v[c], v[d])
            v[b] = rotr(bxor(v[b], v[c]), 12)
            v[a] = add(add(v[a], v[b]), m[s[2 * i]])
            v[d] = rotr(bxor(v[d], v[a]), 8)
            v[c] = add(v[c], v[d])
            v[b] = rotr(bxor(v[b], v[c]), 7)
        end
    end
    for i = 0, 7 do
        h[i] = bxor(bxor(h[i], v[i]), v[i + 8])
    end
end

-- Keyed BLAKE2s-256 of a message.
function M.blake2s(key, message)
    local h = {}
    for i = 0, 7 do
        h[i] = IV[i]
    end
    h[0] = bxor(h[0], 0x01010020 + lshift(#key, 8)) -- digest 32, this key, fanout 1, depth 1
    local data = message
    if #key > 0 then
        data = key .. string.rep("\0", 64 - #key) .. message
    end
    local at = 1
    while #data - at + 1 > 64 do
        blake2s_block(h, string.sub(data, at, at + 63), at + 63, false)
        at = at + 64
    end
    local rest = string.sub(data, at)
    blake2s_block(h, rest .. string.rep("\0", 64 - #rest), #data, true)
    local out = {}
    for i = 0, 7 do
        out[i + 1] = bytes_le(h[i])
    end
    return table.concat(out)
end

-- ------------------------------------------------------- ChaCha20-Poly1305 (RFC 8439)

local QUARTERS = {
    { 1, 5, 9, 13 }, { 2, 6, 10, 14 }, { 3, 7, 11, 15 }, { 4, 8, 12, 16 },
    { 1, 6, 11, 16 }, { 2, 7, 12, 13 }, { 3, 8, 9, 14 }, { 4, 5, 10, 15 },
}

local function chacha20_block(key, counter, nonce)
    local state = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 }
    for i = 0, 7 do
        state[5 + i] = word_le(key, 4 * i + 1)
    end
    state[13] = counter
    for i = 0, 2 do
        state[14 + i] = word_le(nonce, 4 * i + 1)
    end
    local x = {}
    for i = 1, 16 do
        x[i] = state[i]
    end
    for _ = 1, 10 do
        for i = 1, 8 do
            local a, b, c, d = QUARTERS[i][1], QUARTERS[i][2], QUARTERS[i][3], QUARTERS[i][4]
            x[a] = add(x[a], x[b])
            x[d] = rotr(bxor(x[d], x[a]), 16)
            x[c] = add(x[c], x[d])
            x[b] = rotr(bxor(x[b], x[c]), 20)
            x[a] = add(x[a], x[b])
            x[d] = rotr(bxor(x[d], x[a]), 24)
            x[c] = add(x[c], x[d])
            x[b] = rotr(bxor(x[b], x[c]), 25)
        end
    end
    local out = {}
    for i = 1, 16 do
        out[i] = bytes_le(add(x[i], state[i]))
    end
    return table.concat(out)
end

local function xor_strings(data, stream)
    local out = {}
    for i = 1, #data do
        out[i] = char(bxor(byte(data, i), byte(stream, i)))
    end
    return table.concat(out)
end

-- Numbers modulo 2^130 - 5 as six limbs of 22 bits: a product of two stays below 2^53, where a double is exact.
local LIMB, LIMBS = 4194304, 6

local function limbs(s, top)
    local out, bits, value, at = {}, 0, 0, 1
    for i = 0, LIMBS - 1 do
        while bits < 22 and at <= #s do
            value = value + byte(s, at) * 2 ^ bits
            bits, at = bits + 8, at + 1
        end
        out[i] = value % LIMB
        value, bits = floor(value / LIMB), bits - 22
    end
    if top then -- the bit above a block
        local position = 8 * #s
        local i = floor(position / 22)
        out[i] = out[i] + 2 ^ (position % 22)
    end
    return out
end

local function carry(h)
    for _ = 1, 2 do
        for i = 0, LIMBS - 2 do
            local over = floor(h[i] / LIMB)
            h[i], h[i + 1] = h[i] % LIMB, h[i + 1] + over
        end
        local over = floor(h[5] / 1048576) -- the last limb has 20 bits: 5 * 22 + 20 = 130
        h[5], h[0] = h[5] % 1048576, h[0] + over * 5
    end
end

local function poly1305(key, message)
    local clamp = { 255, 255, 255, 15, 252, 255, 255, 15, 252, 255, 255, 15, 252, 255, 255, 15 }
    local masked = {}
    for i = 1, 16 do
        masked[i] = char(band(byte(key, i), clamp[i]))
    end
    local r, h = limbs(table.concat(masked), false), { [0] = 0, 0, 0, 0, 0, 0 }
    for at = 1, #message, 16 do
        local n = limbs(string.sub(message, at, at + 15), true)
        for i = 0, 5 do
            h[i] = h[i] + n[i]
        end
        carry(h)
        local product = { [0] = 0, 0, 0, 0, 0, 0 }
        for i = 0, 5 do
            for j = 0, 5 do
                local k, value = i + j, h[i] * r[j]
                if k >= LIMBS then -- 2^132 = 20 modulo 2^130 - 5
                    k, value = k - LIMBS, value * 20
                end
                product[k] = product[k] + value
            end
        end
        h = product
        carry(h)
    end
    carry(h)
    local g = { [0] = h[0] + 5, h[1], h[2], h[3], h[4], h[5] } -- h - p where h is not below p
    for i = 0, 4 do
        local over = floor(g[i] / LIMB)
        g[i], g[i + 1] = g[i] % LIMB, g[i + 1] + over
    end
    if g[5] >= 1048576 then
        g[5] = g[5] - 1048576
        h = g
    end
    -- + s modulo 2^128
    local s = limbs(string.sub(key, 17, 32), false)
    for i = 0, 5 do
        h[i] = h[i] + s[i]
    end
    for i = 0, 4 do
        local over = floor(h[i] / LIMB)
        h[i], h[i + 1] = h[i] % LIMB, h[i + 1] + over
    end
    local out, bits, value, i = {}, 0, 0, 0
    for n = 1, 16 do
        if bits < 8 and i < LIMBS then
            value, bits, i = value + h[i] * 2 ^ bits, bits + 22, i + 1
        end
        out[n] = char(floor(value % 256))
        value, bits = floor(value / 256), bits - 8
    end
    return table.concat(out)
end

local function u64_le(value)
    return bytes_le(value % 4294967296) .. bytes_le(floor(value / 4294967296))
end

local function padded(s)
    return s .. string.rep("\0", -#s % 16)
end

-- The plain text, or nil when the tag does not verify.
function M.chacha20_poly1305_open(key, nonce, aad, sealed, tag)
    local one_time = string.sub(chacha20_block(key, 0, nonce), 1, 32)
    if poly1305(one_time, padded(aad) .. padded(sealed) .. u64_le(#aad) .. u64_le(#sealed)) ~= tag then
        return nil
    end
    local out = {}
    for at = 1, #sealed, 64 do
        local piece = string.sub(sealed, at, at + 63)
        out[#out + 1] = xor_strings(piece, chacha20_block(key, 1 + (at - 1) / 64, nonce))
    end
    return table.concat(out)
end

-- ----------------------------------------------------- AES-256-GCM (FIPS 197, SP 800-38D)

local SBOX, XTIME = {}, {}
do -- the S-box from its definition: inverse in GF(2^8), then an affine map
    local power, log, x = {}, {}, 1
    for i = 0, 254 do
        power[i], log[x] = x, i
        local double = lshift(x, 1)
        x = bxor(x, double < 256 and double or bxor(double, 0x11b))
    end
    for i = 0, 255 do
        local inverse = i == 0 and 0 or power[(255 - log[i]) % 255]
        local s = inverse
        for n = 1, 4 do
            s = bxor(s, bxor(band(lshift(inverse, n), 255), rshift(inverse, 8 - n)))
        end
        SBOX[i] = bxor(s, 0x63)
        local double = lshift(i, 1)
        XTIME[i] = double < 256 and double or bxor(double, 0x11b)
    end
end

local function sub_word(x)
    return bor(bor(lshift(SBOX[rshift(x, 24)], 24), lshift(SBOX[band(rshift(x, 16), 255)], 16)),
        bor(lshift(SBOX[band(rshift(x, 8), 255)], 8), SBOX[band(x, 255)]))
end

local function aes256_keys(key)
    local w, rcon = {}, 1
    for i = 0, 7 do
        w[i] = word_be(key, 4 * i + 1)
    end
    for i = 8, 59 do
        local t = w[i - 1]
        if i % 8 == 0 then
            t = bxor(sub_word(bor(lshift(t, 8), rshift(t, 24))), lshift(rcon, 24))
            rcon = XTIME[rcon]
        elseif i % 8 == 4 then
            t = sub_word(t)
        end
        w[i] = bxor(w[i - 8], t)
    end
    return w
end

local function aes256_block(w, block)
    local s = { byte(block, 1, 16) }
    local function add_key(round)
        for column = 0, 3 do
            local k = w[4 * round + column]
            local at = 4 * column
            s[at + 1] = bxor(s[at + 1], rshift(k, 24))
            s[at + 2] = bxor(s[at + 2], band(rshift(k, 16), 255))
            s[at + 3] = bxor(s[at + 3], band(rshift(k, 8), 255))
            s[at + 4] = bxor(s[at + 4], band(k, 255))
        end
    end
    add_key(0)
    for round = 1, 14 do
        local t = {}
        for column = 0, 3 do -- SubBytes and ShiftRows
            for row = 0, 3 do
                t[4 * column + row + 1] = SBOX[s[4 * ((column + row) % 4) + row + 1]]
            end
        end
        if round < 14 then -- MixColumns
            for at = 1, 13, 4 do
                local a, b, c, d = t[at], t[at + 1], t[at + 2], t[at + 3]
                local all = bxor(bxor(a, b), bxor(c, d))
                t[at] = bxor(a, bxor(all, XTIME[bxor(a, b)]))
                t[at + 1] = bxor(b, bxor(all, XTIME[bxor(b, c)]))
                t[at + 2] = bxor(c, bxor(all, XTIME[bxor(c, d)]))
                t[at + 3] = bxor(d, bxor(all, XTIME[bxor(d, a)]))
            end
        end
        s = t
        add_key(round)
    end
    return char(unpack_all(s))
end

-- Products with H by four bits at a time: T[n] = n * H for the 16 values of a nibble.
local REDUCE = {}
for i = 0, 15 do -- what falls out at the low end, times x^128
    local x = i
    for _ = 1, 4 do
        x = band(x, 1) == 1 and bxor(rshift(x, 1), 0xe100) or rshift(x, 1)
    end
    REDUCE[i] = x
end

local function ghash_table(h)
    local a, b, c, d = word_be(h, 1), word_be(h, 5), word_be(h, 9), word_be(h, 13)
    local T = { [0] = { 0, 0, 0, 0 } }
    T[8] = { a, b, c, d }
    local n = 4
    while n >= 1 do
        local low = band(d, 1)
        d = bor(rshift(d, 1), lshift(band(c, 1), 31))
        c = bor(rshift(c, 1), lshift(band(b, 1), 31))
        b = bor(rshift(b, 1), lshift(band(a, 1), 31))
        a = rshift(a, 1)
        if low == 1 then
            a = bxor(a, 0xe1000000)
        end
        T[n] = { a, b, c, d }
        n = n / 2
    end
    for i = 1, 15 do
        if not T[i] then
            local high = i >= 8 and 8 or i >= 4 and 4 or 2
            local x, y = T[high], T[i - high]
            T[i] = { bxor(x[1], y[1]), bxor(x[2], y[2]), bxor(x[3], y[3]), bxor(x[4], y[4]) }
        end
    end
    return T
end

local function ghash(T, data)
    local z = { 0, 0, 0, 0 }
    for at = 1, #data, 16 do
        local y = {
            bxor(z[1], word_be(data, at)), bxor(z[2], word_be(data, at + 4)),
            bxor(z[3], word_be(data, at + 8)), bxor(z[4], word_be(data, at + 12)),
        }
        local a, b, c, d = 0, 0, 0, 0
        for word = 4, 1, -1 do
            for shift = 0, 28, 4 do
                local low = band(d, 15)
                d = bor(rshift(d, 4), lshift(band(c, 15), 28))
                c = bor(rshift(c, 4), lshift(band(b, 15), 28))
                b = bor(rshift(b, 4), lshift(band(a, 15), 28))
                a = bxor(rshift(a, 4), lshift(REDUCE[low], 16))
                local t = T[band(rshift(y[word], shift), 15)]
                a, b, c, d = bxor(a, t[1]), bxor(b, t[2]), bxor(c, t[3]), bxor(d, t[4])
            end
        end
        z = { a, b, c, d }
    end
    return bytes_be(z[1]) .. bytes_be(z[2]) .. bytes_be(z[3]) .. bytes_be(z[4])
end

local function u64_be(value)
    return bytes_be(floor(value / 4294967296)) .. bytes_be(value % 4294967296)
end

local prepared = {} -- key -> round keys and table, of the newest keys
local prepared_count = 0

local function prepare(key)
    local found = prepared[key]
    if not found then
        if prepared_count >= 64 then
            prepared, prepared_count = {}, 0
        end
        local w = aes256_keys(key)
        found = { w = w, T = ghash_table(aes256_block(w, string.rep("\0", 16))) }
        prepared[key], prepared_count = found, prepared_count + 1
    end
    return found
end

function M.aes256_gcm_open(key, nonce, aad, sealed, tag)
    local p = prepare(key)
    local hash = ghash(p.T, padded(aad) .. padded(sealed) .. u64_be(8 * #aad) .. u64_be(8 * #sealed))
    if xor_strings(hash, aes256_block(p.w, nonce .. bytes_be(1))) ~= tag then
        return nil
    end
    local out = {}
    for at = 1, #sealed, 16 do
        local stream = aes256_block(p.w, nonce .. bytes_be(2 + (at - 1) / 16))
        out[#out + 1] = xor_strings(string.sub(sealed, at, at + 15), stream)
    end
    return table.concat(out)
end

return M
