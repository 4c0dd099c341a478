-- What uncontended resources need: calls on a key each, and so in any order. The record of one that a client has whole,
-- and that nobody else has asked for, is packed (record.rs has the layout); what an acquire puts before its own word is
-- the same for the whole call, and is the answer too. Calls that need more are numbered in `failed`, from 1, and nothing
-- of them is done; renewals are done all or none.
-- KEYS: floors of the acquires' buckets, records of releases and renewals, records of acquires. ARGV, after the clock's
-- `at` words: a word of all calls, then one of each: the rest of an acquire's record, or the request that a record must be
-- of. In the word of all: how many there are of each kind, whether an acquire waits (for the full script), the earliest
-- not_after, the acquires' highest seen, their TTL and want; if there are acquires, until when to keep their records, in 13
-- digits of ms of the server's clock; the fences that releases used last, the renewals' numbers. Few words and short ones:
-- each costs, and each of its bytes too.
local call, pack, unpacked, find, byte = redis.call, struct.pack, struct.unpack, string.find, string.byte
local head, words = ARGV[at + 1], at + 1
local acquires, releases, renewals, waits, not_after_us, seen, ttl_us, want = unpacked('>HHHBdddd', head)
local calls, numbers = acquires + releases + renewals, acquires > 0 and 53 or 40
local failed, answer
if lease_us > not_after_us or lease_us ~= wall_us or epoch ~= 0 then
  failed, answer = {}, acquires > 0 and pack('>ddd', lease_us, 0, 0) or pack('>d', lease_us)
  for i = 1, calls do failed[i] = i end
else
  local stored = calls == 1 and { call('GET', KEYS[1]) } or call('MGET', unpack(KEYS, 1, calls))
  if acquires > 0 then
    local first = math.max(lease_us, seen + 1)
    local last = first
    if want > 1 then last = math.max(first, math.min(first + want - 1, lease_us + $BLOCK_AHEAD_US)) end
    answer = pack('>ddd', lease_us, first, last)
    local granted, keep_until_ms = '$PACKED' .. answer, string.sub(head, 40, 52)
    -- Who saw fences far ahead of the clock could not know for how long to keep the record.
    local is_near = last - lease_us <= $SLACK_MS * 1000
    for i = 1, acquires do
      local floor = stored[i]
      local free = is_near and not (floor and floor + 1 > first)
      if not (free and call('SET', KEYS[calls + i], granted .. ARGV[words + i], 'NX', 'PXAT', keep_until_ms)) then
        failed = failed or {}
        failed[#failed + 1] = i
      end
    end
  else
    answer = pack('>d', lease_us)
  end
  if releases > 0 then
    local spared
    for i = acquires + 1, acquires + releases do
      local bytes, ends = stored[i]
      local kind = bytes and find(bytes, ARGV[words + i], $PACKED_RID, true) == $PACKED_RID and byte(bytes)
      if kind == $PACKED_BYTE or kind == $RENEWED_BYTE then
        local since_us, first, last, ttl_us = unpacked('>dddd', bytes, 2)
        if kind == $RENEWED_BYTE then since_us = unpacked('>d', bytes, #bytes - 15) end
        if last >= lease_us then
          local used = unpacked('>d', head, numbers + 8 * (i - acquires - 1))
          if first <= used and used <= last then last = used end
        end
        ends = last < lease_us and since_us + ttl_us > lease_us
      end
      if not ends then
        failed, spared = failed or {}, spared or {}
        failed[#failed + 1], spared[i] = i, true
      end
    end
    if spared then
      for i = acquires + 1, acquires + releases do
        if not spared[i] then call('DEL', KEYS[i]) end
      end
    else
      call('DEL', unpack(KEYS, acquires + 1, acquires + releases))
    end
  end
  if renewals > 0 then
    local fresh, keep_ms, remaining, kept_us, keep = {}, {}, {}, nil, nil
    for i = calls - renewals + 1, calls do
      local bytes, renews = stored[i]
      local kind = bytes and find(bytes, ARGV[words + i], $PACKED_RID, true) == $PACKED_RID and byte(bytes)
      if kind == $PACKED_BYTE or kind == $RENEWED_BYTE then
        local since_us, _, _, ttl_us, not_after_us = unpacked('>ddddd', bytes, 2)
        local renewal, to = 0, -1
        if kind == $RENEWED_BYTE then
          since_us, renewal = unpacked('>dd', bytes, #bytes - 15)
          to = -17
        end
        renews = since_us + ttl_us > lease_us
        local asked = unpacked('>d', head, numbers + 8 * (i - acquires - 1))
        if renews and asked > renewal then
          since_us = lease_us
          fresh[i] = '$PACKED_RENEWED' .. string.sub(bytes, 2, to) .. pack('>dd', lease_us, asked)
          -- Formatting costs more than all else here, and most TTLs are the same.
          local keep_us = math.max(ttl_us, not_after_us - lease_us)
          if keep_us ~= kept_us then
            kept_us, keep = keep_us, string.format('%.0f', math.ceil(keep_us / 1000) + $SLACK_MS)
          end
          keep_ms[i] = keep
        end
        remaining[#remaining + 1] = pack('>d', since_us + ttl_us - lease_us)
      end
      if not renews then
        failed = failed or {}
        failed[#failed + 1] = i
      end
    end
    if not failed then
      for i = calls - renewals + 1, calls do
        if fresh[i] then call('SET', KEYS[i], fresh[i], 'PX', keep_ms[i]) end
      end
      answer = answer .. table.concat(remaining)
    end
  end
end
