-- The calls of one bucket, in order, each as `protocol::apply` says: this is its mirror, function by function.
-- A word after a dollar is a constant of the protocol, or a field's place in the stored arrays: see script.rs.
-- KEYS[1] is the bucket's floor, KEYS[i + 1] the record of call i. ARGV, after the clock's `at` words: the prefix of the
-- bucket's channels, then each call's words. Answers the time, then one array a call. It writes nothing before every
-- call has its answer.

-- What both layouts share.
local function word()
  at = at + 1
  return ARGV[at]
end

local function number()
  at = at + 1
  return tonumber(ARGV[at])
end

local prefix = word()
local notices = {}
local ALL = 0

local function digits(value)
  return string.format('%.0f', value)
end

local function holds(entry)
  return entry[$PHASE] >= $GRANTED
end

local function leaves(taken, weight, capacity)
  if taken.whole > 0 then return false end
  if weight == ALL then return taken.units == 0 end
  return taken.units + weight <= capacity
end

-- The capacity that counts, of two announcements.
local function better(size, revision, other_size, other_revision)
  if not size or other_revision > revision then return other_size, other_revision end
  if other_revision == revision then return math.min(size, other_size), revision end
  return size, revision
end

local function mint(record, want, seen)
  local first = math.max(wall_us, seen + 1, record[$LAST] + 1)
  local last = math.max(first, math.min(first + math.max(want - 1, 0), wall_us + $BLOCK_AHEAD_US))
  record[$LAST] = last
  return first, last
end

-- A waiter whose turn it is.
local function install(record, entry)
  entry[$FIRST], entry[$END] = mint(record, entry[$WANT], entry[$SEEN])
  entry[$PHASE] = $GRANTED
  entry[$GRANTED_US] = lease_us
  entry[$EXPIRES_US] = lease_us + math.min($CLAIM_WINDOW_US, entry[$TTL_US])
  notices[#notices + 1] = { '$NOTICE_GRANTED', entry[$RID], digits(entry[$FIRST]), digits(entry[$END]),
    digits(entry[$GRANTED_US]), digits(entry[$EXPIRES_US]) }
end

local function granted(entry, contended)
  local remaining_us = math.max(entry[$EXPIRES_US] - lease_us, 0)
  local claimed = entry[$PHASE] == $HELD and 1 or 0
  return { $REPLY_GRANTED, entry[$FIRST], entry[$END], remaining_us, claimed, contended and 1 or 0 }
end

local function queued(ahead, rank, expiry)
  local check_in_us = $HEARTBEAT_US
  if expiry and rank <= 3 then
    check_in_us = math.min(check_in_us, math.max(expiry - lease_us, 0) + $RANK_STEP_US * rank)
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

-- Weight, capacity, its revision, and the label: one word, which a packed record keeps as it came.
local function described(text)
  local weight, size, revision, label = string.match(text, '^(%d+) (%d+) (%d+) (.*)')
  return tonumber(weight), tonumber(size), tonumber(revision), label
end

-- A change of weight of the entry of `rid`: the weight, the capacity and its revision, and which other entry of the same
-- client it absorbs, if any, closed until when.
local function change_of(text, rid)
  local weight, size, revision, until_us, other = string.match(text, '^(%d+) (%d+) (%d+) (%d+) (.*)')
  local is_own = other ~= rid and string.sub(other, 1, $NODE_CHARS + 1) == string.sub(rid, 1, $NODE_CHARS + 1)
  return tonumber(weight), tonumber(size), tonumber(revision), is_own and other, tonumber(until_us)
end

-- What is its own with what it absorbed, and whether `weight` is more.
local function own_of(had, absorbed, weight)
  local own = had
  if absorbed then own = (had == ALL or absorbed == ALL) and ALL or math.min(had + absorbed, $MOST_UNITS) end
  return own, own ~= ALL and (weight == ALL or weight > own)
end

$CROWD_LUA
-- Of each key what is there: the bytes of a record, or a crowd.
local many
local stored, crowd_of = {}, {}
for i = 2, #KEYS do
  local key = KEYS[i]
  if stored[key] == nil then
    local bytes = redis.call('GET', key)
    stored[key] = bytes
    local format = bytes and string.sub(bytes, 1, 1)
    if format == '$CROWD' then
      many = many or crowds()
      crowd_of[key] = many.of(key, cmsgpack.unpack(string.sub(bytes, 2)))
    elseif bytes
      and (format == '' or not string.find('$FORMAT$PACKED$PACKED_RENEWED$FORMAT_BEFORE', format, 1, true)) then
      return redis.error_reply('$TOO_NEW ' .. (string.byte(format) or 0))
    end
  end
end

-- Calls on crowds that stay what they are need nothing of what follows; making its functions costs more than to run them.
local replies, done = { lease_us }, 1
while crowd_of[KEYS[done + 1]] do
  local reply = many.run(crowd_of[KEYS[done + 1]])
  if not reply then break end
  done = done + 1
  replies[done] = reply
end
local only_crowds = done == #KEYS
for i = 2, done do only_crowds = only_crowds and many.stays(crowd_of[KEYS[i]]) end

if only_crowds then
  for i = 2, #KEYS do many.save(KEYS[i], crowd_of[KEYS[i]], stored[KEYS[i]]) end
else
  local function is_live_waiter(entry)
    return entry[$PHASE] == $WAITING and lease_us - entry[$HEARD_US] <= $LIVENESS_US
  end

  local function is_contended(entries)
    for _, entry in ipairs(entries) do
      if is_live_waiter(entry) then return true end
    end
    return false
  end

  -- Units, and by how many all of it is taken; without the entry of `but`.
  local function taken_of(entries, but)
    local taken = { units = 0, whole = 0 }
    for _, entry in ipairs(entries) do
      if holds(entry) and entry[$RID] ~= but then
        if entry[$WEIGHT] == ALL then
          taken.whole = taken.whole + 1
        else
          taken.units = taken.units + entry[$WEIGHT]
        end
      end
    end
    return taken
  end

  local function capacity_of(entries, size, revision)
    for _, entry in ipairs(entries) do
      if holds(entry) or is_live_waiter(entry) then
        size, revision = better(size, revision, entry[$CAPACITY], entry[$REVISION])
      end
    end
    return size
  end

  local function position(entries, rid)
    for i, entry in ipairs(entries) do
      if entry[$RID] == rid then return i end
    end
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
      if entry[$PHASE] == $GRANTED and entry[$EXPIRES_US] <= lease_us and entry[$WEIGHED] == 0 then
        entry[$PHASE] = $DORMANT
        entry[$FIRST], entry[$END] = 0, 0
        entry[$GRANTED_US], entry[$EXPIRES_US] = 0, 0
        entry[$REVOKED_US], entry[$GRACE_US], entry[$REASON] = 0, 0, ''
      end
      local phase, stays = entry[$PHASE], true
      if phase >= $GRANTED then
        stays = entry[$EXPIRES_US] > lease_us
      else
        stays = entry[$NOT_AFTER_US] >= lease_us
      end
      if stays then entries[#entries + 1] = entry end
    end
    record[$CLOSED], record[$ENTRIES] = closed, entries
  end

  local function hand_over(record)
    local entries = record[$ENTRIES]
    local size = capacity_of(entries)
    if not size then return end
    local taken = taken_of(entries)
    for _, entry in ipairs(entries) do
      local weight = entry[$WEIGHT]
      if is_live_waiter(entry) and weight <= size then
        if not leaves(taken, weight, size) then return end
        if weight == ALL then taken.whole = taken.whole + 1 else taken.units = taken.units + weight end
        install(record, entry)
      end
    end
  end

  local function answer(entries, i)
    local entry = entries[i]
    if holds(entry) then return granted(entry, is_contended(entries)) end
    local ahead, rank, expiry = 0, 1, nil
    for j, other in ipairs(entries) do
      if holds(other) then
        expiry = math.min(expiry or other[$EXPIRES_US], other[$EXPIRES_US])
      elseif j < i then
        ahead = ahead + 1
        if other[$PHASE] == $WAITING and lease_us - other[$HEARD_US] <= $FRESH_US then rank = rank + 1 end
      end
    end
    return queued(ahead, rank, expiry)
  end

  local function acquire(record)
    local rid, not_after_us, ttl_us, want, seen = word(), number(), number(), number(), number()
    local wait, weight, size, revision, label = word() == '1', described(word())
    if lease_us > not_after_us then return { $REPLY_STALE } end
    for _, ended in ipairs(record[$CLOSED]) do
      if ended[$RID] == rid then return { $REPLY_CLOSED } end
    end
    local entries = record[$ENTRIES]
    local capacity = capacity_of(entries, size, revision)
    local known = position(entries, rid)
    if known then
      local entry = entries[known]
      if holds(entry) then return answer(entries, known) end
      entry[$HEARD_US], entry[$PHASE] = lease_us, $WAITING
      entry[$SEEN] = math.max(entry[$SEEN], seen)
      entry[$WANT] = math.max(entry[$WANT], want)
      local too_heavy = entry[$WEIGHT] > capacity
      if too_heavy then table.remove(entries, known) end
      hand_over(record)
      if too_heavy then return { $REPLY_TOO_HEAVY, capacity } end
      return answer(entries, known)
    end
    if weight > capacity then return { $REPLY_TOO_HEAVY, capacity } end
    local waited_for = is_contended(entries)
    local free = not waited_for and leaves(taken_of(entries), weight, capacity)
    if not free and not wait then return busy(entries) end
    local entry = {
      rid, $WAITING, weight, ttl_us, want, seen, not_after_us, lease_us, lease_us, 0, 0, 0, 0, 0, label,
      size, revision, 0, 0, 0, ''
    }
    if free then
      entry[$FIRST], entry[$END] = mint(record, want, seen)
      entry[$PHASE], entry[$GRANTED_US], entry[$EXPIRES_US] = $HELD, lease_us, lease_us + ttl_us
    elseif not waited_for then
      for _, other in ipairs(entries) do
        if holds(other) then notices[#notices + 1] = { '$NOTICE_CONTENDED', other[$RID] } end
      end
    end
    entries[#entries + 1] = entry
    -- What it announces may be more than there was for those before it, who may also all be too heavy.
    if waited_for then hand_over(record) end
    return answer(entries, #entries)
  end

  local function holder(entries, rid)
    for _, entry in ipairs(entries) do
      if entry[$RID] == rid and holds(entry) then return entry end
    end
  end

  local function renew(record)
    local rid, not_after_us, renewal = word(), number(), number()
    if lease_us > not_after_us then return { $REPLY_STALE } end
    local entry = holder(record[$ENTRIES], rid)
    if not entry then return { $REPLY_NOT_HELD } end
    if renewal > entry[$RENEWAL] then
      entry[$RENEWAL], entry[$PHASE] = renewal, $HELD
      if entry[$REVOKED_US] == 0 then entry[$EXPIRES_US] = lease_us + entry[$TTL_US] end
    end
    local contended = is_contended(record[$ENTRIES]) and 1 or 0
    local reply = { $REPLY_RENEWED, math.max(entry[$EXPIRES_US] - lease_us, 0), contended }
    if entry[$REVOKED_US] > 0 then reply[4], reply[5] = entry[$GRACE_US], entry[$REASON] end
    return reply
  end

  local function revoke(record)
    local rid, not_after_us, grace_us, reason = word(), number(), number(), word()
    if lease_us > not_after_us then return { $REPLY_STALE } end
    local entry = holder(record[$ENTRIES], rid)
    if not entry then return { $REPLY_NOT_HELD } end
    if entry[$REVOKED_US] == 0 or grace_us < entry[$GRACE_US] then
      entry[$REVOKED_US], entry[$GRACE_US], entry[$REASON] = math.max(lease_us, 1), grace_us, reason
      notices[#notices + 1] = { '$NOTICE_REVOKED', rid }
    end
    return { $REPLY_REVOKED }
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

  local function reweigh(record)
    local rid, not_after_us, change, text = word(), number(), number(), word()
    if lease_us > not_after_us then return { $REPLY_STALE } end
    local entries = record[$ENTRIES]
    local entry = holder(entries, rid)
    if not entry then return { $REPLY_NOT_HELD } end
    if change > entry[$WEIGHED] then
      local weight, size, revision, other, until_us = change_of(text, rid)
      local known, absorbed = other and position(entries, other), nil
      if known and holds(entries[known]) then
        absorbed = table.remove(entries, known)[$WEIGHT]
        close(record, other, until_us)
      end
      entry[$CAPACITY], entry[$REVISION] = better(entry[$CAPACITY], entry[$REVISION], size, revision)
      local own, grows = own_of(entry[$WEIGHT], absorbed, weight)
      local stays = grows and (is_contended(entries) or not leaves(taken_of(entries, rid), weight, capacity_of(entries)))
      entry[$WEIGHT], entry[$WEIGHED] = stays and own or weight, change
      hand_over(record)
    end
    return { $REPLY_WEIGHED, entry[$WEIGHT], is_contended(entries) and 1 or 0 }
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
    -- Who holds must not be ended by the server's own expiry; of what has ended nothing but the memory is lost.
    return digits(math.ceil(keep_us / 1000) + (#record[$ENTRIES] > 0 and $SLACK_MS or 1000))
  end

  -- The record that a packed one stands for: record.rs has its layout.
  local function unpacked(bytes)
    local granted_us, first, last, ttl_us, not_after_us = struct.unpack('>ddddd', bytes, 2)
    local node = string.gsub(string.sub(bytes, $PACKED_RID, $PACKED_RID + 15), '.', function(char)
      return string.format('%02x', string.byte(char))
    end)
    local seq, want, seen = struct.unpack('>ddd', bytes, $PACKED_RID + 16)
    local renewed_us, renewal, to = granted_us, 0, -1
    if string.sub(bytes, 1, 1) == '$PACKED_RENEWED' then
      renewed_us, renewal = struct.unpack('>dd', bytes, #bytes - 15)
      to = -17
    end
    local weight, size, revision, label = described('0 ' .. string.sub(bytes, $PACKED_TEXT, to))
    local entry = {
      node .. string.format('.%.0f', seq), $HELD, weight, ttl_us, want, seen, not_after_us, granted_us, granted_us,
      first, last, granted_us, renewed_us + ttl_us, renewal, label, size, revision, 0, 0, 0, ''
    }
    return { last, 0, { entry }, {} }
  end

  local function decode(bytes)
    local format = string.sub(bytes, 1, 1)
    if format == '$PACKED' or format == '$PACKED_RENEWED' then return unpacked(bytes) end
    local record = cmsgpack.unpack(string.sub(bytes, 2))
    if format == '$FORMAT_BEFORE' then
      for _, entry in ipairs(record[$ENTRIES]) do
        if entry[$WEIGHT] == 1 then entry[$WEIGHT] = ALL end
        entry[$CAPACITY], entry[$REVISION], entry[$WEIGHED] = 1, 0, 0
        entry[$REVOKED_US], entry[$GRACE_US], entry[$REASON] = 0, 0, ''
      end
    end
    return record
  end

  -- What is there in the end is written.
  local records, changed = {}, {}
  for i = 2, #KEYS do
    local key = KEYS[i]
    if records[key] == nil then
      local crowd = crowd_of[key]
      if crowd then
        records[key], changed[key] = false, true
        if crowd.spent then crowd_of[key] = nil end
      else
        records[key] = stored[key] and decode(stored[key])
      end
    end
  end

  local floor
  for i = done + 1, #KEYS do
    local key = KEYS[i]
    local record, crowd = records[key], crowd_of[key]
    local reply = crowd and many.run(crowd)
    if not reply then
      if crowd then
        -- It was spent, or there is nothing left of it but its last fence.
        record = not crowd.spent and many.dissolve(crowd)
        crowd = nil
      end
      local op = word()
      if op == '$OP_INSPECT' then
        reply = { $REPLY_INSPECTED, record and encode(record) }
      else
        if not record then
          floor = floor or tonumber(redis.call('GET', KEYS[1]) or 0)
          record = { floor, epoch, {}, {} }
        end
        expire(record)
        hand_over(record)
        if op == '$OP_ACQUIRE' then
          reply = acquire(record)
        elseif op == '$OP_RENEW' then
          reply = renew(record)
        elseif op == '$OP_REWEIGH' then
          reply = reweigh(record)
        elseif op == '$OP_REVOKE' then
          reply = revoke(record)
        else
          reply = release(record)
        end
        local spent = #record[$ENTRIES] == 0 and #record[$CLOSED] == 0 and record[$LAST] < wall_us
        record, changed[key] = not spent and record, true
      end
      records[key], crowd_of[key] = record, crowd
    end
    replies[i] = reply
  end

  for i = 2, #KEYS do
    local key = KEYS[i]
    if changed[key] then
      local record, crowd = records[key], crowd_of[key]
      if crowd and not many.stays(crowd) then
        crowd, record = nil, not crowd.spent and many.disperse(crowd)
      elseif record and #record[$ENTRIES] + #record[$CLOSED] > crowded_above then
        many = many or crowds()
        crowd = many.gather(key, record)
      end
      if crowd then
        many.save(key, crowd, stored[key])
      elseif record then
        local bytes = encode(record)
        if bytes ~= stored[key] then redis.call('SET', key, bytes, 'PX', keep_for_ms(record)) end
      elseif stored[key] then
        redis.call('DEL', key)
      end
      -- A key that comes twice is written once.
      changed[key] = nil
    end
  end
end

for _, notice in ipairs(notices) do
  -- A hint: a user who may not publish still releases, and the waiter looks by itself.
  local payload = '$PUSH_FORMAT ' .. table.concat(notice, ' ')
  redis.pcall('SPUBLISH', prefix .. string.sub(notice[2], 1, $NODE_CHARS), payload)
end
return replies
