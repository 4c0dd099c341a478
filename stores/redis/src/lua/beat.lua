-- One heartbeat: renews a node, forgets those whose time is over, lists the rest.
-- KEYS: the expiries (a sorted set), what nodes say of themselves (a hash), the namespace's own (a hash).
-- ARGV, after the clock's `at` words: the node, its TTL, what it says, an incarnation in case there is none.

local node, ttl_us = ARGV[at + 1], tonumber(ARGV[at + 2])
local format = redis.call('HGET', KEYS[3], 'format')
if format and tonumber(format) ~= $META_FORMAT then
  return redis.error_reply('$TOO_NEW ' .. string.byte(format))
end

local function text(us)
  return string.format('%.0f', us)
end

for _, gone in ipairs(redis.call('ZRANGE', KEYS[1], '-inf', text(lease_us), 'BYSCORE')) do
  redis.call('ZREM', KEYS[1], gone)
  redis.call('HDEL', KEYS[2], gone)
end
redis.call('ZADD', KEYS[1], text(lease_us + ttl_us), node)
redis.call('HSET', KEYS[2], node, ARGV[at + 3])
redis.call('HSETNX', KEYS[3], 'format', '$META_FORMAT')
redis.call('HSETNX', KEYS[3], 'incarnation', ARGV[at + 4])
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, $KEEP_NAMESPACE_MS)
end
return { lease_us, redis.call('HGET', KEYS[3], 'incarnation'), redis.call('HGETALL', KEYS[2]) }
