#!lua flags=allow-oom
-- Moves one message from a queue into the record of unacknowledged messages, in one step.
--
-- KEYS: 1 messages by tag, 2 tags by time, 3 holders by tag, 4 the suspect that each node runs, 5 dead letters,
--       then the lists of suspects, then the queues' lists in the order in which they are wanted
-- ARGV: 1 the node ("" for a consumer that is no worker), 2 seconds since 1970, 3 the number of lists of suspects,
--       4 the number of bytes up to which a message is read (0 for all)
--
-- Returns {list, message, tag}; or {list, both ends of the message, id as a dead letter, reason} for one that was set aside, so that
-- the worker says so; or where all lists are empty the number of those at the beginning that it didn't look at.
-- allow-oom: a full Redis must be emptied by its workers, and what is moved was counted already.
local messages, times, holders, running, dead = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local node, now, suspects = ARGV[1], ARGV[2], tonumber(ARGV[3])
local most = tonumber(ARGV[4])
local first = 6
-- Bytes of each end of a message that was set aside: somewhere there stands whose it is, however large the rest.
local END = 16384
-- The tag that this call has written to the messages.
local recorded

-- A message that went down with its worker twice runs beside no other such one: only one of them can be the cause.
local function has_suspect()
    local tag = redis.call('HGET', running, node)
    local holder = tag and redis.call('HGET', holders, tag)
    local ok, entry = pcall(cjson.decode, holder or '')
    return ok and type(entry) == 'table' and entry[1] == node
end

-- Returns a message's properties, or nil and what is wrong with it.
local function read(raw)
    if most > 0 and #raw > most then
        return nil, 'it has ' .. #raw .. ' bytes, and stack_message_max_bytes is ' .. most
    end
    local ok, message = pcall(cjson.decode, raw)
    local properties = ok and type(message) == 'table' and message.properties
    if type(properties) ~= 'table' or type(properties.delivery_tag) ~= 'string'
        or type(properties.delivery_info) ~= 'table' then
        return nil, 'broken JSON, or no message of Celery'
    end
    local info = properties.delivery_info
    if type(info.exchange or '') ~= 'string' or type(info.routing_key or '') ~= 'string' then
        return nil, 'delivery_info: exchange or routing_key is no text'
    end
    -- What isn't the same text in Lua and in Python would be recorded under one tag and settled under another.
    if properties.delivery_tag == '' or #properties.delivery_tag > 255 or properties.delivery_tag:find('[^\32-\126]') then
        return nil, 'its delivery_tag is no short, plain text'
    end
    return properties
end

-- Returns the tag, or nil where that of another message stands in its place, which would then be lost with its worker.
local function record(list, raw, properties)
    local tag, info = properties.delivery_tag, properties.delivery_info
    -- The message as it is: written anew, its empty lists would become objects.
    local where = cjson.encode(info.exchange or '') .. ', ' .. cjson.encode(info.routing_key or '')
    if redis.call('HSETNX', messages, tag, '[' .. raw .. ', ' .. where .. ']') == 0 then
        return nil
    end
    recorded = tag
    redis.call('ZADD', times, now, tag)
    if node ~= '' then
        redis.call('HSET', holders, tag, cjson.encode({node, list}))
    end
    return tag
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
    local properties, reason = read(raw)
    if not properties then
        return set_aside(list, raw, reason)
    end
    local tag = record(list, raw, properties)
    if not tag then
        return set_aside(list, raw, 'its delivery_tag is that of a message that a worker holds')
    end
    if suspect then
        redis.call('HSET', running, node, tag)
    end
    return {list, raw, tag}
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
    return skipped
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
return answer
