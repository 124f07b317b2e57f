-- rate.lua against a pktgen that is none: a box that forwards up to 62.5 % of line rate for a while, 61.2 % for long, and drops what
-- is beyond.

local SHORT_LIMIT, LIMIT = 62.5, 61.2
local rate, size, running, milliseconds

local function line_rate()
    return 10e9 / 8 / (size + 20) / 1000
end

local function figures()
    local sent = math.floor(line_rate() * rate / 100 * milliseconds)
    local limit = milliseconds > 30000 and LIMIT or SHORT_LIMIT
    local came = math.floor(line_rate() * math.min(rate, limit) / 100 * milliseconds)
    return { opackets = sent, ipackets = came }
end

-- As pktgen-dpdk has it, which is strict about how many arguments there are.
local port_stats = {
    ["24.10.3"] = function(...)
        if select("#", ...) ~= 2 then error("portStats, wrong number of arguments") end
        local port, kind = ...
        assert(kind == "port", "since the beginning, not a second's")
        return { [tonumber(port)] = figures(), n = 1 }
    end,
    ["26.02"] = function(...)
        if select("#", ...) ~= 1 then error("portStats, wrong number of arguments") end
        return { [tonumber((...))] = { curr = figures(), sizes = {}, qstats = {} }, n = 1 }
    end,
}

pktgen = {
    range = { pkt_size = function(_, _, value) size = value end },
    set = function(_, what, value) if what == "rate" then rate = value end end,
    clr = function() milliseconds = 0 end,
    start = function() running = true end,
    stop = function() running = false end,
    delay = function(time) if running then milliseconds = milliseconds + time end end,
    screen = function() end,
}

local answers
print = function(text) answers[#answers + 1] = text end
for version, stand_in in pairs(port_stats) do
    rate, size, running, milliseconds, answers = 0, 64, false, 0, {}
    pktgen.portStats = stand_in
    dofile(arg[1])
    assert(#answers == 7, version .. ": an answer for each size")
    for _, answer in ipairs(answers) do
        local found = tonumber(answer:match("bytes: ([%d.]+) %% of line rate"))
        assert(found and found <= LIMIT and found > LIMIT - 1, version .. ": " .. answer)
        assert(answer:match("none of %d+ lost"), version .. ": " .. answer)
    end
end
