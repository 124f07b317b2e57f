-- pktgen-dpdk 24.10.3 or later: the highest rate that the appliance forwards without a loss (RFC 2544 section 26.1), both ways at once.
--
-- After flows.pkt, at pktgen's prompt: `script rate.lua`. The answer is in rate.txt, too.

local PORTS = "0,1"
local SIZES = { 64, 128, 256, 512, 1024, 1280, 1518 }
-- Milliseconds of a trial, of the last one, and until all that is under way has come.
local TRIAL, CONFIRMATION, SETTLE = 10000, 60000, 2000
-- Of the line rate, %: so close the search comes.
local STEP = 0.5

local file = assert(io.open("rate.txt", "w"))

local function say(text)
    print(text)
    file:write(text, "\n")
    file:flush()
end

-- Up to 25.08 portStats has to be told which figures; from 26.01 on it takes a port and nothing else, and has these in `curr`.
local function figures(port)
    local known, answer = pcall(pktgen.portStats, tostring(port), "port")
    if not known then answer = pktgen.portStats(tostring(port)) end
    return answer[port].curr or answer[port]
end

local function sum(field)
    local total = 0
    for _, port in ipairs({ 0, 1 }) do
        total = total + figures(port)[field]
    end
    return total
end

-- How many were sent, and how many of them did not come back.
local function trial(rate, milliseconds)
    pktgen.clr()
    pktgen.set(PORTS, "rate", rate)
    pktgen.start(PORTS)
    pktgen.delay(milliseconds)
    pktgen.stop(PORTS)
    pktgen.delay(SETTLE)
    local sent = sum("opackets")
    return sent, sent - sum("ipackets")
end

-- Halves what lies between a rate that lost nothing and one that lost something.
local function search()
    local good, bad = 0, 100
    local rate = bad
    while bad - good > STEP do
        local _, lost = trial(rate, TRIAL)
        if lost > 0 then bad = rate else good = rate end
        if good == 100 then break end
        rate = good + (bad - good) / 2
    end
    return good
end

-- Ten seconds without a loss are a guess; what counts is a minute without one, a step lower each time that there was one.
local function confirm(rate)
    while rate > 0 do
        local sent, lost = trial(rate, CONFIRMATION)
        if lost == 0 then return rate, sent end
        rate = rate - STEP
    end
end

local function measure(size)
    for _, what in ipairs({ "start", "min", "max" }) do
        pktgen.range.pkt_size(PORTS, what, size)
    end
    local rate, sent = confirm(search())
    if not rate then
        return say(string.format("%d bytes: every rate loses packets", size))
    end
    local million = sent * 1000 / CONFIRMATION / 1e6
    say(string.format("%d bytes: %.1f %% of line rate, %.2f Mpps both ways, none of %d lost in a minute",
        size, rate, million, sent))
end

pktgen.screen("off")
pktgen.set(PORTS, "count", 0)
for _, size in ipairs(SIZES) do
    measure(size)
end
file:close()
