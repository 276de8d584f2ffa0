-- SPDX-License-Identifier: Apache-2.0
-- Wireshark dissector for Tether (docs/rfc/0001-tether.md): EtherType 0x88B5 under any VLAN tags, and UDP, where frames
-- are recognised by their shape or by "Decode As". With the preference "Key log file" (tether-engine serve --keylog)
-- payloads are opened. Needs tether_crypto.lua beside it. Installation: docs/wireshark.md.
local HEADER, BLOCK, LAMP = 64, 64, 0x01

local here = debug.getinfo(1, "S").source:match("^@(.*[/\\])") or ""
local crypto = dofile(here .. "tether_crypto.lua")

local tether = Proto("tether", "Tether")
tether.prefs.keylog = Pref.string("Key log file", "", "What tether-engine serve --keylog wrote; empty: payloads stay sealed")

-- ------------------------------------------------------------------------ fields

local FLAGS = {
    { 0x01, "LAMP", "sent without a channel's keys" }, { 0x02, "GRANT", "raises a grant" },
    { 0x04, "NACK", "names a gap or a receipt" }, { 0x08, "ECHO", "echo holds a value" },
    { 0x10, "BLOCKED", "data without credit or receipt" }, { 0x20, "BUSY", "the uplink is contended" },
    { 0x40, "END", "last frame of a message" }, { 0x80, "FIRST", "first frame of a message" },
}
local TAGS = {
    [1] = "HAIL", [2] = "DEFINE", [3] = "MANIFEST", [4] = "SKIP", [5] = "CLOSE", [6] = "BYE", [7] = "WINDOWS",
    [8] = "COOKIE", [9] = "REKEY", [10] = "WARM", [11] = "RATES",
}
local KINDS = { [0] = "bytes", [1] = "messages" }
local RELIABILITY = { [0] = "reliable", [1] = "expiring" }
local ORDER = { [0] = "ordered", [1] = "unordered" }
local CLOSES = { [0] = "end", [1] = "closed", [2] = "refused" }
local BYES = { [0] = "closed", [1] = "protocol error" }
local STATUS = { [0] = "ok", [1] = "stale", [2] = "gone" }
local ADDRESSES = { [1] = "MAC and VLAN", [2] = "UDP over IPv4", [3] = "UDP over IPv6", [4] = "in memory" }
local CIPHERS = { ["ChaCha20-Poly1305"] = true, ["AES-256-GCM"] = true }

local f = {
    version = ProtoField.uint8("tether.version", "Version"),
    flags = ProtoField.uint8("tether.flags", "Flags", base.HEX),
    length = ProtoField.uint16("tether.length", "Length"),
    channel = ProtoField.uint32("tether.channel", "Channel", base.HEX),
    lane = ProtoField.uint8("tether.lane", "Lane of the receiver"),
    sequence = ProtoField.uint64("tether.sequence", "Sequence"),
    epoch = ProtoField.uint32("tether.epoch", "Epoch"),
    want = ProtoField.uint16("tether.want", "Want", base.HEX),
    want_slots = ProtoField.double("tether.want.slots", "Want in slots"),
    flow = ProtoField.uint16("tether.flow", "Flow"),
    grant = ProtoField.uint64("tether.GrantAmount", "GrantAmount"),
    slot = ProtoField.uint32("tether.slot", "Slot"),
    nack_slot = ProtoField.uint32("tether.NackSlot", "NackSlot"),
    nack_count = ProtoField.uint16("tether.NackCount", "NackCount"),
    pace = ProtoField.uint16("tether.pace", "Pace", base.HEX),
    pace_slots = ProtoField.double("tether.pace.slots_per_s", "Pace in slots/s"),
    timestamp = ProtoField.uint64("tether.Timestamp", "Timestamp (ns)"),
    echo = ProtoField.uint64("tether.echo", "Echo (ns)"),
    tag = ProtoField.bytes("tether.tag", "Tag"),
    payload = ProtoField.bytes("tether.payload", "Payload"),
    opened = ProtoField.bytes("tether.opened", "Opened payload"),
    sealer = ProtoField.string("tether.sealer", "Sealed by"),
    padding = ProtoField.bytes("tether.padding", "Padding"),
    trailer = ProtoField.bytes("tether.trailer", "Trailer"),
    sender_index = ProtoField.uint32("tether.sender_index", "Sender index", base.HEX),
    ephemeral = ProtoField.bytes("tether.noise.ephemeral", "Noise: ephemeral public key"),
    static = ProtoField.bytes("tether.noise.static", "Noise: static public key, sealed"),
    sealed = ProtoField.bytes("tether.noise.payload", "Noise: payload, sealed"),
    mac2 = ProtoField.bytes("tether.mac2", "mac2"),
    salt = ProtoField.bytes("tether.warm.salt", "Salt"),
    flow0_type = ProtoField.uint8("tether.tag.type", "Type", base.HEX, TAGS),
    flow0_reserved = ProtoField.uint8("tether.tag.reserved", "Reserved", base.HEX),
    flow0_length = ProtoField.uint16("tether.tag.length", "Length of the value"),
    flow0_value = ProtoField.bytes("tether.tag.value", "Value"),
    flow0_padding = ProtoField.bytes("tether.tag.padding", "Padding of the tag"),
}
for _, flag in ipairs(FLAGS) do
    f["flag_" .. flag[2]] = ProtoField.bool("tether.flags." .. flag[2], flag[2], 8, { flag[3], "no" }, flag[1])
end

-- Values of the tags: name, offset, size, label, words. Size 0 = to the end.
local VALUES = {
    [1] = {
        { "counter", 0, 8, "Counter" }, { "lane", 8, 2, "Lane of the sender" }, { "target_lane", 10, 2, "Target lane" },
        { "ciphers", 12, 2, "Ciphers (1 ChaCha20-Poly1305, 2 AES-256-GCM)" }, { "status", 14, 2, "Status", STATUS },
    },
    [2] = {
        { "flow", 0, 2, "Flow" }, { "kind", 2, 1, "Kind", KINDS }, { "reliability", 3, 1, "Reliability", RELIABILITY },
        { "order", 4, 1, "Order", ORDER }, { "scale", 5, 1, "Scale" }, { "reserved", 6, 2, "Reserved" },
        { "bound", 8, 8, "Bound (bytes)" }, { "latency", 16, 8, "Latency (ns)" },
        { "budget", 24, 8, "Budget (bytes/s)" }, { "deadline", 32, 8, "Deadline (ns)" },
    },
    [3] = {
        { "floor", 0, 2, "Floor (slots)" }, { "frame_blocks", 2, 2, "Blocks of a frame" },
        { "pool_slots", 4, 4, "Pool of flow 0 (slots)" }, { "ring_frames", 8, 4, "Receive ring (frames)" },
        { "ember_frames", 12, 2, "Embers" }, { "lanes", 14, 2, "Lanes" }, { "max_message", 16, 8, "Largest message" },
        { "rtt_ns", 24, 8, "RTT (ns)" }, { "rate_bps", 32, 8, "Rate (bit/s)" }, { "silence_ns", 40, 8, "Silence (ns)" },
    },
    [4] = {
        { "flow", 0, 2, "Flow" }, { "reserved", 2, 6, "Reserved" }, { "first", 8, 8, "First slot" },
        { "count", 16, 8, "Slots" },
    },
    [5] = {
        { "flow", 0, 2, "Flow" }, { "reserved", 2, 2, "Reserved" }, { "reason", 4, 4, "Reason", CLOSES },
        { "final", 8, 8, "Final slot" },
    },
    [6] = { { "reason", 0, 4, "Reason", BYES }, { "reserved", 4, 4, "Reserved" } },
    [8] = { { "cookie", 0, 0, "Cookie" } },
    [9] = { { "channel", 0, 4, "Channel that gets new keys" }, { "reserved", 4, 4, "Reserved" } },
    [10] = { { "room", 0, 4, "Bytes of early data" }, { "reserved", 4, 4, "Reserved" } },
}
local MAKERS = { [1] = ProtoField.uint8, [2] = ProtoField.uint16, [4] = ProtoField.uint32 }
for type, values in pairs(VALUES) do
    for _, value in ipairs(values) do
        local name = "tether." .. TAGS[type]:lower() .. "." .. value[1]
        local key = "value_" .. type .. "_" .. value[1]
        if MAKERS[value[3]] then
            f[key] = MAKERS[value[3]](name, value[4], base.DEC, value[5])
        elseif value[3] == 8 then
            f[key] = ProtoField.uint64(name, value[4])
        else
            f[key] = ProtoField.bytes(name, value[4])
        end
    end
end
f.lane_number = ProtoField.uint16("tether.manifest.lane.number", "Lane")
f.lane_kind = ProtoField.uint8("tether.manifest.lane.kind", "Kind of address", base.DEC, ADDRESSES)
f.lane_length = ProtoField.uint8("tether.manifest.lane.length", "Length of the address")
f.lane_address = ProtoField.bytes("tether.manifest.lane.address", "Address")
f.lane_mac = ProtoField.ether("tether.manifest.lane.mac", "MAC")
f.lane_vlan = ProtoField.uint16("tether.manifest.lane.vlan", "VLAN (0xFFFF: none)", base.HEX)
f.lane_ipv4 = ProtoField.ipv4("tether.manifest.lane.ipv4", "IPv4")
f.lane_ipv6 = ProtoField.ipv6("tether.manifest.lane.ipv6", "IPv6")
f.lane_port = ProtoField.uint16("tether.manifest.lane.port", "UDP port")
tether.fields = f

local e = {
    version = ProtoExpert.new("tether.bad_version", "no version that this dissector knows", expert.group.PROTOCOL,
        expert.severity.WARN),
    size = ProtoExpert.new("tether.bad_size", "length and size of the frame disagree", expert.group.MALFORMED,
        expert.severity.ERROR),
    padding = ProtoExpert.new("tether.bad_padding", "padding that is not zero", expert.group.PROTOCOL,
        expert.severity.ERROR),
    tags = ProtoExpert.new("tether.bad_tags", "tags that do not parse", expert.group.MALFORMED, expert.severity.ERROR),
    auth = ProtoExpert.new("tether.unopened", "the key log has this channel, and no key of it opens the frame",
        expert.group.DECRYPTION, expert.severity.WARN),
}
tether.experts = { e.version, e.size, e.padding, e.tags, e.auth }

-- ----------------------------------------------------------------------- key log

local secrets, loaded = {}, nil

local function load_keys()
    if loaded == tether.prefs.keylog then
        return
    end
    loaded, secrets = tether.prefs.keylog, {}
    local file = loaded ~= "" and io.open(loaded, "r")
    if not file then
        return
    end
    for line in file:lines() do
        local channel, sealer, cipher, chain = line:match("^TETHER (%x+) (%a+) ([%w-]+) (%x+)%s*$")
        if channel and CIPHERS[cipher] and #chain == 64 then
            local bytes = chain:gsub("..", function(digits) return string.char(tonumber(digits, 16)) end)
            local index = tonumber(channel, 16)
            secrets[index] = secrets[index] or {}
            table.insert(secrets[index], { sealer = sealer, cipher = cipher, chains = { [0] = bytes }, newest = 0 })
        end
    end
    file:close()
end

local AHEAD = 1024 -- epochs beyond the newest that opened, as far as a receiver looks

local function frame_key(secret, epoch)
    if epoch > secret.newest + AHEAD then
        return nil
    end
    for n = #secret.chains + 1, epoch do
        secret.chains[n] = crypto.blake2s(secret.chains[n - 1], "tether/1 next")
    end
    return crypto.blake2s(secret.chains[epoch], "tether/1 frame")
end

-- The payload and who sealed it; nil and whether the key log has the channel at all.
local function open(frame, channel, sequence_bytes, epoch)
    load_keys()
    for _, secret in ipairs(secrets[channel] or {}) do
        local key = frame_key(secret, epoch)
        if key then
            local nonce = "\0\0\0\0" .. sequence_bytes .. "\0\0"
            local opener = secret.cipher == "AES-256-GCM" and crypto.aes256_gcm_open or crypto.chacha20_poly1305_open
            local plain = opener(key, nonce, frame:sub(1, 48), frame:sub(65), frame:sub(49, 64))
            if plain then
                secret.newest = math.max(secret.newest, epoch)
                return plain, secret.sealer
            end
        end
    end
    return nil, secrets[channel] ~= nil
end

-- ------------------------------------------------------------------------- parts

local function float16(wire)
    return wire % 1024 * 2 ^ math.floor(wire / 1024)
end

local function zeros(range)
    return range:bytes():tohex():match("^0*$") ~= nil
end

local function add_padding(tree, range, field)
    local item = tree:add(field or f.padding, range)
    if not zeros(range) then
        item:add_proto_expert_info(e.padding)
    end
end

local function dissect_lanes(range, count, tree)
    local at = 0
    for _ = 1, count do
        if range:len() - at < 4 then
            tree:add_proto_expert_info(e.tags)
            return
        end
        local kind, length = range(at + 2, 1):uint(), range(at + 3, 1):uint()
        local whole = 4 + length + -(4 + length) % 8
        if range:len() - at < whole then
            tree:add_proto_expert_info(e.tags)
            return
        end
        local lane = tree:add(range(at, whole), "Lane " .. range(at, 2):le_uint())
        lane:add_le(f.lane_number, range(at, 2))
        lane:add(f.lane_kind, range(at + 2, 1))
        lane:add(f.lane_length, range(at + 3, 1))
        if kind == 1 and length == 8 then
            lane:add(f.lane_mac, range(at + 4, 6))
            lane:add_le(f.lane_vlan, range(at + 10, 2))
        elseif kind == 2 and length == 6 then
            lane:add(f.lane_ipv4, range(at + 4, 4))
            lane:add(f.lane_port, range(at + 8, 2))
        elseif kind == 3 and length == 18 then
            lane:add(f.lane_ipv6, range(at + 4, 16))
            lane:add(f.lane_port, range(at + 20, 2))
        elseif length > 0 then
            lane:add(f.lane_address, range(at + 4, length))
        end
        if whole > 4 + length then
            add_padding(lane, range(at + 4 + length, whole - 4 - length), f.flow0_padding)
        end
        at = at + whole
    end
    if at ~= range:len() then
        tree:add_proto_expert_info(e.tags)
    end
end

local function dissect_value(type, range, tree)
    for _, value in ipairs(VALUES[type] or {}) do
        local size = value[3] > 0 and value[3] or math.max(range:len() - value[2], 0)
        if value[2] + size > range:len() then
            tree:add_proto_expert_info(e.tags)
            return
        end
        if size > 0 then
            tree:add_le(f["value_" .. type .. "_" .. value[1]], range(value[2], size))
        end
    end
    if type == 3 and range:len() > 48 then
        dissect_lanes(range(48), range(14, 2):le_uint(), tree)
    elseif not VALUES[type] and range:len() > 0 then
        tree:add(f.flow0_value, range)
    end
end

-- Whole tags up to the end of `range`; their names.
local function dissect_tags(range, tree)
    local at, names = 0, {}
    while at < range:len() do
        local type = range(at, 1):uint()
        if type == 0 then
            add_padding(tree, range(at))
            break
        end
        local length = range:len() - at >= 4 and range(at + 2, 2):le_uint() or 0
        local whole = 4 + length + -(4 + length) % 8
        if range:len() - at < whole then
            tree:add(range(at), "No tag"):add_proto_expert_info(e.tags)
            break
        end
        local name = TAGS[type] or string.format("tag 0x%02x", type)
        local item = tree:add(range(at, whole), name)
        item:add(f.flow0_type, range(at, 1))
        local reserved = item:add(f.flow0_reserved, range(at + 1, 1))
        if range(at + 1, 1):uint() ~= 0 then
            reserved:add_proto_expert_info(e.tags)
        end
        item:add_le(f.flow0_length, range(at + 2, 2))
        if length > 0 then
            dissect_value(type, range(at + 4, length), item)
        elseif VALUES[type] then
            item:add_proto_expert_info(e.tags)
        end
        if whole > 4 + length then
            add_padding(item, range(at + 4 + length, whole - 4 - length), f.flow0_padding)
        end
        names[#names + 1] = name
        at = at + whole
    end
    return table.concat(names, " + ")
end

local function dissect_hail(tvb, header, tree)
    local length = header.length
    if length < 4 + 96 then
        tree:add_proto_expert_info(e.size)
        return
    end
    tree:add_le(f.sender_index, tvb(64, 4))
    tree:add(f.ephemeral, tvb(68, 32))
    tree:add(f.static, tvb(100, 48))
    tree:add(f.sealed, tvb(148, 64 + length - 148))
    local rest = tvb:len() - tvb:len() % BLOCK - 64 - length
    if rest > 16 then
        add_padding(tree, tvb(64 + length, rest - 16))
    end
    if rest >= 16 then
        tree:add(f.mac2, tvb(64 + length + rest - 16, 16))
    end
end

-- Early data, or the answer to it: sealed under keys that no key log has.
local function dissect_warm(tvb, header, tree)
    local at = HEADER
    if header.warm == "Lamp" and tvb:len() >= HEADER + 16 then
        tree:add(f.salt, tvb(HEADER, 16))
        at = HEADER + 16
    end
    if tvb:len() > at then
        tree:add(f.payload, tvb(at)):append_text(", sealed")
    end
end

local function dissect_reply(tvb, header, tree)
    if header.length == 40 then -- a cookie instead of a reply
        dissect_tags(tvb(64, 40), tree)
    elseif header.length < 4 + 48 then
        tree:add_proto_expert_info(e.size)
        return
    else
        tree:add_le(f.sender_index, tvb(64, 4))
        tree:add(f.ephemeral, tvb(68, 32))
        tree:add(f.sealed, tvb(100, 64 + header.length - 100))
    end
    local rest = tvb:len() - tvb:len() % BLOCK - 64 - header.length
    if rest > 0 then
        add_padding(tree, tvb(64 + header.length, rest))
    end
end

local function dissect_payload(tvb, header, tree)
    local size = header.blocks * BLOCK
    local plain, other
    if tvb:len() >= HEADER + size then
        plain, other = open(tvb:raw(0, HEADER + size), header.channel, tvb:raw(8, 6), header.epoch)
    end
    if not plain then
        if size > 0 then
            tree:add(f.payload, tvb(HEADER, math.min(size, tvb:len() - HEADER))):append_text(", sealed")
        end
        if other then
            tree:add_proto_expert_info(e.auth)
        end
        return ""
    end
    tree:add(f.sealer, other):set_generated()
    if header.length == 0 then
        return ""
    end
    local bytes = ByteArray.new((plain:gsub(".", function(c) return string.format("%02x", c:byte()) end)))
    local opened = bytes:tvb("Opened Tether payload")
    local names = ""
    if header.flow == 0 then
        names = dissect_tags(opened(0, header.length), tree:add(opened(0, header.length), "Tags"))
    else
        tree:add(f.opened, opened(0, header.length))
    end
    if size > header.length then
        add_padding(tree, opened(header.length, size - header.length))
    end
    return names
end

local function dissect_header(tvb, tree)
    local header = {
        flags = tvb(1, 1):uint(), length = tvb(2, 2):le_uint(), channel = tvb(4, 4):le_uint(),
        flow = tvb(16, 2):le_uint(), slot = tvb(24, 4):le_uint(), nack_slot = tvb(28, 4):le_uint(),
        nack_count = tvb(32, 2):le_uint(), sequence = tvb(8, 6):le_uint64(), grant = tvb(18, 6):le_uint64(),
        want = float16(tvb(14, 2):le_uint()), pace = float16(tvb(34, 2):le_uint()),
    }
    header.blocks = math.ceil(header.length / BLOCK)
    header.epoch = math.floor(header.sequence:tonumber() / 4194304)
    header.lamp = header.flags % 2 == 1
    if header.lamp and header.channel ~= 0 and header.sequence ~= UInt64(0) then
        header.warm = header.grant == UInt64(0) and "answer" or "Lamp"
    end
    tree:add(f.version, tvb(0, 1))
    local flags, names = tree:add(f.flags, tvb(1, 1)), {}
    for _, flag in ipairs(FLAGS) do
        flags:add(f["flag_" .. flag[2]], tvb(1, 1))
        if math.floor(header.flags / flag[1]) % 2 == 1 then
            names[#names + 1] = flag[2]
        end
    end
    flags:append_text(#names > 0 and " (" .. table.concat(names, " ") .. ")" or " (none)")
    header.names = names
    tree:add_le(f.length, tvb(2, 2)):append_text(string.format(" bytes in %d blocks", header.blocks))
    tree:add_le(f.channel, tvb(4, 4))
    if header.channel ~= 0 then
        tree:add(f.lane, tvb(4, 1)):set_generated()
    end
    tree:add(f.sequence, tvb(8, 6), header.sequence)
    if not header.lamp then
        tree:add(f.epoch, tvb(8, 6), header.epoch):set_generated()
    end
    tree:add_le(f.want, tvb(14, 2))
    tree:add(f.want_slots, tvb(14, 2), header.want):set_generated()
    tree:add_le(f.flow, tvb(16, 2))
    local grant = tree:add(f.grant, tvb(18, 6), header.grant)
    grant:append_text(header.lamp and " blocks of the reply" or " slots, modulo 2^48")
    tree:add_le(f.slot, tvb(24, 4)):append_text(header.length > 0 and " first slot" or " high water")
    tree:add_le(f.nack_slot, tvb(28, 4))
    tree:add_le(f.nack_count, tvb(32, 2)):append_text(header.nack_count > 0 and " slots again" or " (receipt)")
    tree:add_le(f.pace, tvb(34, 2))
    tree:add(f.pace_slots, tvb(34, 2), header.pace):set_generated()
    tree:add(f.timestamp, tvb(36, 6), tvb(36, 6):le_uint64())
    tree:add(f.echo, tvb(42, 6), tvb(42, 6):le_uint64())
    tree:add(f.tag, tvb(48, 16)):append_text(header.lamp and not header.warm and " (mac1)" or " (AEAD)")
    return header
end

local function summary(header, tags)
    if header.lamp then
        if header.channel == 0 then
            return "Hail, counter " .. tostring(header.sequence)
        end
        if header.warm then
            return string.format("Warm %s, counter %s, to 0x%08x", header.warm, tostring(header.sequence), header.channel)
        end
        return (header.length == 40 and "Cookie" or "Reply") .. string.format(" to a Hail of 0x%08x", header.channel)
    end
    local parts = { string.format("0x%08x #%s", header.channel, tostring(header.sequence)) }
    if header.flow == 0 then
        parts[#parts + 1] = header.length > 0 and (tags ~= "" and tags or "tags") or "flow 0"
    else
        parts[#parts + 1] = "flow " .. header.flow
    end
    parts[#parts + 1] = header.length > 0 and string.format("slot %u, %u bytes", header.slot, header.length)
        or string.format("up to slot %u", header.slot)
    for _, name in ipairs(header.names) do
        if name == "FIRST" or name == "END" or name == "BLOCKED" or name == "BUSY" then
            parts[#parts + 1] = name
        end
    end
    parts[#parts + 1] = "grant " .. tostring(header.grant)
    if header.nack_count > 0 then
        parts[#parts + 1] = string.format("NACK [%u, +%u)", header.nack_slot, header.nack_count)
    else
        parts[#parts + 1] = string.format("arrived %u", header.nack_slot)
    end
    if header.want > 0 then
        parts[#parts + 1] = string.format("want %.0f", header.want)
    end
    return table.concat(parts, ", ")
end

function tether.dissector(tvb, pinfo, root)
    pinfo.cols.protocol = "Tether"
    local tree = root:add(tether, tvb())
    if tvb:len() < HEADER then
        tree:add_proto_expert_info(e.size)
        return tvb:len()
    end
    if tvb(0, 1):uint() ~= 1 then
        tree:add(f.version, tvb(0, 1)):add_proto_expert_info(e.version)
        pinfo.cols.info = "version " .. tvb(0, 1):uint()
        return tvb:len()
    end
    local header = dissect_header(tvb, tree)
    local size = HEADER + header.blocks * BLOCK
    local tags = ""
    if tvb:len() < size then
        tree:add_proto_expert_info(e.size)
        if tvb:len() > HEADER then
            tree:add(f.payload, tvb(HEADER)):append_text(", cut")
        end
    elseif header.lamp then
        size = tvb:len() - tvb:len() % BLOCK -- a Hail and its reply are all whole blocks that came
        if header.channel == 0 then
            dissect_hail(tvb, header, tree)
        elseif header.warm then
            dissect_warm(tvb, header, tree)
        else
            dissect_reply(tvb, header, tree)
        end
    else
        tags = dissect_payload(tvb, header, tree)
    end
    if tvb:len() > size then
        local trailer = tree:add(f.trailer, tvb(size))
        if tvb:len() >= size + BLOCK then
            trailer:add_proto_expert_info(e.size)
        end
    end
    local words = summary(header, tags)
    pinfo.cols.info = words
    tree:append_text(", " .. words)
    return tvb:len()
end

-- UDP has no number that says Tether: what has version 1 and a size that its length explains is taken for it.
local function looks_like_tether(tvb, pinfo, tree)
    local size = tvb:len()
    if size < HEADER or size % BLOCK ~= 0 or tvb:reported_length_remaining() ~= size or tvb(0, 1):uint() ~= 1 then
        return false
    end
    local blocks, there = math.ceil(tvb(2, 2):le_uint() / BLOCK), size / BLOCK - 1
    local lamp = tvb(1, 1):uint() % 2 == 1
    if blocks > there or (not lamp and blocks ~= there) then
        return false
    end
    tether.dissector(tvb, pinfo, tree)
    return true
end

function tether.init()
    loaded = nil -- the key log may have grown
end

DissectorTable.get("ethertype"):add(0x88b5, tether)
DissectorTable.get("udp.port"):add_for_decode_as(tether)
tether:register_heuristic("udp", looks_like_tether)
