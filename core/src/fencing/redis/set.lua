-- KEYS[2] is set to ARGV[3] for ARGV[4] ms.
local ttl_ms = tonumber(ARGV[4])
if not ttl_ms or ttl_ms < 1 or ttl_ms > 9007199254740 or ttl_ms % 1 ~= 0 then
  return redis.error_reply('FENCE ARGV[4] is no duration: give the expiry of the value, in whole ms')
end
if ttl_ms > keep_ms then
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ttl_ms))
end
redis.call('SET', KEYS[2], ARGV[3], 'PX', string.format('%.0f', ttl_ms))
return fence_text
