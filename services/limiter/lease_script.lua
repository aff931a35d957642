-- One key's quota, shared by all nodes. Takes back what is returned, forgets what no window reaches
-- any more, grants a lease of what is free.
--
-- A lease of n tokens granted at t may be spent until t + life, so it counts, whole, until
-- t + life + window: in whatever trailing window one of its tokens was spent, it was in the sum that
-- every later grant of that window was held against. What is returned was never spent; the rest of
-- the lease keeps its end. Time is this server's TIME alone, in microseconds.
--
-- Of a key with very many leases, those that are over for a life become one record for each 512th of
-- the window. It counts until the last of them would have, so the bound stays; what comes back of
-- one of them afterwards is not taken off any more.
--
-- KEYS[1] sorted set: lease, or 'm' and an end -> until when it counts
-- KEYS[2] hash: the same -> tokens, `sum`, `upto` (ends up to which leases have been gathered)
-- ARGV: limit, window, life, need (tokens asked for by requests that wait), least (the smallest of
--   these requests), want (need, and what is likely to be asked for next; 0: only return), not_after
--   (0, or when the asker will have given up: then nothing is granted), new lease,
--   then pairs: lease, tokens returned
-- Answer: granted, left (free now), fits (until so much is free that a request gets something, 0: it
--   is), ask_again (until when it is no use to ask, 0: it is), now
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local ends, leases = KEYS[1], KEYS[2]
local limit, window, life = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local need, least, want = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local not_after = tonumber(ARGV[7])
local before = tonumber(redis.call('HGET', leases, 'sum') or 0)
local sum = before

local function text(number)
    return string.format('%.0f', number)
end

for i = 9, #ARGV, 2 do
    local had = tonumber(redis.call('HGET', leases, ARGV[i]) or 0)
    local back = math.min(had, tonumber(ARGV[i + 1]))
    if back > 0 then
        sum = sum - back
        if back == had then
            redis.call('HDEL', leases, ARGV[i])
            redis.call('ZREM', ends, ARGV[i])
        else
            redis.call('HINCRBY', leases, ARGV[i], text(-back))
        end
    end
end

repeat
    local old = redis.call('ZRANGEBYSCORE', ends, '-inf', text(now), 'LIMIT', 0, 256)
    for _, id in ipairs(old) do
        sum = sum - tonumber(redis.call('HGET', leases, id) or 0)
        redis.call('HDEL', leases, id)
        redis.call('ZREM', ends, id)
    end
until #old < 256
if redis.call('ZCARD', ends) == 0 then
    redis.call('DEL', leases) -- nothing counts, whatever half of it an eviction may have left
    sum, before = 0, 0
end

-- Far from the limit a grant is an eighth of what is free, near it a 256th of the limit: one, for
-- small limits. More only for requests that wait.
local free = math.max(limit - sum, 0)
local piece = math.ceil(limit / 256)
local granted = 0
if want > 0 and free >= least and (not_after == 0 or now <= not_after) then
    local share = math.max(math.ceil(free / 8), piece)
    granted = math.min(free, math.max(need, math.min(want, share)))
    sum = sum + granted
    free = free - granted
    redis.call('HSET', leases, ARGV[8], text(granted))
    redis.call('ZADD', ends, text(now + life + window), ARGV[8])
    for _, key in ipairs(KEYS) do
        redis.call('PEXPIRE', key, text(math.ceil((life + window) / 1000) + 1000))
    end
end
local many, grain = 1024, math.ceil(window / 512) -- LEASE_GRAINS_A_WINDOW
if want > 0 and redis.call('ZCARD', ends) > many then
    local upto = redis.call('HGET', leases, 'upto') or '-1'
    local over = redis.call('ZRANGEBYSCORE', ends, '(' .. upto, text(now + window - life), 'WITHSCORES',
                            'LIMIT', 0, 64)
    for i = 1, #over, 2 do
        if string.sub(over[i], 1, 1) ~= 'm' then
            local last = text(math.ceil(over[i + 1] / grain) * grain)
            redis.call('HINCRBY', leases, 'm' .. last, redis.call('HGET', leases, over[i]) or 0)
            redis.call('ZADD', ends, last, 'm' .. last)
            redis.call('HDEL', leases, over[i])
            redis.call('ZREM', ends, over[i])
        end
        upto = over[i + 1]
    end
    redis.call('HSET', leases, 'upto', upto)
end
if sum ~= before then
    redis.call('HSET', leases, 'sum', text(sum))
end

-- When will enough have aged out, and when might somebody return something?
local fits, ask_again = 0, 0
if want > 0 and (granted < need or free < least) then
    local missing = math.max(least, piece) - free
    local from = 0
    while missing > 0 do
        local page = redis.call('ZRANGE', ends, from, from + 63, 'WITHSCORES')
        if #page == 0 then
            break
        end
        for i = 1, #page, 2 do
            missing = missing - tonumber(redis.call('HGET', leases, page[i]) or 0)
            fits = page[i + 1] - now
            if missing <= 0 then
                break
            end
        end
        from = from + 64
    end
    if missing > 0 then
        fits = window -- more than the limit is asked for: never
    end
    ask_again = math.min(fits, math.ceil(window / 32), 60000000) -- it may have been reset
    local live = redis.call('ZRANGEBYSCORE', ends, '(' .. text(now + window), '+inf', 'WITHSCORES',
                            'LIMIT', 0, 1)
    if #live > 0 then -- until it ends; a quarter of a life for the return's way
        ask_again = math.min(ask_again, live[2] - window - now + math.ceil(life / 4))
    end
end
return {granted, free, fits, ask_again, text(now)}
