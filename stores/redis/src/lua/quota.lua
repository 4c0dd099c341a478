-- Quotas: the calls of one bucket, in order, each as `protocol::charge_all`, `settle` and `peek` say. This is their mirror.
-- KEYS: usages, settlements, and what a lease needs, in any order; the calls' words say which is which. ARGV, after the
-- clock's `at` words: the quotas that are asked by, four doubles each; then a word of each call, which quotas.rs puts
-- together. With a lease, the words of its call follow: `lease` runs them, and is nil where no call has one.
-- Answers one string: the time, then a part of each call; if leases were asked for, an array of it and of their answers.
-- A usage is one of:
--   digits: when the key is full (µs), nothing else being known;
--   `p`, then that in 7 bytes, its part and of how many, in 2 or 3 each: of a rate that leaves parts of a µs;
--   `f`, then full, part, units (7, 3, 3 bytes), what was given back, period, burst, revision (7 each): of a key whose quota
--   was announced, or to which something was given back.
-- All numbers are whole and below 2^53, and so are quotients of them exact once they are rounded down, or up.
local call, pack, unpacked, sub, byte = redis.call, struct.pack, struct.unpack, string.sub, string.byte
local floor, ceil, min, max = math.floor, math.ceil, math.min, math.max

local head, quotas = ARGV[at + 1], {}
local function quota_of(units, period, burst, revision)
  local window = burst * period
  return { units, period, burst, revision, window, window + $LONGEST_WAIT_US * units }
end
for i = 1, #head / 32 do quotas[i] = quota_of(unpacked('>dddd', head, 32 * i - 31)) end

-- Of each key that was looked at: full, part, units, given, its quota if that is known. `false` if nothing is kept.
local usages, changed, too_new = {}, {}, nil
local function load(k)
  local value = call('GET', KEYS[k])
  local usage, kind = false, value and byte(value)
  if not value then
    usage = false
  elseif kind and kind >= 48 and kind <= 57 then
    usage = { tonumber(value), 0, 1, 0 }
  elseif kind == 112 then
    local full, part, units = unpacked(#value == 12 and '>I7I2I2' or '>I7I3I3', value, 2)
    usage = { full, part, units, 0 }
  elseif kind == 102 then
    local full, part, units, given, period, burst, revision = unpacked('>I7I3I3I7I7I7I7', value, 2)
    usage = { full, part, units, given, quota_of(units, period, burst, revision) }
  else
    too_new = redis.error_reply('$TOO_NEW ' .. (kind or 0))
  end
  usages[k] = usage
  return usage
end

-- Whether `a` takes longer for a unit than `b` (1), or less (-1).
local function pace(a, b)
  local of_a, of_b = floor(a[2] / a[1]), floor(b[2] / b[1])
  if of_a == of_b then of_a, of_b = a[2] % a[1] * b[1], b[2] % b[1] * a[1] end
  return of_a > of_b and 1 or of_a < of_b and -1 or 0
end

local function better(stored, asked)
  if stored[4] ~= asked[4] then return stored[4] > asked[4] and stored or asked end
  local slower = pace(asked, stored)
  if slower ~= 0 then return slower > 0 and asked or stored end
  return stored[3] > asked[3] and asked or stored
end

local function keep_until(usage)
  local quota = usage[5]
  if usage[4] == 0 or not quota then return usage[1] end
  return usage[1] + min(usage[4], floor(quota[6] / quota[1]))
end

-- How full the bucket is, what was given back, and the quota in force.
local function state(k, asked)
  local usage = usages[k]
  if usage == nil then usage = load(k) end
  if not usage or keep_until(usage) < wall_us then return 0, 0, asked end
  local quota = usage[5]
  quota = quota and quota[4] > 0 and better(quota, asked) or asked
  local ahead_us, part = usage[1] - wall_us, usage[2]
  if ahead_us < 0 then return 0, usage[4], quota end
  if ahead_us > floor(quota[6] / quota[1]) then return 0, min(usage[4] + ahead_us + 1, $NEVER), quota end
  if part > 0 and usage[3] ~= quota[1] then ahead_us, part = ahead_us + 1, 0 end
  return ahead_us * quota[1] + part, usage[4], quota
end

local function keep(k, level, given, quota)
  usages[k] = { wall_us + floor(level / quota[1]), level % quota[1], quota[1], given, quota }
  changed[k] = true
end

-- When a key of this level would take so many units more.
local function wait_for(level, units, quota)
  return ceil(max(level + units * quota[2] - quota[5], 0) / quota[1])
end

local answer = { pack('>d', lease_us) }
local function put(units, wait_us, retry_us, level, given, quota, asked)
  local room = max(quota[5] - level, 0)
  answer[#answer + 1] = pack('>dddddddd', units, wait_us, retry_us, floor(room / quota[2]), ceil(level / quota[1]),
    wall_us + floor(level / quota[1]), level % quota[1], given)
  answer[#answer + 1] = quota == asked and '\0' or '\1' .. pack('>dddd', quota[1], quota[2], quota[3], quota[4])
end

local leases, next_word = {}, at + 1
local function words_of_lease(count)
  local words = {}
  for i = 1, count do words[i] = ARGV[next_word + i] end
  next_word = next_word + count
  return words
end

local function take(word)
  local not_after_us, longest_us, count, has_lease, floor_key, lease_key = unpacked('>ddHBHH', word, 2)
  local words = has_lease == 1 and words_of_lease($LEASE_WORDS)
  if lease_us > not_after_us then
    answer[#answer + 1] = '\0'
    return
  end
  longest_us = count == 1 and min(longest_us, $LONGEST_WAIT_US) or 0
  local charged, passes = {}, true
  for i = 1, count do
    local k, asked, cost, least = unpacked('>HHdd', word, 5 + 20 * i)
    asked = quotas[asked]
    local level, given, quota = state(k, asked)
    least = max(min(least, cost), 1)
    local units, wait_us, retry_us = 0, 0, -1
    if least <= quota[3] then
      units = max(min(cost, quota[3], floor(max(quota[5] - level, 0) / quota[2])), least)
      wait_us = wait_for(level, units, quota)
      retry_us = wait_us
      if wait_us > longest_us then units = 0 end
    end
    passes = passes and units > 0
    charged[i] = { k, level, given, quota, units, wait_us, retry_us, asked, least }
  end
  if too_new then return end
  local result
  if passes and words then
    result = lease({ KEYS[floor_key], KEYS[lease_key] }, words)
    if result.err then return result end
    leases[#leases + 1] = result[2]
  end
  answer[#answer + 1] = result and '\2' or '\1'
  local takes = passes and (not result or result[2][1] == $REPLY_GRANTED)
  for i = 1, count do
    local k, level, given, quota, units, wait_us, retry_us, asked, least = unpack(charged[i])
    if passes then
      level = wait_us > 0 and quota[5] + wait_us * quota[1] or level + units * quota[2]
      if takes then keep(k, level, given, quota) end
      put(units, wait_us, 0, level, given, quota, asked)
    else
      if retry_us >= 0 then retry_us = wait_for(level, least, quota) end
      put(0, 0, retry_us, level, given, quota, asked)
    end
  end
end

local function settle(word)
  local k, q, s, not_after_us, charged, actual, until_us, full, part, of_units, given_then, ahead =
    unpacked('>HHHddddddddB', word, 2)
  if lease_us > not_after_us then
    answer[#answer + 1] = '\0'
    return
  end
  local told = call('GET', KEYS[s])
  if not told then
    local level, given, quota = state(k, quotas[q])
    if too_new then return end
    local units = quota[1]
    told = 'k'
    if actual > charged then
      keep(k, min(level + (actual - charged) * quota[2], quota[6]), given, quota)
      told = 'c' .. string.format('%.0f', actual - charged)
    elseif actual < charged then
      local may = level <= quota[5]
      local usage = usages[k]
      if ahead == 1 then may = usage and usage[1] == full and usage[2] == part and usage[4] == given_then end
      local ahead_us, not_back = full - wall_us - max(given - given_then, 0), 0
      if ahead_us >= 0 then
        not_back = min(ahead_us, floor(quota[6] / units)) * units + (of_units == units and part or 0)
      end
      local back = min((charged - actual) * quota[2], level, not_back)
      given = given + ceil(back / units)
      if wall_us <= until_us and may and back > 0 and given <= $NEVER then
        keep(k, level - back, given, quota)
        told = 'b' .. string.format('%.0f', floor(back / quota[2]))
      end
    end
    call('SET', KEYS[s], told, 'PXAT', string.format('%.0f', ceil(min(not_after_us + $CLOSED_SLACK_US, $NEVER) / 1000)))
  end
  answer[#answer + 1] = sub(told, 1, 1) .. pack('>d', tonumber(sub(told, 2)) or 0)
end

local failed
while not failed do
  next_word = next_word + 1
  local word = ARGV[next_word]
  if not word then break end
  local op = byte(word)
  if op == 116 then
    failed = take(word)
  elseif op == 115 then
    settle(word)
  else
    local k, asked, cost = unpacked('>HHd', word, 2)
    asked = quotas[asked]
    local level, given, quota = state(k, asked)
    put(0, 0, cost > quota[3] and -1 or wait_for(level, cost, quota), level, given, quota, asked)
  end
  failed = failed or too_new
end

for k = 1, #KEYS do
  if changed[k] then
    local usage = usages[k]
    local full, part, units, given, quota = unpack(usage)
    local value
    if given > 0 or quota[4] > 0 then
      value = 'f' .. pack('>I7I3I3I7I7I7I7', full, part, units, given, quota[2], quota[3], quota[4])
    elseif part > 0 then
      value = 'p' .. pack(units < 65536 and '>I7I2I2' or '>I7I3I3', full, part, units)
    else
      value = string.format('%.0f', full)
    end
    call('SET', KEYS[k], value, 'PXAT', string.format('%.0f', ceil(keep_until(usage) / 1000)))
  end
end
if failed then return failed end
local text = table.concat(answer)
if #leases == 0 then return text end
return { text, unpack(leases) }
