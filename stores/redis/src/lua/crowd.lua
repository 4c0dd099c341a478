-- Crowded resources: the protocol of leases.lua once more, function by function, over keys that are ordered as its
-- questions are. So a call costs what it changes, not what stands there. Made only in a script that meets a crowd.
--
-- The resource's own key has $CROWD and the head: what is counted, taken and in force. What follows is its parts:
--   e  a hash: the entries by request, each behind 16 digits of its place in line; behind a `!` the requests that ended,
--      with their place and their time; behind a `#` how many announce a capacity that is not in force
--   h, x  the holders, by place and by expiry
--   f, p, m  the queue by place, in three by when it was heard from: lately, still live, not in turn (or dormant)
--   t, n  the queue by when it was heard from (without the dormant), and by its deadline
--   c  the requests that ended, by when they are forgotten
--   s  the announcements that are not in force, the best one last
-- Who stands in f, p and m is judged when the time may have changed it: from JUDGED_US to before DUE_US nothing changes
-- by itself. SETTLED says that a hand-over would find nobody to install.
local function crowds()
  local call = redis.call
  local PARTS = { 'e', 'h', 'x', 'f', 'p', 'm', 't', 'n', 'c', 's' }
  local COUNT = { f = $FRESH, p = $PALE, m = $MUTE }

  local function part(crowd, letter)
    local key = crowd[letter]
    if not key then
      key = crowd.left .. letter .. crowd.right
      crowd[letter] = key
    end
    return key
  end

  -- All of a resource's keys stand behind the same hash tag.
  local function of(key, head)
    local tag_end = string.find(key, '}', 1, true)
    return { head = head, left = string.sub(key, 1, tag_end) .. ':c', right = string.sub(key, tag_end + 3) }
  end

  local function all_parts(crowd)
    local keys = {}
    for i, letter in ipairs(PARTS) do keys[i] = part(crowd, letter) end
    return keys
  end

  local function dissolve(crowd)
    call('DEL', unpack(all_parts(crowd)))
  end

  local function place_of(number)
    return string.format('%016.0f', number)
  end

  local function next_place(head)
    local place = head[$NEXT]
    head[$NEXT] = place + 1
    return place_of(place)
  end

  local function read(crowd, rid)
    local bytes = call('HGET', part(crowd, 'e'), rid)
    if bytes then return cmsgpack.unpack(string.sub(bytes, 17)), string.sub(bytes, 1, 16) end
    -- A member without its entry: a part was lost, which the next look at the parts will find.
    crowd.head[$DUE_US] = 0
  end

  local function write(crowd, entry, place)
    call('HSET', part(crowd, 'e'), entry[$RID], place .. cmsgpack.pack(entry))
  end

  local function due(head, at_us)
    if at_us < head[$DUE_US] then head[$DUE_US] = at_us end
  end

  local function keep(crowd, until_us)
    local head = crowd.head
    if until_us > head[$KEPT_US] then
      -- Further than needed, so that the parts are not told with every call.
      head[$KEPT_US] = until_us + $KEEP_AHEAD_US
      crowd.grown = true
    end
  end

  -- A part that was empty was gone, and its expiry with it.
  local function count(crowd, field, by)
    local head = crowd.head
    if head[field] == 0 then crowd.grown = true end
    head[field] = head[field] + by
  end

  local function announcement(size, revision)
    return string.format('%016.0f%010.0f', revision, 4294967295 - size)
  end

  local function speak(crowd, entry)
    local head = crowd.head
    local size, revision = entry[$CAPACITY], entry[$REVISION]
    local in_force, since = head[$SIZE], head[$SIZE_REVISION]
    if head[$SPEAKERS] == 0 then
      head[$SIZE], head[$SIZE_REVISION], head[$SPEAKERS], head[$SETTLED] = size, revision, 1, 0
    elseif size == in_force and revision == since then
      head[$SPEAKERS] = head[$SPEAKERS] + 1
    else
      local best, best_revision = better(in_force, since, size, revision)
      local aside, speakers = announcement(size, revision), 1
      if best == size and best_revision == revision then
        aside, speakers = announcement(in_force, since), head[$SPEAKERS]
        head[$SIZE], head[$SIZE_REVISION], head[$SPEAKERS], head[$SETTLED] = size, revision, 1, 0
      end
      local told = tonumber(call('HGET', part(crowd, 'e'), '#' .. aside) or 0)
      call('HSET', part(crowd, 'e'), '#' .. aside, told + speakers)
      if told == 0 then
        call('ZADD', part(crowd, 's'), 0, aside)
        crowd.grown = true
      end
    end
  end

  local function fall_silent(crowd, entry)
    local head = crowd.head
    local size, revision = entry[$CAPACITY], entry[$REVISION]
    local of_aside
    if size == head[$SIZE] and revision == head[$SIZE_REVISION] then
      head[$SPEAKERS] = head[$SPEAKERS] - 1
      if head[$SPEAKERS] > 0 then return end
      head[$SETTLED] = 0
      of_aside = call('ZRANGE', part(crowd, 's'), 0, 0, 'REV')[1]
      if not of_aside then return end
      head[$SIZE_REVISION] = tonumber(string.sub(of_aside, 1, 16))
      head[$SIZE] = 4294967295 - tonumber(string.sub(of_aside, 17))
      head[$SPEAKERS] = tonumber(call('HGET', part(crowd, 'e'), '#' .. of_aside) or 0)
    else
      of_aside = announcement(size, revision)
      local left = tonumber(call('HGET', part(crowd, 'e'), '#' .. of_aside) or 0) - 1
      if left > 0 then
        call('HSET', part(crowd, 'e'), '#' .. of_aside, left)
        return
      end
    end
    call('HDEL', part(crowd, 'e'), '#' .. of_aside)
    call('ZREM', part(crowd, 's'), of_aside)
  end

  local function take(head, weight, by)
    if weight == ALL then
      head[$WHOLE] = head[$WHOLE] + by
    else
      head[$UNITS] = head[$UNITS] + by * weight
    end
    head[$SETTLED] = 0
  end

  local function hold(crowd, entry, place)
    local rid, head = entry[$RID], crowd.head
    call('ZADD', part(crowd, 'h'), place, rid)
    call('ZADD', part(crowd, 'x'), digits(entry[$EXPIRES_US]), rid)
    count(crowd, $HOLDERS, 1)
    take(head, entry[$WEIGHT], 1)
    speak(crowd, entry)
    due(head, entry[$EXPIRES_US])
    keep(crowd, math.max(entry[$EXPIRES_US], entry[$NOT_AFTER_US]))
  end

  local function unhold(crowd, entry)
    call('ZREM', part(crowd, 'h'), entry[$RID])
    call('ZREM', part(crowd, 'x'), entry[$RID])
    count(crowd, $HOLDERS, -1)
    take(crowd.head, entry[$WEIGHT], -1)
    fall_silent(crowd, entry)
  end

  local function queue_at(heard_us, now_us)
    if now_us - heard_us <= $FRESH_US then return 'f' end
    if now_us - heard_us <= $LIVENESS_US then return 'p' end
    return 'm'
  end

  local function queue_of(crowd, entry)
    if entry[$PHASE] ~= $WAITING then return 'm' end
    return queue_at(entry[$HEARD_US], crowd.head[$JUDGED_US])
  end

  local function line_up(crowd, entry, place, queue)
    call('ZADD', part(crowd, queue), place, entry[$RID])
    count(crowd, COUNT[queue], 1)
    if queue ~= 'm' then speak(crowd, entry) end
  end

  local function step_out(crowd, entry, queue)
    call('ZREM', part(crowd, queue), entry[$RID])
    count(crowd, COUNT[queue], -1)
    crowd.head[$SETTLED] = 0
    if queue ~= 'm' then fall_silent(crowd, entry) end
  end

  local function heard(crowd, entry)
    call('ZADD', part(crowd, 't'), digits(entry[$HEARD_US]), entry[$RID])
  end

  local function stand(crowd, entry, place)
    local head, queue = crowd.head, queue_of(crowd, entry)
    call('ZADD', part(crowd, 'n'), digits(entry[$NOT_AFTER_US]), entry[$RID])
    due(head, entry[$NOT_AFTER_US] + 1)
    keep(crowd, entry[$NOT_AFTER_US])
    if entry[$PHASE] == $WAITING then heard(crowd, entry) end
    if queue == 'f' then due(head, entry[$HEARD_US] + $FRESH_US + 1) end
    if queue == 'p' then due(head, entry[$HEARD_US] + $LIVENESS_US + 1) end
    line_up(crowd, entry, place, queue)
  end

  local function leave(crowd, entry, queue)
    call('ZREM', part(crowd, 'n'), entry[$RID])
    call('ZREM', part(crowd, 't'), entry[$RID])
    step_out(crowd, entry, queue)
  end

  local function waiters(head)
    return head[$FRESH] + head[$PALE] + head[$MUTE]
  end

  local function is_crowd_contended(head)
    return head[$FRESH] + head[$PALE] > 0
  end

  local function fits(head, weight, size)
    return leaves({ units = head[$UNITS], whole = head[$WHOLE] }, weight, size)
  end

  -- Whether there is anybody who would fit.
  local function has_room(head)
    return head[$WHOLE] == 0 and (head[$UNITS] == 0 or head[$UNITS] < head[$SIZE])
  end

  -- Whether all that was counted is there: a server that evicts keys may have taken a part.
  local function is_whole(crowd)
    local head, standing = crowd.head, waiters(crowd.head)
    local function has(letter, members)
      return call('ZCARD', part(crowd, letter)) == members
    end
    return has('h', head[$HOLDERS]) and has('x', head[$HOLDERS]) and has('c', head[$ENDED]) and has('n', standing)
      and has('f', head[$FRESH]) and has('p', head[$PALE]) and has('m', head[$MUTE])
      and call('ZCARD', part(crowd, 't')) >= head[$FRESH] + head[$PALE]
      and call('HLEN', part(crowd, 'e'))
        == head[$HOLDERS] + standing + head[$ENDED] + call('ZCARD', part(crowd, 's'))
  end

  local function lowest(crowd, letter, from)
    local found = call('ZRANGE', part(crowd, letter), from, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
    return tonumber(found[2]) or $NEVER
  end

  local function expire_ended(crowd)
    local head = crowd.head
    if head[$ENDED] == 0 then return end
    for _, rid in ipairs(call('ZRANGE', part(crowd, 'c'), '-inf', digits(lease_us), 'BYSCORE')) do
      call('ZREM', part(crowd, 'c'), rid)
      call('HDEL', part(crowd, 'e'), '!' .. rid)
      head[$ENDED] = head[$ENDED] - 1
    end
  end

  local function expire_entries(crowd)
    local head = crowd.head
    if head[$HOLDERS] > 0 then
      for _, rid in ipairs(call('ZRANGE', part(crowd, 'x'), '-inf', digits(lease_us), 'BYSCORE')) do
        local entry, place = read(crowd, rid)
        if entry then
          unhold(crowd, entry)
          if entry[$PHASE] == $GRANTED and entry[$NOT_AFTER_US] >= lease_us then
            become_dormant(entry)
            write(crowd, entry, place)
            stand(crowd, entry, place)
          else
            call('HDEL', part(crowd, 'e'), rid)
          end
        end
      end
    end
    if waiters(head) > 0 then
      for _, rid in ipairs(call('ZRANGE', part(crowd, 'n'), '-inf', '(' .. digits(lease_us), 'BYSCORE')) do
        local entry = read(crowd, rid)
        if entry then
          leave(crowd, entry, queue_of(crowd, entry))
          call('HDEL', part(crowd, 'e'), rid)
        end
      end
    end
  end

  -- Moves those between the three queues whose silence has grown (or shrunk: the clock may go back) beyond a bound.
  local function judge(crowd)
    local head = crowd.head
    local before_us = head[$JUDGED_US]
    head[$JUDGED_US] = lease_us
    if before_us == lease_us or waiters(head) == 0 then return end
    local low, high, moved = math.min(before_us, lease_us), math.max(before_us, lease_us), {}
    for _, span in ipairs({ $FRESH_US, $LIVENESS_US }) do
      local crossed = call('ZRANGE', part(crowd, 't'), digits(low - span), '(' .. digits(high - span), 'BYSCORE',
        'WITHSCORES')
      for i = 1, #crossed, 2 do
        local rid, heard_us = crossed[i], tonumber(crossed[i + 1])
        if not moved[rid] then
          moved[rid] = true
          local entry, place = read(crowd, rid)
          if entry then
            step_out(crowd, entry, queue_at(heard_us, before_us))
            line_up(crowd, entry, place, queue_at(heard_us, lease_us))
          end
        end
      end
    end
  end

  -- Lets time take effect. False if a part is gone: nothing of the crowd can be believed any more.
  local function let_time_pass(crowd)
    local head = crowd.head
    if head[$JUDGED_US] <= lease_us and lease_us < head[$DUE_US] then return true end
    if not is_whole(crowd) then return false end
    expire_ended(crowd)
    expire_entries(crowd)
    judge(crowd)
    local due_us = $NEVER
    if head[$ENDED] > 0 then due_us = math.min(due_us, lowest(crowd, 'c', '-inf')) end
    if head[$HOLDERS] > 0 then due_us = math.min(due_us, lowest(crowd, 'x', '-inf')) end
    if waiters(head) > 0 then due_us = math.min(due_us, lowest(crowd, 'n', '-inf') + 1) end
    if head[$FRESH] > 0 then
      due_us = math.min(due_us, lowest(crowd, 't', digits(lease_us - $FRESH_US)) + $FRESH_US + 1)
    end
    if head[$PALE] > 0 then
      due_us = math.min(due_us, lowest(crowd, 't', digits(lease_us - $LIVENESS_US)) + $LIVENESS_US + 1)
    end
    head[$DUE_US] = due_us
    return true
  end

  -- The first live waiter behind `from`.
  local function next_in_turn(crowd, from)
    local head, rid, place = crowd.head, nil, nil
    for _, queue in ipairs({ 'f', 'p' }) do
      if head[COUNT[queue]] > 0 then
        local first = call('ZRANGE', part(crowd, queue), from, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
        local its = tonumber(first[2])
        if its and (not place or its < place) then rid, place = first[1], its end
      end
    end
    return rid, place
  end

  -- Answers those who were installed, by request.
  local function hand_over_crowd(crowd)
    local head, installed = crowd.head, {}
    if head[$SETTLED] == 1 then return installed end
    local size, from = head[$SIZE], '-inf'
    while is_crowd_contended(head) and has_room(head) do
      local rid, at_place = next_in_turn(crowd, from)
      local entry, place
      if rid then entry, place = read(crowd, rid) end
      if not entry then break end
      local weight = entry[$WEIGHT]
      if weight <= size then
        if not fits(head, weight, size) then break end
        local queue = queue_of(crowd, entry)
        install(head, entry)
        keep(crowd, lease_us + head[$LAST] - wall_us)
        hold(crowd, entry, place)
        leave(crowd, entry, queue)
        write(crowd, entry, place)
        installed[rid] = entry
      end
      from = '(' .. digits(at_place)
    end
    head[$SETTLED] = 1
    return installed
  end

  local function answer_holder(crowd, entry)
    return granted(entry, is_crowd_contended(crowd.head))
  end

  -- Whoever is answered this was heard from just now.
  local function answer_waiter(crowd, entry, place)
    local head = crowd.head
    local fresher = call('ZRANK', part(crowd, 'f'), entry[$RID]) or 0
    local ahead, rank, expiry = fresher, fresher + 1, nil
    if head[$PALE] > 0 then ahead = ahead + call('ZCOUNT', part(crowd, 'p'), '-inf', '(' .. place) end
    if head[$MUTE] > 0 then ahead = ahead + call('ZCOUNT', part(crowd, 'm'), '-inf', '(' .. place) end
    if rank <= 3 and head[$HOLDERS] > 0 then expiry = lowest(crowd, 'x', '-inf') end
    return queued(ahead, rank, expiry)
  end

  local function busy_with(crowd)
    local head = crowd.head
    local first, first_place
    for _, letter in ipairs(head[$HOLDERS] > 0 and { 'h' } or { 'f', 'p', 'm' }) do
      local found = call('ZRANGE', part(crowd, letter), 0, 0, 'WITHSCORES')
      local place = tonumber(found[2])
      if place and (not first_place or place < first_place) then first, first_place = found[1], place end
    end
    local entry = first and read(crowd, first)
    return busy({ entry })
  end

  local function ended_at(crowd, rid)
    if crowd.head[$ENDED] == 0 then return end
    local bytes = call('HGET', part(crowd, 'e'), '!' .. rid)
    if bytes then return tonumber(string.sub(bytes, 17)), string.sub(bytes, 1, 16) end
  end

  local function find(crowd, rid)
    local bytes = call('HGET', part(crowd, 'e'), rid)
    if bytes then return cmsgpack.unpack(string.sub(bytes, 17)), string.sub(bytes, 1, 16) end
  end

  local function ask_again(crowd, entry, place, capacity, want, seen)
    if holds(entry) then return answer_holder(crowd, entry) end
    local rid, before = entry[$RID], queue_of(crowd, entry)
    hear(entry, want, seen)
    if entry[$WEIGHT] > capacity then
      leave(crowd, entry, before)
      call('HDEL', part(crowd, 'e'), rid)
      hand_over_crowd(crowd)
      return { $REPLY_TOO_HEAVY, capacity }
    end
    heard(crowd, entry)
    due(crowd.head, lease_us + $FRESH_US + 1)
    if before ~= 'f' then
      step_out(crowd, entry, before)
      line_up(crowd, entry, place, 'f')
    end
    write(crowd, entry, place)
    local installed = hand_over_crowd(crowd)[rid]
    if installed then return answer_holder(crowd, installed) end
    return answer_waiter(crowd, entry, place)
  end

  local function acquire_of(crowd)
    local head = crowd.head
    local rid, not_after_us, ttl_us, want, seen = word(), number(), number(), number(), number()
    local wait, weight, size, revision, label = word() == '1', described(word())
    if lease_us > not_after_us then return { $REPLY_STALE } end
    if ended_at(crowd, rid) then return { $REPLY_CLOSED } end
    local capacity = size
    if head[$SPEAKERS] > 0 then capacity = better(head[$SIZE], head[$SIZE_REVISION], size, revision) end
    local known, known_place = find(crowd, rid)
    if known then return ask_again(crowd, known, known_place, capacity, want, seen) end
    if weight > capacity then return { $REPLY_TOO_HEAVY, capacity } end
    local waited_for = is_crowd_contended(head)
    local free = not waited_for and fits(head, weight, capacity)
    if not free and not wait then return busy_with(crowd) end
    local entry = newcomer(rid, weight, ttl_us, want, seen, not_after_us, label, size, revision)
    local place = next_place(head)
    if free then
      hold_now(head, entry)
      keep(crowd, lease_us + head[$LAST] - wall_us)
      hold(crowd, entry, place)
    else
      if not waited_for and head[$HOLDERS] > 0 then
        for _, other in ipairs(call('ZRANGE', part(crowd, 'h'), 0, -1)) do
          notices[#notices + 1] = { '$NOTICE_CONTENDED', other }
        end
      end
      stand(crowd, entry, place)
      -- Those before it may all be too heavy, and so in nobody's way.
      if waited_for and has_room(head) then head[$SETTLED] = 0 end
    end
    write(crowd, entry, place)
    if free then return answer_holder(crowd, entry) end
    return answer_waiter(crowd, entry, place)
  end

  local function holder_of(crowd, rid)
    local entry, place = find(crowd, rid)
    if entry and holds(entry) then return entry, place end
  end

  local function renew_of(crowd)
    local rid, not_after_us, renewal = word(), number(), number()
    if lease_us > not_after_us then return { $REPLY_STALE } end
    local entry, place = holder_of(crowd, rid)
    if not entry then return { $REPLY_NOT_HELD } end
    if extend(entry, renewal) then
      call('ZADD', part(crowd, 'x'), digits(entry[$EXPIRES_US]), rid)
      due(crowd.head, entry[$EXPIRES_US])
      keep(crowd, entry[$EXPIRES_US])
      write(crowd, entry, place)
    end
    return renewed(entry, is_crowd_contended(crowd.head))
  end

  local function reweigh_of(crowd)
    local rid, not_after_us, change, weight = word(), number(), number(), number()
    if lease_us > not_after_us then return { $REPLY_STALE } end
    local head = crowd.head
    local entry, place = holder_of(crowd, rid)
    if not entry then return { $REPLY_NOT_HELD } end
    if change > entry[$WEIGHED] then
      entry[$WEIGHED] = change
      local had = entry[$WEIGHT]
      take(head, had, -1)
      if not grows(had, weight) or (not is_crowd_contended(head) and fits(head, weight, head[$SIZE])) then
        entry[$WEIGHT] = weight
      end
      take(head, entry[$WEIGHT], 1)
      write(crowd, entry, place)
      hand_over_crowd(crowd)
    end
    return { $REPLY_WEIGHED, entry[$WEIGHT] }
  end

  local function revoke_of(crowd)
    local rid, not_after_us, grace_us, reason = word(), number(), number(), word()
    if lease_us > not_after_us then return { $REPLY_STALE } end
    local entry, place = holder_of(crowd, rid)
    if not entry then return { $REPLY_NOT_HELD } end
    if tell_to_go(entry, grace_us, reason) then write(crowd, entry, place) end
    return { $REPLY_REVOKED }
  end

  local function end_request(crowd, rid, until_us, place)
    call('ZADD', part(crowd, 'c'), digits(until_us), rid)
    call('HSET', part(crowd, 'e'), '!' .. rid, place .. digits(until_us))
    due(crowd.head, until_us)
    keep(crowd, until_us)
  end

  local function close_in(crowd, rid, until_us)
    if until_us <= lease_us then return end
    local known_until, place = ended_at(crowd, rid)
    if not place then
      place = next_place(crowd.head)
      count(crowd, $ENDED, 1)
    end
    end_request(crowd, rid, math.max(known_until or 0, until_us), place)
  end

  local function release_of(crowd)
    local rid, not_after_us, used, close_until_us = word(), number(), number(), number()
    if lease_us > not_after_us then return { $REPLY_STALE } end
    local was = $WAS_ABSENT
    local entry = find(crowd, rid)
    if entry then
      call('HDEL', part(crowd, 'e'), rid)
      if holds(entry) then
        was = $WAS_HELD
        unhold(crowd, entry)
        give_back(crowd.head, entry, used)
      else
        was = $WAS_QUEUED
        leave(crowd, entry, queue_of(crowd, entry))
      end
    end
    close_in(crowd, rid, close_until_us)
    hand_over_crowd(crowd)
    return { $REPLY_RELEASED, was }
  end

  local OPERATIONS = {
    ['$OP_ACQUIRE'] = acquire_of, ['$OP_RENEW'] = renew_of, ['$OP_REWEIGH'] = reweigh_of,
    ['$OP_REVOKE'] = revoke_of, ['$OP_RELEASE'] = release_of,
  }

  -- From a record that has grown: every call's expiry has taken effect in it.
  local function gather(key, record)
    local head = { record[$LAST], record[$EPOCH], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, $NEVER, lease_us, 0, 0 }
    local crowd = of(key, head)
    dissolve(crowd)
    for _, entry in ipairs(record[$ENTRIES]) do
      local place = next_place(head)
      if holds(entry) then hold(crowd, entry, place) else stand(crowd, entry, place) end
      write(crowd, entry, place)
    end
    for _, ended in ipairs(record[$CLOSED]) do
      count(crowd, $ENDED, 1)
      end_request(crowd, ended[$RID], ended[$UNTIL_US], next_place(head))
    end
    keep(crowd, lease_us + head[$LAST] - wall_us)
    return crowd
  end

  -- Back to a record.
  local function disperse(crowd)
    local entries, ended = {}, {}
    local fields = call('HGETALL', part(crowd, 'e'))
    for i = 1, #fields, 2 do
      local field, place, rest = fields[i], string.sub(fields[i + 1], 1, 16), string.sub(fields[i + 1], 17)
      local kind = string.sub(field, 1, 1)
      if kind == '!' then
        ended[#ended + 1] = { place, { string.sub(field, 2), tonumber(rest) } }
      elseif kind ~= '#' then
        entries[#entries + 1] = { place, cmsgpack.unpack(rest) }
      end
    end
    local function in_line(items)
      table.sort(items, function(a, b) return a[1] < b[1] end)
      for i, item in ipairs(items) do items[i] = item[2] end
      return items
    end
    dissolve(crowd)
    return { crowd.head[$LAST], crowd.head[$EPOCH], in_line(entries), in_line(ended) }
  end

  local function size_of(crowd)
    local head = crowd.head
    return head[$HOLDERS] + waiters(head) + head[$ENDED]
  end

  return {
    of = of,
    gather = gather,
    disperse = disperse,
    dissolve = dissolve,
    let_time_pass = let_time_pass,
    size_of = size_of,
    inspect = function(crowd)
      return { $REPLY_INSPECTED, crowd.head[$LAST], crowd.head[$EPOCH], call('HGETALL', part(crowd, 'e')) }
    end,
    run = function(crowd, op)
      hand_over_crowd(crowd)
      return OPERATIONS[op](crowd)
    end,
    save = function(key, crowd, stored)
      local head = crowd.head
      local bytes = '$CROWD' .. cmsgpack.pack(head)
      if crowd.grown then
        local keep_ms = digits(math.ceil(math.max(head[$KEPT_US] - lease_us, 0) / 1000) + $SLACK_MS)
        call('SET', key, bytes, 'PX', keep_ms)
        for _, name in ipairs(all_parts(crowd)) do call('PEXPIRE', name, keep_ms) end
      elseif bytes ~= stored then
        call('SET', key, bytes, 'KEEPTTL')
      end
    end,
  }
end
