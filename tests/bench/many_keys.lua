-- For wrk: 10 000 clients in turn, each a key of its own by X-Forwarded-For; every server of
-- bench_limits.py gets the same requests. X-Forwarded-Uri is what /api/check is asked about.
local requests, turn = {}, 0

function init(args)
    for key = 0, 9999 do
        local client = string.format("10.%d.%d.%d", key / 65536, key / 256 % 256, key % 256)
        requests[key + 1] = wrk.format("GET", nil, {["X-Forwarded-For"] = client, ["X-Forwarded-Uri"] = "/api/app/hello"})
    end
end

function request()
    turn = turn % #requests + 1
    return requests[turn]
end
