"""The cache's functions that run inside Redis, each at once and alone.

What must stay true: a value that was read from the database before a change is never written over that change. Of two
writers the higher `slot.version` wins; a reader writes only under the lease it took before it read, and what cannot be
computed from a change takes the lease away.

An entry is three lines: when it was read (milliseconds of Redis's clock) and 1 if it is known to be outdated since;
the moment of the database, 1 if the test takes one slot alone, and the zone; the slots as JSON arrays
{number, resource, start, end, capacity, remaining, status, version, and when a writer set it}.
"""

from __future__ import annotations

_NOW = """
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
"""

_ENTRY = """
local function parts(entry)
  return string.match(entry, '^(%d+) (%d)\\n([^\\n]*)\\n(.*)$')
end
local function alone(middle)
  return string.match(middle, '^%S+ (%d)') == '1'
end
local function text(at, mark, middle, body)
  return string.format('%.0f %d\\n', at, mark) .. middle .. '\\n' .. body
end
"""

LEASE = (
    _NOW
    + """
-- KEYS entry and list of a day's tests, in pairs; ARGV token, lifetimes (ms) of lease and list, soft lifetime, tests.
-- What somebody has refreshed since it was looked at is not leased again.
local taken, moment = {}, now()
for i = 1, #KEYS, 2 do
  local entry = redis.call('GET', KEYS[i])
  local at = entry and string.match(entry, '^(%d+) 0\\n')
  local late = not at or moment - at >= tonumber(ARGV[4])
  if late and redis.call('SET', KEYS[i] .. ':lease', ARGV[1], 'NX', 'PX', ARGV[2]) then
    redis.call('SADD', KEYS[i + 1], ARGV[4 + (i + 1) / 2])
    redis.call('PEXPIRE', KEYS[i + 1], ARGV[3])
    taken[#taken + 1] = (i - 1) / 2
  end
end
return taken
"""
)

FILL = (
    _NOW
    + _ENTRY
    + """
-- KEYS entry, lease; ARGV token, ms since reading began, hard lifetime (ms), middle line, slots, channel, what to say.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
local at, body, old_body = now() - ARGV[2], ARGV[5], ''
local old = redis.call('GET', KEYS[1])
if old then
  local _, _, middle, slots = parts(old)
  old_body = slots
  if alone(middle) and alone(ARGV[4]) then
    local set = {}
    for _, slot in ipairs(cjson.decode(slots)) do
      if slot[9] and slot[9] >= at then set[slot[1]] = slot end
    end
    if next(set) then
      local merged = cjson.decode(body)
      for i, slot in ipairs(merged) do
        if set[slot[1]] and set[slot[1]][8] > slot[8] then merged[i] = set[slot[1]] end
      end
      if #merged > 0 then body = cjson.encode(merged) end
    end
  end
end
redis.call('SET', KEYS[1], text(at, 0, ARGV[4], body), 'PX', ARGV[3])
redis.call('DEL', KEYS[2])
if body ~= old_body then redis.call('PUBLISH', ARGV[6], ARGV[7]) end
return 1
"""
)

CHANGED = (
    _NOW
    + _ENTRY
    + """
-- KEYS lists of tests, of the day before, the day, the day after; ARGV what stands before a test and a day in a key,
-- the three days, resource, JSON {number: [version, capacity, remaining] or [] when only known to differ}, channel.
local moment, touched = now(), cjson.decode(ARGV[6])
local function outdated(key, at, middle, body)
  redis.call('SET', key, text(at, 1, middle, body), 'KEEPTTL')
  redis.call('DEL', key .. ':lease')
end
for day = 1, 3 do
  for _, test in ipairs(redis.call('SMEMBERS', KEYS[day])) do
    local key = ARGV[1] .. test .. ':' .. ARGV[1 + day]
    local entry = redis.call('GET', key)
    if not entry then
      redis.call('DEL', key .. ':lease')
    else
      local at, mark, middle, body = parts(entry)
      local slots, concerns, unknown, set, seen = cjson.decode(body), false, false, false, 0
      for _, slot in ipairs(slots) do
        if slot[2] == ARGV[5] then concerns = true end
        local value = touched[tostring(slot[1])]
        if value then
          seen = seen + 1
          if #value == 0 then
            unknown = true
          elseif value[1] > slot[8] then
            slot[8], slot[5], slot[6], slot[9] = value[1], value[2], math.max(value[3], 0), moment
            if slot[7] ~= 'busy-unavailable' then slot[7] = slot[6] > 0 and 'free' or 'busy' end
            set = true
          end
        end
      end
      if not alone(middle) then
        if concerns then outdated(key, at, middle, body) end
      elseif unknown or (day == 2 and concerns and seen == 0) then
        outdated(key, at, middle, body)
      elseif set then
        redis.call('SET', key, text(at, mark, middle, cjson.encode(slots)), 'KEEPTTL')
      end
    end
  end
end
redis.call('PUBLISH', ARGV[7], ARGV[3])
return 1
"""
)

FORGET = """
-- KEYS lists of the tests of days; ARGV what stands before a test and a day in a key, channel, the days.
for i, list in ipairs(KEYS) do
  for _, test in ipairs(redis.call('SMEMBERS', list)) do
    local key = ARGV[1] .. test .. ':' .. ARGV[2 + i]
    redis.call('DEL', key, key .. ':lease')
  end
  redis.call('PUBLISH', ARGV[2], ARGV[2 + i])
end
return 1
"""

RELEASE = """
-- KEYS leases; ARGV token. Gives back those that are still held.
for _, lease in ipairs(KEYS) do
  if redis.call('GET', lease) == ARGV[1] then redis.call('DEL', lease) end
end
return 1
"""

COUNT = """
-- KEYS the hash that counts; ARGV hits, misses.
redis.call('HINCRBY', KEYS[1], 'hits', ARGV[1])
redis.call('HINCRBY', KEYS[1], 'misses', ARGV[2])
return 1
"""
