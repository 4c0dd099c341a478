-- Crowded resources: the protocol of leases.lua once more, over keys that are ordered as its questions are. So a call
-- costs what it changes, not what stands there.
--
-- The resource's own key has $CROWD and the head: what is counted, taken and in force. The rest is in its parts:
--   e  a hash: the entries by request, each behind 16 digits of its place in line; behind a `!` the requests that ended,
--      with their place and their time; behind a `#` how many announce a capacity that is not in force
--   h, x  the holders, by place and by expiry
--   f, p, m  the queue by place, in three by when it was heard from: lately, still live, not in turn (or dormant)
--   w  the queue by when time will change how it stands: its deadline, or when its silence moves it on in the three
--   c  the requests that ended, by when they are forgotten
--   s  the announcements that are not in force, the best one last
-- How somebody stands is judged when time may have changed it: from JUDGED_US to before DUE_US nothing changes by
-- itself. SETTLED says that a hand-over would find nobody to install.
--
-- Making a function costs more than calling it, so they are made in three steps: what every call needs; what moves
-- somebody; what is seldom needed.
local function crowds()
  local call = redis.call
  local moves_made
  local moves

  local function find(crowd, rid)
    local bytes = call('HGET', crowd.entries, rid)
    if bytes then return cmsgpack.unpack(string.sub(bytes, 17)), string.sub(bytes, 1, 16) end
  end

  local function write(crowd, entry, place)
    call('HSET', crowd.entries, entry[$RID], place .. cmsgpack.pack(entry))
  end

  local function due(crowd, at_us)
    local head = crowd.head
    if at_us < head[$DUE_US] then head[$DUE_US], crowd.moved = at_us, true end
  end

  local function keep(crowd, until_us)
    local head = crowd.head
    if until_us > head[$KEPT_US] then
      -- Further than needed, so that the parts are not told with every call.
      head[$KEPT_US] = until_us + $KEEP_AHEAD_US
      crowd.grown = true
    end
  end

  -- Notes until when it stands in this queue.
  local function watch(crowd, entry, queue)
    local until_us = entry[$NOT_AFTER_US]
    if queue == 'f' then
      until_us = math.min(until_us, entry[$HEARD_US] + $FRESH_US)
    elseif queue == 'p' then
      until_us = math.min(until_us, entry[$HEARD_US] + $LIVENESS_US)
    end
    call('ZADD', crowd.left .. 'w' .. crowd.right, digits(until_us), entry[$RID])
    due(crowd, until_us + 1)
  end

  -- Whoever is answered this was heard from just now; `ahead` of it stand so many who were, too.
  local function answer_waiter(crowd, ahead, place)
    local head, left, right = crowd.head, crowd.left, crowd.right
    local rank, expiry = ahead + 1, nil
    if head[$PALE] > 0 then ahead = ahead + call('ZCOUNT', left .. 'p' .. right, '-inf', '(' .. place) end
    if head[$MUTE] > 0 then ahead = ahead + call('ZCOUNT', left .. 'm' .. right, '-inf', '(' .. place) end
    if rank <= 3 and head[$HOLDERS] > 0 then
      expiry = tonumber(call('ZRANGE', left .. 'x' .. right, 0, 0, 'WITHSCORES')[2])
    end
    return queued(ahead, rank, expiry)
  end

  local function make_moves()
    local QUEUES = { f = $FRESH, p = $PALE, m = $MUTE }
    local seldom_made
    local seldom

    -- A part that was empty was gone, and its expiry with it.
    local function count(crowd, field, by)
      local head = crowd.head
      if head[field] == 0 then crowd.grown = true end
      head[field] = head[field] + by
    end

    local function announce(crowd, entry, by)
      local head = crowd.head
      local speakers = head[$SPEAKERS]
      if speakers > 0 and speakers + by > 0
        and entry[$CAPACITY] == head[$SIZE] and entry[$REVISION] == head[$SIZE_REVISION] then
        head[$SPEAKERS] = speakers + by
      else
        seldom().announce(crowd, entry, by)
      end
    end

    local function take(crowd, weight, by)
      local head = crowd.head
      if weight == ALL then
        head[$WHOLE] = head[$WHOLE] + by
      else
        head[$UNITS] = head[$UNITS] + by * weight
      end
      head[$SETTLED] = 0
    end

    local function hold(crowd, entry, place)
      local rid, head, left, right = entry[$RID], crowd.head, crowd.left, crowd.right
      call('ZADD', left .. 'h' .. right, place, rid)
      call('ZADD', left .. 'x' .. right, digits(entry[$EXPIRES_US]), rid)
      count(crowd, $HOLDERS, 1)
      take(crowd, entry[$WEIGHT], 1)
      announce(crowd, entry, 1)
      due(crowd, entry[$EXPIRES_US])
      keep(crowd, math.max(entry[$EXPIRES_US], entry[$NOT_AFTER_US]))
    end

    local function unhold(crowd, entry)
      local rid, left, right = entry[$RID], crowd.left, crowd.right
      call('ZREM', left .. 'h' .. right, rid)
      call('ZREM', left .. 'x' .. right, rid)
      count(crowd, $HOLDERS, -1)
      take(crowd, entry[$WEIGHT], -1)
      announce(crowd, entry, -1)
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
      call('ZADD', crowd.left .. queue .. crowd.right, place, entry[$RID])
      count(crowd, QUEUES[queue], 1)
      if queue ~= 'm' then announce(crowd, entry, 1) end
    end

    local function step_out(crowd, entry, queue)
      call('ZREM', crowd.left .. queue .. crowd.right, entry[$RID])
      count(crowd, QUEUES[queue], -1)
      crowd.head[$SETTLED] = 0
      if queue ~= 'm' then announce(crowd, entry, -1) end
    end

    local function stand(crowd, entry, place)
      local queue = queue_of(crowd, entry)
      keep(crowd, entry[$NOT_AFTER_US])
      watch(crowd, entry, queue)
      line_up(crowd, entry, place, queue)
    end

    local function leave(crowd, entry, queue)
      call('ZREM', crowd.left .. 'w' .. crowd.right, entry[$RID])
      step_out(crowd, entry, queue)
    end

    -- Whether there is anybody who would fit.
    local function has_room(head)
      return head[$WHOLE] == 0 and (head[$UNITS] == 0 or head[$UNITS] < head[$SIZE])
    end

    local function fits(head, weight, size)
      return leaves({ units = head[$UNITS], whole = head[$WHOLE] }, weight, size)
    end

    -- Answers the entry of `asker`, if it was installed.
    local function hand_over(crowd, asker)
      local head, before, asked = crowd.head, nil, nil
      while head[$FRESH] + head[$PALE] > 0 and has_room(head) do
        local rid
        if head[$PALE] == 0 and not before then
          rid = call('ZRANGE', crowd.left .. 'f' .. crowd.right, 0, 0)[1]
        else
          rid = seldom().next_in_turn(crowd, before)
        end
        if not rid then break end
        local entry, place = find(crowd, rid)
        if not entry then
          seldom().miss(crowd)
          break
        end
        if entry[$WEIGHT] <= head[$SIZE] then
          if not fits(head, entry[$WEIGHT], head[$SIZE]) then break end
          local queue = queue_of(crowd, entry)
          install(head, entry)
          keep(crowd, lease_us + head[$LAST] - wall_us)
          hold(crowd, entry, place)
          leave(crowd, entry, queue)
          write(crowd, entry, place)
          if rid == asker then asked = entry end
        else
          before = place
        end
      end
      head[$SETTLED] = 1
      return asked
    end

    local function next_place(head)
      local place = head[$NEXT]
      head[$NEXT] = place + 1
      return string.format('%016.0f', place)
    end

    -- A waiter that asks again, in this queue so far.
    local function hear_again(crowd, entry, place, queue, capacity)
      local head, rid = crowd.head, entry[$RID]
      if entry[$WEIGHT] > capacity then
        call('HDEL', crowd.entries, rid)
        leave(crowd, entry, queue)
        hand_over(crowd)
        return { $REPLY_TOO_HEAVY, capacity }
      end
      watch(crowd, entry, 'f')
      if queue ~= 'f' then
        step_out(crowd, entry, queue)
        line_up(crowd, entry, place, 'f')
      end
      write(crowd, entry, place)
      local installed = head[$SETTLED] == 0 and hand_over(crowd, rid)
      if installed then return granted(installed, head[$FRESH] + head[$PALE] > 0) end
      return answer_waiter(crowd, call('ZRANK', crowd.left .. 'f' .. crowd.right, rid) or 0, place)
    end

    local function come(crowd, entry, wait, capacity)
      local head, weight = crowd.head, entry[$WEIGHT]
      local contended = head[$FRESH] + head[$PALE] > 0
      if weight > capacity then return { $REPLY_TOO_HEAVY, capacity } end
      local free = not contended and fits(head, weight, capacity)
      if not free and not wait then return seldom().busy(crowd) end
      local place = next_place(head)
      if free then
        entry[$FIRST], entry[$END] = mint(head, entry[$WANT], entry[$SEEN])
        entry[$PHASE], entry[$GRANTED_US], entry[$EXPIRES_US] = $HELD, lease_us, lease_us + entry[$TTL_US]
        keep(crowd, lease_us + head[$LAST] - wall_us)
        hold(crowd, entry, place)
        write(crowd, entry, place)
        return granted(entry, false)
      end
      if not contended then
        for _, other in ipairs(call('ZRANGE', crowd.left .. 'h' .. crowd.right, 0, -1)) do
          notices[#notices + 1] = { '$NOTICE_CONTENDED', other }
        end
      end
      stand(crowd, entry, place)
      write(crowd, entry, place)
      -- What it announces may be more than there was for those before it, who may also all be too heavy.
      local installed = contended and has_room(head) and hand_over(crowd, entry[$RID])
      if installed then return granted(installed, head[$FRESH] + head[$PALE] > 0) end
      return answer_waiter(crowd, head[$FRESH] - 1, place)
    end

    local function release(crowd)
      local rid, not_after_us, used, close_until_us = word(), number(), number(), number()
      if lease_us > not_after_us then return { $REPLY_STALE } end
      local was = $WAS_ABSENT
      local entry = find(crowd, rid)
      if entry then
        call('HDEL', crowd.entries, rid)
        if holds(entry) then
          was = $WAS_HELD
          unhold(crowd, entry)
          local head = crowd.head
          if entry[$FIRST] <= used and used <= entry[$END] and head[$LAST] == entry[$END] then head[$LAST] = used end
        else
          was = $WAS_QUEUED
          leave(crowd, entry, queue_of(crowd, entry))
        end
      end
      if close_until_us > lease_us then seldom().close(crowd, rid, close_until_us) end
      if crowd.head[$SETTLED] == 0 then hand_over(crowd) end
      return { $REPLY_RELEASED, was }
    end

    local function reweigh(crowd, entry, place, change, text)
      local head = crowd.head
      if change > entry[$WEIGHED] then
        local weight, size, revision, other, until_us = change_of(text, entry[$RID])
        local its, absorbed = other and find(crowd, other), nil
        if its and holds(its) then
          absorbed = its[$WEIGHT]
          call('HDEL', crowd.entries, other)
          unhold(crowd, its)
          if until_us > lease_us then seldom().close(crowd, other, until_us) end
        end
        size, revision = better(entry[$CAPACITY], entry[$REVISION], size, revision)
        if size ~= entry[$CAPACITY] or revision ~= entry[$REVISION] then
          announce(crowd, entry, -1)
          entry[$CAPACITY], entry[$REVISION] = size, revision
          announce(crowd, entry, 1)
        end
        local own, grows = own_of(entry[$WEIGHT], absorbed, weight)
        take(crowd, entry[$WEIGHT], -1)
        local stays = grows and (head[$FRESH] + head[$PALE] > 0 or not fits(head, weight, head[$SIZE]))
        entry[$WEIGHT], entry[$WEIGHED] = stays and own or weight, change
        take(crowd, entry[$WEIGHT], 1)
        write(crowd, entry, place)
        hand_over(crowd)
      end
      return { $REPLY_WEIGHED, entry[$WEIGHT], head[$FRESH] + head[$PALE] > 0 and 1 or 0 }
    end

    local function make_seldom()
      local PARTS = { 'e', 'h', 'x', 'f', 'p', 'm', 'w', 'c', 's' }
      local made = {}

      local function part(crowd, letter)
        return crowd.left .. letter .. crowd.right
      end

      local function waiters(head)
        return head[$FRESH] + head[$PALE] + head[$MUTE]
      end

      function made.keys(crowd)
        local keys = {}
        for i, letter in ipairs(PARTS) do keys[i] = part(crowd, letter) end
        return keys
      end

      function made.dissolve(crowd)
        call('DEL', unpack(made.keys(crowd)))
      end

      -- A member without its entry: a part was lost, which the next look at the parts will find.
      function made.miss(crowd)
        crowd.head[$DUE_US] = 0
      end

      -- The first live waiter behind `before`.
      function made.next_in_turn(crowd, before)
        local from, rid, place = before and '(' .. before or '-inf', nil, nil
        for _, queue in ipairs({ 'f', 'p' }) do
          local first = call('ZRANGE', part(crowd, queue), from, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
          local its = tonumber(first[2])
          if its and (not place or its < place) then rid, place = first[1], its end
        end
        return rid
      end

      function made.busy(crowd)
        local rid, its
        for _, letter in ipairs(crowd.head[$HOLDERS] > 0 and { 'h' } or { 'f', 'p', 'm' }) do
          local found = call('ZRANGE', part(crowd, letter), 0, 0, 'WITHSCORES')
          local place = tonumber(found[2])
          if place and (not its or place < its) then rid, its = found[1], place end
        end
        return busy({ rid and find(crowd, rid) or nil })
      end

      -- Announcements beside the one in force.
      local function aside_of(size, revision)
        return string.format('%016.0f%010.0f', revision, 4294967295 - size)
      end

      local function told(crowd, aside)
        return tonumber(call('HGET', crowd.entries, '#' .. aside) or 0)
      end

      local function put_aside(crowd, size, revision, by)
        local aside = aside_of(size, revision)
        local speakers = told(crowd, aside)
        if speakers == 0 then
          call('ZADD', part(crowd, 's'), 0, aside)
          crowd.grown = true
        end
        if speakers + by > 0 then
          call('HSET', crowd.entries, '#' .. aside, speakers + by)
        else
          call('HDEL', crowd.entries, '#' .. aside)
          call('ZREM', part(crowd, 's'), aside)
        end
      end

      function made.announce(crowd, entry, by)
        local head, size, revision = crowd.head, entry[$CAPACITY], entry[$REVISION]
        local in_force, since = head[$SIZE], head[$SIZE_REVISION]
        if head[$SPEAKERS] == 0 then
          head[$SIZE], head[$SIZE_REVISION], head[$SPEAKERS], head[$SETTLED] = size, revision, 1, 0
        elseif size ~= in_force or revision ~= since then
          local best, best_revision = better(in_force, since, size, revision)
          if best == size and best_revision == revision then
            put_aside(crowd, in_force, since, head[$SPEAKERS])
            head[$SIZE], head[$SIZE_REVISION], head[$SPEAKERS], head[$SETTLED] = size, revision, 1, 0
          else
            put_aside(crowd, size, revision, by)
          end
        else
          -- The last that spoke for it falls silent: the next best is in force.
          head[$SPEAKERS], head[$SETTLED] = 0, 0
          local aside = call('ZRANGE', part(crowd, 's'), 0, 0, 'REV')[1]
          if aside then
            local speakers = told(crowd, aside)
            head[$SIZE_REVISION] = tonumber(string.sub(aside, 1, 16))
            head[$SIZE] = 4294967295 - tonumber(string.sub(aside, 17))
            head[$SPEAKERS] = speakers
            put_aside(crowd, head[$SIZE], head[$SIZE_REVISION], -speakers)
          end
        end
      end

      local function end_request(crowd, rid, until_us, place)
        call('ZADD', part(crowd, 'c'), digits(until_us), rid)
        call('HSET', crowd.entries, '!' .. rid, place .. digits(until_us))
        due(crowd, until_us)
        keep(crowd, until_us)
      end

      function made.close(crowd, rid, until_us)
        local known = crowd.head[$ENDED] > 0 and call('HGET', crowd.entries, '!' .. rid)
        if known then
          end_request(crowd, rid, math.max(tonumber(string.sub(known, 17)), until_us), string.sub(known, 1, 16))
        else
          count(crowd, $ENDED, 1)
          end_request(crowd, rid, until_us, next_place(crowd.head))
        end
      end

      -- Whether all that was counted is there: a server that evicts keys may have taken a part.
      local function is_whole(crowd)
        local head, standing = crowd.head, waiters(crowd.head)
        local function has(letter, members)
          return call('ZCARD', part(crowd, letter)) == members
        end
        return has('h', head[$HOLDERS]) and has('x', head[$HOLDERS]) and has('c', head[$ENDED]) and has('w', standing)
          and has('f', head[$FRESH]) and has('p', head[$PALE]) and has('m', head[$MUTE])
          and call('HLEN', crowd.entries) == head[$HOLDERS] + standing + head[$ENDED] + call('ZCARD', part(crowd, 's'))
      end

      -- How a waiter stands now that its time has come.
      local function judge(crowd, rid)
        local entry, place = find(crowd, rid)
        local queue = queue_of(crowd, entry)
        if entry[$NOT_AFTER_US] < lease_us then
          leave(crowd, entry, queue)
          call('HDEL', crowd.entries, rid)
          return
        end
        local now_in = entry[$PHASE] == $WAITING and queue_at(entry[$HEARD_US], lease_us) or 'm'
        if now_in ~= queue then
          step_out(crowd, entry, queue)
          line_up(crowd, entry, place, now_in)
          watch(crowd, entry, now_in)
        end
      end

      local function expire(crowd)
        local head, now = crowd.head, digits(lease_us)
        local function past(counted, letter, bound)
          return counted > 0 and call('ZRANGE', part(crowd, letter), '-inf', bound, 'BYSCORE') or {}
        end
        for _, rid in ipairs(past(head[$ENDED], 'c', now)) do
          call('ZREM', part(crowd, 'c'), rid)
          call('HDEL', crowd.entries, '!' .. rid)
          head[$ENDED] = head[$ENDED] - 1
        end
        for _, rid in ipairs(past(head[$HOLDERS], 'x', now)) do
          local entry, place = find(crowd, rid)
          unhold(crowd, entry)
          if entry[$PHASE] == $GRANTED and entry[$WEIGHED] == 0 and entry[$NOT_AFTER_US] >= lease_us then
            entry[$PHASE] = $DORMANT
            entry[$FIRST], entry[$END] = 0, 0
            entry[$GRANTED_US], entry[$EXPIRES_US] = 0, 0
            entry[$REVOKED_US], entry[$GRACE_US], entry[$REASON] = 0, 0, ''
            write(crowd, entry, place)
            stand(crowd, entry, place)
          else
            call('HDEL', crowd.entries, rid)
          end
        end
        for _, rid in ipairs(past(waiters(head), 'w', '(' .. now)) do judge(crowd, rid) end
        if lease_us < head[$JUDGED_US] then
          -- The clock went back: some may not have been silent for so long.
          for _, queue in ipairs({ 'p', 'm' }) do
            for _, rid in ipairs(call('ZRANGE', part(crowd, queue), 0, -1)) do judge(crowd, rid) end
          end
        end
        head[$JUDGED_US] = lease_us
      end

      -- Lets time take effect. False if a part is gone: nothing of the crowd can be believed any more.
      function made.let_time_pass(crowd)
        if not is_whole(crowd) then return false end
        expire(crowd)
        local head = crowd.head
        head[$DUE_US] = $NEVER
        local function first(counted, letter, after_us)
          if counted == 0 then return end
          local found = call('ZRANGE', part(crowd, letter), 0, 0, 'WITHSCORES')
          due(crowd, tonumber(found[2]) + after_us)
        end
        first(head[$ENDED], 'c', 0)
        first(head[$HOLDERS], 'x', 0)
        first(waiters(head), 'w', 1)
        return true
      end

      -- From a record that has grown: every call's expiry has taken effect in it.
      function made.gather(crowd, record)
        local head = { record[$LAST], record[$EPOCH], 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, $NEVER, lease_us, 0, 0 }
        crowd.head = head
        made.dissolve(crowd)
        for _, entry in ipairs(record[$ENTRIES]) do
          local place = next_place(head)
          if holds(entry) then hold(crowd, entry, place) else stand(crowd, entry, place) end
          write(crowd, entry, place)
        end
        for _, ended in ipairs(record[$CLOSED]) do made.close(crowd, ended[$RID], ended[$UNTIL_US]) end
        keep(crowd, lease_us + head[$LAST] - wall_us)
      end

      -- Back to a record.
      function made.disperse(crowd)
        local entries, ended = {}, {}
        local fields = call('HGETALL', crowd.entries)
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
        made.dissolve(crowd)
        return { crowd.head[$LAST], crowd.head[$EPOCH], in_line(entries), in_line(ended) }
      end

      return made
    end


    function seldom()
      seldom_made = seldom_made or make_seldom()
      return seldom_made
    end

    return { seldom = seldom, queue_of = queue_of, hand_over = hand_over, hear_again = hear_again, come = come,
      release = release, reweigh = reweigh }
  end

  function moves(crowd)
    crowd.moved = true
    moves_made = moves_made or make_moves()
    return moves_made
  end

  local function acquire(crowd)
    local head = crowd.head
    local rid, not_after_us, ttl_us, want, seen = word(), number(), number(), number(), number()
    local wait, weight, size, revision, label = word() == '1', described(word())
    if lease_us > not_after_us then return { $REPLY_STALE } end
    if head[$ENDED] > 0 and call('HGET', crowd.entries, '!' .. rid) then return { $REPLY_CLOSED } end
    local capacity = size
    if head[$SPEAKERS] > 0 then capacity = better(head[$SIZE], head[$SIZE_REVISION], size, revision) end
    local entry, place = find(crowd, rid)
    if not entry then
      entry = {
        rid, $WAITING, weight, ttl_us, want, seen, not_after_us, lease_us, lease_us, 0, 0, 0, 0, 0, label,
        size, revision, 0, 0, 0, ''
      }
      return moves(crowd).come(crowd, entry, wait, capacity)
    end
    if holds(entry) then return granted(entry, head[$FRESH] + head[$PALE] > 0) end
    local stays = entry[$PHASE] == $WAITING and head[$JUDGED_US] - entry[$HEARD_US] <= $FRESH_US
      and entry[$WEIGHT] <= capacity
    local queue = not stays and moves(crowd).queue_of(crowd, entry)
    entry[$HEARD_US], entry[$PHASE] = lease_us, $WAITING
    entry[$SEEN] = math.max(entry[$SEEN], seen)
    entry[$WANT] = math.max(entry[$WANT], want)
    if not stays then return moves(crowd).hear_again(crowd, entry, place, queue, capacity) end
    -- The most frequent call of all: it only says that it lives.
    watch(crowd, entry, 'f')
    write(crowd, entry, place)
    return answer_waiter(crowd, call('ZRANK', crowd.left .. 'f' .. crowd.right, rid) or 0, place)
  end

  -- What is asked of a holder.
  local function ask_holder(crowd, op)
    local head, rid, not_after_us, change = crowd.head, word(), number(), number()
    local more = op ~= '$OP_RENEW' and word()
    if lease_us > not_after_us then return { $REPLY_STALE } end
    local entry, place = find(crowd, rid)
    if not entry or not holds(entry) then return { $REPLY_NOT_HELD } end
    if op == '$OP_RENEW' then
      if change > entry[$RENEWAL] then
        entry[$RENEWAL], entry[$PHASE] = change, $HELD
        if entry[$REVOKED_US] == 0 then entry[$EXPIRES_US] = lease_us + entry[$TTL_US] end
        call('ZADD', crowd.left .. 'x' .. crowd.right, digits(entry[$EXPIRES_US]), rid)
        due(crowd, entry[$EXPIRES_US])
        keep(crowd, entry[$EXPIRES_US])
        write(crowd, entry, place)
      end
      local contended = head[$FRESH] + head[$PALE] > 0 and 1 or 0
      local reply = { $REPLY_RENEWED, math.max(entry[$EXPIRES_US] - lease_us, 0), contended }
      if entry[$REVOKED_US] > 0 then reply[4], reply[5] = entry[$GRACE_US], entry[$REASON] end
      return reply
    end
    if op == '$OP_REWEIGH' then return moves(crowd).reweigh(crowd, entry, place, change, more) end
    if entry[$REVOKED_US] == 0 or change < entry[$GRACE_US] then
      entry[$REVOKED_US], entry[$GRACE_US], entry[$REASON] = math.max(lease_us, 1), change, more
      notices[#notices + 1] = { '$NOTICE_REVOKED', rid }
      write(crowd, entry, place)
    end
    return { $REPLY_REVOKED }
  end

  -- All of a resource's keys stand behind the same hash tag.
  local function of(key, head)
    local tag_end = string.find(key, '}', 1, true)
    local left, right = string.sub(key, 1, tag_end) .. ':c', string.sub(key, tag_end + 3)
    return { head = head, left = left, right = right, entries = left .. 'e' .. right }
  end

  local function size(crowd)
    local head = crowd.head
    return head[$HOLDERS] + head[$FRESH] + head[$PALE] + head[$MUTE] + head[$ENDED]
  end

  -- The next call's answer. None, and the call is still to come, if nothing of the crowd is left or can be believed.
  local function run(crowd)
    local head, op, reply = crowd.head, ARGV[at + 1], nil
    if crowd.spent then return end
    if op == '$OP_INSPECT' then
      at = at + 1
      return { $REPLY_INSPECTED, head[$LAST], head[$EPOCH], call('HGETALL', crowd.entries) }
    end
    if head[$EPOCH] ~= epoch then return end
    if lease_us < head[$JUDGED_US] or lease_us >= head[$DUE_US] then
      if not moves(crowd).seldom().let_time_pass(crowd) then return end
    end
    at = at + 1
    if head[$SETTLED] == 0 then moves(crowd).hand_over(crowd) end
    if op == '$OP_ACQUIRE' then
      reply = acquire(crowd)
    elseif op == '$OP_RELEASE' then
      reply = moves(crowd).release(crowd)
    else
      reply = ask_holder(crowd, op)
    end
    if size(crowd) == 0 and head[$LAST] < wall_us then
      moves(crowd).seldom().dissolve(crowd)
      crowd.spent = true
    end
    return reply
  end

  -- Where nobody stands any more, the server's own expiry can end nothing but the memory of what has ended.
  local function remember(crowd)
    local head = crowd.head
    local last = call('ZRANGE', crowd.left .. 'c' .. crowd.right, -1, -1, 'WITHSCORES')
    local until_us = math.max(tonumber(last[2] or 0), lease_us + head[$LAST] - wall_us)
    if until_us ~= head[$KEPT_US] then head[$KEPT_US], crowd.grown = until_us, true end
  end

  local function save(key, crowd, stored)
    if not crowd.grown and not crowd.moved then return end
    local is_memory = size(crowd) == crowd.head[$ENDED]
    if is_memory then remember(crowd) end
    local bytes = '$CROWD' .. cmsgpack.pack(crowd.head)
    if crowd.grown then
      local keep_ms = math.ceil(math.max(crowd.head[$KEPT_US] - lease_us, 0) / 1000)
      keep_ms = digits(keep_ms + (is_memory and 1000 or $SLACK_MS))
      call('SET', key, bytes, 'PX', keep_ms)
      for _, name in ipairs(moves(crowd).seldom().keys(crowd)) do call('PEXPIRE', name, keep_ms) end
    elseif bytes ~= stored then
      call('SET', key, bytes, 'KEEPTTL')
    end
    crowd.grown, crowd.moved = false, false
  end

  return {
    of = of,
    run = run,
    save = save,
    stays = function(crowd) return not crowd.spent and size(crowd) > crowded_until end,
    gather = function(key, record)
      local crowd = of(key)
      moves(crowd).seldom().gather(crowd, record)
      return crowd
    end,
    disperse = function(crowd) return moves(crowd).seldom().disperse(crowd) end,
    dissolve = function(crowd)
      moves(crowd).seldom().dissolve(crowd)
      return { crowd.head[$LAST], epoch, {}, {} }
    end,
  }
end
