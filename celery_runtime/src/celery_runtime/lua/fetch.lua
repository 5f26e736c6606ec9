#!lua flags=allow-oom
-- Settles what is done, and moves one message from a queue into the record of unacknowledged messages, in one step.
--
-- KEYS: 1 messages by tag, 2 tags by time, 3 holders by tag, 4 the suspect that each node runs, 5 dead letters, 6 losses by tag,
--       then the lists of suspects, then the queues' lists in the order in which they are wanted
-- ARGV: 1 the node ("" for a consumer that is no worker), 2 seconds since 1970, 3 the number of lists of suspects,
--       4 the number of bytes up to which a message is read (0 for all), then of each message that is done its tag and the time of its fetch
--
-- Returns what was fetched, and then for each that is done 1 where it was settled, 0 where it is no longer the caller's, -1 at an error.
-- What was fetched is {list, message, tag}; or {list, both ends of the message, id as a dead letter, reason} for one that was set aside, so that
-- the worker says so; or where all lists are empty the number of those at the beginning that it didn't look at.
-- allow-oom: a full Redis must be emptied by its workers, and what is moved was counted already.
local messages, times, holders, running, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local node, now, suspects = ARGV[1], ARGV[2], tonumber(ARGV[3])
local most = tonumber(ARGV[4])
local losses, first = KEYS[6], 7
-- Bytes of each end of a message that was set aside: somewhere there stands whose it is, however large the rest.
local END = 16384
-- The tag that this call has written to the messages.
local recorded

--include settled

-- A message that went down with its worker twice runs beside no other such one: only one of them can be the cause.
local function has_suspect()
    local tag = redis.call('HGET', running, node)
    local holder = tag and redis.call('HGET', holders, tag)
    local ok, entry = pcall(cjson.decode, holder or '')
    return ok and type(entry) == 'table' and entry[1] == node
end

-- The end of a message as kombu writes it: all that the record needs stands there, and nothing has to be decoded. An exchange or a key
-- with a character that is written otherwise than it is read doesn't look like this.
local USUAL = '"delivery_info": {"exchange": "([^"\\]*)", "routing_key": "([^"\\]*)"}, "priority": %d+, "body_encoding": "base64", '
    .. '"delivery_tag": "([%w-]+)"}}$'

-- Returns a message's tag, exchange and routing key, or nil and what is wrong with it. Who fetches reads all of it, and refuses one whose
-- tag isn't this.
local function read(raw)
    if most > 0 and #raw > most then
        return nil, 'it has ' .. #raw .. ' bytes, and stack_message_max_bytes is ' .. most
    end
    local exchange, key, tag = raw:sub(-512):match(USUAL)
    if tag and #tag <= 255 then
        return tag, exchange, key
    end
    local ok, message = pcall(cjson.decode, raw)
    local properties = ok and type(message) == 'table' and message.properties
    if type(properties) ~= 'table' or type(properties.delivery_tag) ~= 'string'
        or type(properties.delivery_info) ~= 'table' then
        return nil, 'broken JSON, or no message of Celery'
    end
    local info = properties.delivery_info
    exchange, key, tag = info.exchange or '', info.routing_key or '', properties.delivery_tag
    if type(exchange) ~= 'string' or type(key) ~= 'string' then
        return nil, 'delivery_info: exchange or routing_key is no text'
    end
    -- What isn't the same text in Lua and in Python would be recorded under one tag and settled under another.
    if tag == '' or #tag > 255 or tag:find('[^\32-\126]') then
        return nil, 'its delivery_tag is no short, plain text'
    end
    return tag, exchange, key
end

-- Returns whether it did: that of another message may stand under this tag, which would then be lost with its worker.
local function record(list, raw, tag, exchange, key)
    -- The message as it is: written anew, its empty lists would become objects.
    local where = cjson.encode(exchange) .. ', ' .. cjson.encode(key)
    if redis.call('HSETNX', messages, tag, '[' .. raw .. ', ' .. where .. ']') == 0 then
        return false
    end
    recorded = tag
    redis.call('ZADD', times, now, tag)
    if node ~= '' then
        redis.call('HSET', holders, tag, cjson.encode({node, list}))
    end
    return true
end

local function set_aside(list, raw, reason)
    local letter = 'unreadable-' .. redis.sha1hex(raw)
    reason = 'unreadable: ' .. reason
    local story = {{at = tonumber(now), node = node, reason = reason}}
    redis.call('HSET', dead, letter, cjson.encode({list = list, message = raw, story = story}))
    if #raw > 2 * END then
        raw = raw:sub(1, END) .. raw:sub(-END)
    end
    return {list, raw, letter, reason}
end

-- Does with a message that was taken what is to become of it, and returns what the script returns.
local function take(list, raw, suspect)
    local tag, exchange, key = read(raw)
    if not tag then
        return set_aside(list, raw, exchange)
    end
    if not record(list, raw, tag, exchange, key) then
        return set_aside(list, raw, 'its delivery_tag is that of a message that a worker holds')
    end
    if suspect then
        redis.call('HSET', running, node, tag)
    end
    return {list, raw, tag}
end

local answers = {}
for index = 5, #ARGV, 2 do
    local ok, done = pcall(settled, messages, times, holders, losses, ARGV[index], ARGV[index + 1])
    table.insert(answers, ok and done or -1)
end

-- A consumer that is no worker takes no suspects. There are none as a rule, which one command tells.
local skipped, begin = 0, first + suspects
if node == '' then
    skipped = suspects
elseif suspects > 0 and redis.call('EXISTS', unpack(KEYS, first, first + suspects - 1)) > 0 then
    if has_suspect() then
        skipped = suspects
    else
        begin = first
    end
end
-- One command for all lists. Its arguments are these and the end from which it takes.
local count = #KEYS - begin + 1
table.insert(KEYS, 'RIGHT')
local taken = redis.call('LMPOP', count, unpack(KEYS, begin))
if not taken then
    return {skipped, unpack(answers)}
end
local list, raw = taken[1], taken[2][1]
local suspect = false
for index = first, first + suspects - 1 do
    suspect = suspect or KEYS[index] == list
end
local ok, answer = pcall(take, list, raw, suspect)
if not ok then
    -- A key of the record is of the wrong type, say. Nothing that was taken is lost to it.
    redis.call('RPUSH', list, raw)
    if recorded then
        redis.call('HDEL', messages, recorded)
    end
    error(answer, 0)
end
return {answer, unpack(answers)}
