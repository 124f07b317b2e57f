-- rate.lua against a pktgen that is none: a box that forwards up to 62.5 % of line rate, and drops what is beyond.

local rate, size, running, milliseconds = 0, 64, false, 0
local limit = 62.5

local function line_rate()
    return 10e9 / 8 / (size + 20) / 1000
end

pktgen = {
    range = { pkt_size = function(_, _, value) size = value end },
    set = function(_, what, value) if what == "rate" then rate = value end end,
    clr = function() milliseconds = 0 end,
    start = function() running = true end,
    stop = function() running = false end,
    delay = function(time) if running then milliseconds = milliseconds + time end end,
    screen = function() end,
    portStats = function(port)
        local sent = math.floor(line_rate() * rate / 100 * milliseconds)
        local came = math.floor(line_rate() * math.min(rate, limit) / 100 * milliseconds)
        return { [tonumber(port)] = { opackets = sent, ipackets = came } }
    end,
}

local answers = {}
print = function(text) answers[#answers + 1] = text end
dofile(arg[1])
assert(#answers == 7, "an answer for each size")
for _, answer in ipairs(answers) do
    local found = tonumber(answer:match("bytes: ([%d.]+) %% of line rate"))
    assert(found and found <= limit and found > limit - 1, answer)
    assert(answer:match(" 0 of %d+ lost"), answer)
end
