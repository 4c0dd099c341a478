-- Raises a bucket's floor. KEYS[1] is the floor; ARGV, after the clock's `at` words: the fence it is to reach.

local fence = tonumber(ARGV[at + 1])
local stored = tonumber(redis.call('GET', KEYS[1]) or 0)
redis.call('SET', KEYS[1], string.format('%.0f', math.max(fence, stored)), 'PX', $KEEP_NAMESPACE_MS)
return { lease_us }
