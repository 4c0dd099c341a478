-- Refuses an old fence. KEYS[1] keeps the highest one that wrote; ARGV[1] is the writer's; ARGV[2] says how long it is
-- remembered, in ms. What follows runs only if no greater fence wrote before; else that one is the answer.
-- Numbers are formatted by %.0f: `..` and tostring would turn 9007199254740991 into 9.007199254741e+15.
local fence, keep_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
if not fence or fence < 0 or fence > 9007199254740991 or fence % 1 ~= 0 then
  return redis.error_reply('FENCE ARGV[1] is no fence: give a whole number from 0 to 9007199254740991')
end
if not keep_ms or keep_ms < 1 or keep_ms > 9007199254740 or keep_ms % 1 ~= 0 then
  return redis.error_reply('FENCE ARGV[2] is no duration: give how long the fence is remembered, in whole ms')
end
local stored = tonumber(redis.call('GET', KEYS[1]) or 0)
if not stored then
  return redis.error_reply('FENCE KEYS[1] holds no fence: give a key of its own, in the hash tag of the key it guards')
end
if stored > fence then
  return string.format('%.0f', stored)
end
local fence_text = string.format('%.0f', fence)
redis.call('SET', KEYS[1], fence_text, 'PX', string.format('%.0f', keep_ms))
