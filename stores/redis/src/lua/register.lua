-- One write, as `protocol::write` says. KEYS[1] is the register; ARGV, after the clock's `at` words: what is expected
-- ($EXPECT_ANY, $EXPECT_ABSENT or a version), the fence or an empty string, the TTL, the value.

local expect, fence = ARGV[at + 1], tonumber(ARGV[at + 2])
local ttl_us, value = tonumber(ARGV[at + 3]), ARGV[at + 4]

local bytes = redis.call('GET', KEYS[1])
local stored, live
if bytes then
  local format = string.sub(bytes, 1, 1)
  if format ~= '$REGISTER_FORMAT' then
    return redis.error_reply('$TOO_NEW ' .. (string.byte(format) or 0))
  end
  stored = cmsgpack.unpack(string.sub(bytes, 2))
  if stored[$REGISTER_EXPIRES_US] > wall_us then live = stored end
end

local highest = live and live[$REGISTER_FENCE] or 0
if fence and fence < highest then
  return { lease_us, $REPLY_FENCED, highest }
end
local expected = expect == '$EXPECT_ANY'
if expect == '$EXPECT_ABSENT' then
  expected = not live
elseif not expected then
  expected = live and live[$REGISTER_VERSION] == tonumber(expect)
end
if not expected then
  return { lease_us, $REPLY_CONFLICT, live and bytes or false }
end
-- Also above that of an expired one: the clock may have stepped back.
local version = math.max(wall_us, (stored and stored[$REGISTER_VERSION] or 0) + 1)
local register = { version, fence or highest, wall_us + ttl_us, value }
local keep_ms = string.format('%.0f', math.ceil(ttl_us / 1000) + $SLACK_MS)
redis.call('SET', KEYS[1], '$REGISTER_FORMAT' .. cmsgpack.pack(register), 'PX', keep_ms)
return { lease_us, $REPLY_WRITTEN, version }
