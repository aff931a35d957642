-- The lease script under a virtual clock: sorted sets and hashes of its own in place of Redis, nodes
-- that ask, spend, return, forget and are late, and a log of every admission. Fails when any
-- trailing window holds more than the limit, or when the script's sum is not that of its leases.
--   lua5.1 model.lua SCRIPT SEED ROUNDS
local script_path, seed, rounds = arg[1], tonumber(arg[2]), tonumber(arg[3])
local source = assert(io.open(script_path)):read('*a')
math.randomseed(seed)

local clock = 1790000000000000 -- microseconds
local sets, hashes = {}, {}

local function bound(text, default)
    if text == '-inf' then return -math.huge, false end
    if text == '+inf' then return math.huge, false end
    if text:sub(1, 1) == '(' then return tonumber(text:sub(2)), true end
    return tonumber(text), false
end
local function sorted(key)
    local list = {}
    for member, score in pairs(sets[key] or {}) do list[#list + 1] = {member, score} end
    table.sort(list, function(a, b) return a[2] < b[2] or (a[2] == b[2] and a[1] < b[1]) end)
    return list
end
local commands = {}
function commands.TIME() return {tostring(math.floor(clock / 1000000)), tostring(clock % 1000000)} end
function commands.HGET(key, field) return hashes[key] and hashes[key][field] or false end
function commands.HSET(key, field, value)
    hashes[key] = hashes[key] or {}
    hashes[key][field] = value
    return 1
end
function commands.HINCRBY(key, field, by)
    hashes[key][field] = string.format('%.0f', tonumber(hashes[key][field] or 0) + tonumber(by))
end
function commands.HDEL(key, field) if hashes[key] then hashes[key][field] = nil end end
function commands.DEL(key) hashes[key], sets[key] = nil, nil end
function commands.ZADD(key, score, member)
    sets[key] = sets[key] or {}
    sets[key][member] = tonumber(score)
end
function commands.ZREM(key, member) if sets[key] then sets[key][member] = nil end end
function commands.ZCARD(key) return #sorted(key) end
function commands.PEXPIRE() return 1 end
function commands.ZRANGE(key, from, to)
    local out, list = {}, sorted(key)
    for i = from + 1, math.min(to + 1, #list) do
        out[#out + 1], out[#out + 2] = list[i][1], string.format('%.0f', list[i][2])
    end
    return out
end
function commands.ZRANGEBYSCORE(key, low, high, ...)
    local options, offset, count, with = {...}, 0, math.huge, false
    for i = 1, #options do
        if options[i] == 'WITHSCORES' then with = true end
        if options[i] == 'LIMIT' then offset, count = options[i + 1], options[i + 2] end
    end
    local from, from_open = bound(low)
    local to, to_open = bound(high)
    local out, seen = {}, 0
    for _, entry in ipairs(sorted(key)) do
        local score = entry[2]
        if (score > from or (score == from and not from_open)) and
           (score < to or (score == to and not to_open)) then
            seen = seen + 1
            if seen > offset and seen <= offset + count then
                out[#out + 1] = entry[1]
                if with then out[#out + 1] = string.format('%.0f', score) end
            end
        end
    end
    return out
end
redis = {call = function(name, ...) return assert(commands[name], name)(...) end}

local run = assert(loadstring(source, '@' .. script_path))
local function ask(limit, window, life, need, least, want, not_after, id, returns)
    KEYS = {'{k}:e', '{k}:l'}
    ARGV = {limit, window, life, need, least, want, not_after, id}
    for _, pair in ipairs(returns) do
        ARGV[#ARGV + 1], ARGV[#ARGV + 2] = pair[1], pair[2]
    end
    for i = 1, #ARGV do ARGV[i] = type(ARGV[i]) == 'number' and string.format('%.0f', ARGV[i]) or ARGV[i] end
    local answer = run()
    local total = 0
    for field, value in pairs(hashes['{k}:l'] or {}) do
        if field ~= 'sum' and field ~= 'upto' then total = total + tonumber(value) end
    end
    local sum = tonumber(hashes['{k}:l'] and hashes['{k}:l'].sum or 0)
    assert(sum == total, string.format('the sum says %d, the leases have %d', sum, total))
    return {granted = answer[1], left = answer[2], fits = answer[3], again = answer[4]}
end

local function check_log(log, limit, window)
    table.sort(log)
    local first = 1
    for i = 1, #log do
        while log[first] <= log[i] - window do first = first + 1 end
        assert(i - first + 1 <= limit,
               string.format('%d admitted in a window, the limit is %d', i - first + 1, limit))
    end
end

local admitted, rejected, exact, gathered = 0, 0, 0, 0
for round = 1, rounds do
    sets, hashes = {}, {}
    local limit = ({1, 2, 3, 5, 12, 40, 100, 257, 1000, 5000})[math.random(10)]
    local window = ({1000000, 5000000, 60000000, 900000000})[math.random(4)]
    local life = math.ceil(window / 200)
    local nodes, log, held = math.random(1, 4), {}, {}
    local busy = math.random() -- how hard the nodes press
    local next_id = 0
    for step = 1, 400 do
        local jump = math.random()
        clock = clock + math.floor(jump < 0.7 and math.random() * life * (1.2 - busy) or
                                   jump < 0.97 and math.random() * window / 20 or math.random() * window)
        local node = math.random(nodes)
        -- spend: every held lease at random, only before its end
        for _, lease in ipairs(held) do
            while lease.tokens > 0 and clock < lease.ends and math.random() < 0.6 do
                lease.tokens = lease.tokens - 1
                log[#log + 1] = clock
            end
        end
        -- some leases are over: returned, or forgotten by a node that died
        local returns, kept = {}, {}
        for _, lease in ipairs(held) do
            if lease.node == node and (clock >= lease.ends or math.random() < 0.05) then
                if lease.tokens > 0 and math.random() < 0.8 then
                    -- who never heard of his grant returns all that it may have been
                    local unheard = lease.tokens == lease.all and math.random() < 0.3
                    returns[#returns + 1] = {lease.id, unheard and 16777215 or lease.tokens}
                end
            else
                kept[#kept + 1] = lease
            end
        end
        held = kept
        next_id = next_id + 1
        local id = 'n' .. node .. '-' .. next_id
        local need = math.random(0, math.random() < 0.8 and 2 or 20)
        local want = math.max(need + math.floor(math.random() * limit * busy), 1)
        local late = math.random() < 0.05
        local answer = ask(limit, window, life, need, math.max(1, math.min(need, math.random(1, 2))), want,
                           late and clock - 1 or 0, id, returns)
        if late then assert(answer.granted == 0, 'a late ask is granted nothing') end
        assert(answer.granted >= 0 and answer.left >= 0 and answer.again <= answer.fits)
        if answer.granted > 0 then
            local waiting = math.min(need, answer.granted)
            for _ = 1, waiting do log[#log + 1] = clock end
            held[#held + 1] = {id = id, node = node, tokens = answer.granted - waiting,
                               all = answer.granted, ends = clock + life}
            admitted = admitted + answer.granted
        elseif need > 0 then
            rejected = rejected + 1
        end
        -- who waits as long as told gets something, if nothing else happens
        if answer.granted == 0 and not late and need > 0 and need <= limit and math.random() < 0.1 then
            clock = clock + answer.fits
            local again = ask(limit, window, life, 1, 1, 1, 0, id .. 'w', {})
            assert(again.granted == 1, 'the retry time was not true')
            log[#log + 1] = clock
            exact = exact + 1
        end
    end
    check_log(log, limit, window)
    for field in pairs(hashes['{k}:l'] or {}) do
        gathered = gathered + (field:sub(1, 1) == 'm' and 1 or 0)
    end
end
print(string.format('%d rounds, %d tokens granted, %d refusals, %d retry times obeyed, %d gathered',
                    rounds, admitted, rejected, exact, gathered))
