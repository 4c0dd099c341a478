-- Behind fast.lua: the calls of one acquire, one release or some renewals, all done or none. What could not be done goes
-- on as the full script's own call, whose KEYS, ARGV and `at` these are from here on.
if not failed then return answer end
local full_keys, full_words
do
  -- All keys of a bucket begin alike.
  local bucket = string.match(KEYS[1], '^{.-}:')
  full_keys, full_words = { bucket .. 'f' }, { bucket .. 'e:' }
  local function put(...)
    for _, word in ipairs({ ... }) do full_words[#full_words + 1] = word end
  end
  local function hex(char)
    return string.format('%02x', byte(char))
  end
  for i = 1, calls do
    local word = ARGV[words + i]
    local place = acquires > 0 and $PACKED_RID - $PACKED_OWN or 0
    local node = string.gsub(string.sub(word, place + 1, place + 16), '.', hex)
    local seq = unpacked('>d', word, place + 17)
    local rid = node .. string.format('.%.0f', seq)
    full_keys[i + 1] = KEYS[acquires > 0 and calls + i or i]
    if acquires > 0 then
      local text = string.sub(word, $PACKED_TEXT - $PACKED_OWN + 1)
      put('$OP_ACQUIRE', rid, not_after_us, ttl_us, want, seen, waits == 1 and '1' or '0', '0 ' .. text)
    else
      local number = unpacked('>d', head, numbers + 8 * (i - 1))
      if releases > 0 then
        put('$OP_RELEASE', rid, not_after_us, number, 0)
      else
        put('$OP_RENEW', rid, not_after_us, number)
      end
    end
  end
  at = 0
end
local KEYS, ARGV = full_keys, full_words
