-- The calls of one bucket, in order, each as `protocol::apply` says: this is its mirror, function by function.
-- A word after a dollar is a constant of the protocol, or a field's place in the stored arrays: see script.rs.
-- KEYS[i] is the record of call i. ARGV, after the clock's `at` words: the prefix of the bucket's channels, then each
-- call's words. Answers the time, then one array a call. It writes nothing before every call has its answer.

local function word()
  at = at + 1
  return ARGV[at]
end

local function number()
  at = at + 1
  return tonumber(ARGV[at])
end

local prefix = word()
local granted = {}

local function holds(entry)
  return entry[$PHASE] >= $GRANTED
end

local function is_live(entry)
  return lease_us - entry[$HEARD_US] <= $LIVENESS_US
end

local function free_of(entries)
  local free = $CAPACITY
  for _, entry in ipairs(entries) do
    if holds(entry) then free = free - entry[$WEIGHT] end
  end
  return math.max(free, 0)
end

local function position(entries, rid)
  for i, entry in ipairs(entries) do
    if entry[$RID] == rid then return i end
  end
end

local function mint(record, want, seen)
  local first = math.max(wall_us, seen + 1, record[$LAST] + 1)
  local last = math.max(first, math.min(first + math.max(want - 1, 0), wall_us + $BLOCK_AHEAD_US))
  record[$LAST] = last
  return first, last
end

local function expire(record)
  if record[$EPOCH] ~= epoch then
    record[$ENTRIES], record[$CLOSED], record[$EPOCH] = {}, {}, epoch
  end
  local closed, entries = {}, {}
  for _, ended in ipairs(record[$CLOSED]) do
    if ended[$UNTIL_US] > lease_us then closed[#closed + 1] = ended end
  end
  for _, entry in ipairs(record[$ENTRIES]) do
    if entry[$PHASE] == $GRANTED and entry[$EXPIRES_US] <= lease_us then
      entry[$PHASE] = $DORMANT
      entry[$FIRST], entry[$END] = 0, 0
      entry[$GRANTED_US], entry[$EXPIRES_US] = 0, 0
    end
    local phase, stays = entry[$PHASE], true
    if phase == $HELD then
      stays = entry[$EXPIRES_US] > lease_us
    elseif phase ~= $GRANTED then
      stays = entry[$NOT_AFTER_US] >= lease_us
    end
    if stays then entries[#entries + 1] = entry end
  end
  record[$CLOSED], record[$ENTRIES] = closed, entries
end

local function hand_over(record)
  local free = free_of(record[$ENTRIES])
  for _, entry in ipairs(record[$ENTRIES]) do
    if entry[$PHASE] == $WAITING and is_live(entry) then
      if entry[$WEIGHT] > free then return end
      free = free - entry[$WEIGHT]
      entry[$FIRST], entry[$END] = mint(record, entry[$WANT], entry[$SEEN])
      entry[$PHASE] = $GRANTED
      entry[$GRANTED_US] = lease_us
      entry[$EXPIRES_US] = lease_us + math.min($CLAIM_WINDOW_US, entry[$TTL_US])
      granted[#granted + 1] = entry[$RID]
    end
  end
end

local function answer(entries, i)
  local entry = entries[i]
  if holds(entry) then
    local remaining_us = math.max(entry[$EXPIRES_US] - lease_us, 0)
    local claimed = entry[$PHASE] == $HELD and 1 or 0
    return { $REPLY_GRANTED, entry[$FIRST], entry[$END], remaining_us, claimed }
  end
  local ahead, expiry = 0, nil
  for j, other in ipairs(entries) do
    if holds(other) then
      expiry = math.min(expiry or other[$EXPIRES_US], other[$EXPIRES_US])
    elseif j < i then
      ahead = ahead + 1
    end
  end
  local check_in_us = $HEARTBEAT_US
  if expiry and ahead < 3 then
    check_in_us = math.min(check_in_us, math.max(expiry - lease_us, 0) + $RANK_STEP_US * (ahead + 1))
  end
  return { $REPLY_QUEUED, ahead, check_in_us }
end

local function busy(entries)
  for _, entry in ipairs(entries) do
    if holds(entry) then
      local held_us = math.max(lease_us - entry[$GRANTED_US], 0)
      return { $REPLY_BUSY, entry[$LABEL], held_us, math.max(entry[$EXPIRES_US] - lease_us, 0) }
    end
  end
  return { $REPLY_BUSY, entries[1] and entries[1][$LABEL] or '', 0, 0 }
end

local function acquire(record)
  local rid, not_after_us, weight, ttl_us = word(), number(), number(), number()
  local wait, want, seen, label = word() == '1', number(), number(), word()
  if lease_us > not_after_us then return { $REPLY_STALE } end
  for _, ended in ipairs(record[$CLOSED]) do
    if ended[$RID] == rid then return { $REPLY_CLOSED } end
  end
  local entries = record[$ENTRIES]
  local known = position(entries, rid)
  if known then
    local entry = entries[known]
    if not holds(entry) then
      entry[$HEARD_US], entry[$PHASE] = lease_us, $WAITING
      entry[$SEEN] = math.max(entry[$SEEN], seen)
      hand_over(record)
    end
    return answer(entries, known)
  end
  local free = weight <= free_of(entries)
  if free then
    for _, entry in ipairs(entries) do
      if entry[$PHASE] == $WAITING and is_live(entry) then free = false end
    end
  end
  if not free and not wait then return busy(entries) end
  local entry = {
    rid, $WAITING, weight, ttl_us, want, seen, not_after_us, lease_us, lease_us, 0, 0, 0, 0, 0, label
  }
  if free then
    entry[$FIRST], entry[$END] = mint(record, want, seen)
    entry[$PHASE], entry[$GRANTED_US], entry[$EXPIRES_US] = $HELD, lease_us, lease_us + ttl_us
  end
  entries[#entries + 1] = entry
  return answer(entries, #entries)
end

local function renew(record)
  local rid, not_after_us, renewal = word(), number(), number()
  if lease_us > not_after_us then return { $REPLY_STALE } end
  for _, entry in ipairs(record[$ENTRIES]) do
    if entry[$RID] == rid and holds(entry) then
      if renewal > entry[$RENEWAL] then
        entry[$RENEWAL], entry[$PHASE] = renewal, $HELD
        entry[$EXPIRES_US] = lease_us + entry[$TTL_US]
      end
      return { $REPLY_RENEWED, math.max(entry[$EXPIRES_US] - lease_us, 0) }
    end
  end
  return { $REPLY_NOT_HELD }
end

local function close(record, rid, until_us)
  if until_us <= lease_us then return end
  for _, ended in ipairs(record[$CLOSED]) do
    if ended[$RID] == rid then
      ended[$UNTIL_US] = math.max(ended[$UNTIL_US], until_us)
      return
    end
  end
  table.insert(record[$CLOSED], { rid, until_us })
end

local function release(record)
  local rid, not_after_us, used, close_until_us = word(), number(), number(), number()
  if lease_us > not_after_us then return { $REPLY_STALE } end
  local was = $WAS_ABSENT
  local known = position(record[$ENTRIES], rid)
  if known then
    local entry = table.remove(record[$ENTRIES], known)
    if holds(entry) then
      was = $WAS_HELD
      if entry[$FIRST] <= used and used <= entry[$END] and record[$LAST] == entry[$END] then
        record[$LAST] = used
      end
    else
      was = $WAS_QUEUED
    end
  end
  close(record, rid, close_until_us)
  hand_over(record)
  return { $REPLY_RELEASED, was }
end

local function encode(record)
  return '$FORMAT' .. cmsgpack.pack(record)
end

local function keep_for_ms(record)
  local latest = 0
  for _, entry in ipairs(record[$ENTRIES]) do
    latest = math.max(latest, entry[$EXPIRES_US], entry[$NOT_AFTER_US])
  end
  for _, ended in ipairs(record[$CLOSED]) do
    latest = math.max(latest, ended[$UNTIL_US])
  end
  local keep_us = math.max(latest - lease_us, record[$LAST] - wall_us, 0)
  return string.format('%.0f', math.ceil(keep_us / 1000) + $SLACK_MS)
end

local records, stored = {}, {}
for _, key in ipairs(KEYS) do
  if records[key] == nil then
    local bytes = redis.call('GET', key)
    if bytes then
      local format = string.sub(bytes, 1, 1)
      if format ~= '$FORMAT' then
        return redis.error_reply('$TOO_NEW ' .. (string.byte(format) or 0))
      end
      records[key], stored[key] = cmsgpack.unpack(string.sub(bytes, 2)), true
    else
      records[key] = false
    end
  end
end

local replies = { lease_us }
for i, key in ipairs(KEYS) do
  local existed = records[key]
  local record = existed or { 0, epoch, {}, {} }
  expire(record)
  hand_over(record)
  local op, reply = word(), nil
  if op == '$OP_ACQUIRE' then
    reply = acquire(record)
  elseif op == '$OP_RENEW' then
    reply = renew(record)
  elseif op == '$OP_RELEASE' then
    reply = release(record)
  else
    reply = { $REPLY_INSPECTED, existed and encode(record) }
  end
  replies[i + 1] = reply
  local spent = #record[$ENTRIES] == 0 and #record[$CLOSED] == 0 and record[$LAST] < wall_us
  records[key] = not spent and record
end

for _, key in ipairs(KEYS) do
  local record = records[key]
  if record then
    redis.call('SET', key, encode(record), 'PX', keep_for_ms(record))
  elseif stored[key] then
    redis.call('DEL', key)
  end
  -- A key that comes twice is written once.
  records[key], stored[key] = nil, nil
end
for _, rid in ipairs(granted) do
  -- A hint: a user who may not publish still releases, and the waiter looks by itself.
  redis.pcall('SPUBLISH', prefix .. string.sub(rid, 1, $NODE_CHARS), rid)
end
return replies
