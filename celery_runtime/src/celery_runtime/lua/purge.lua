#!lua flags=allow-oom
-- Removes what waits for a queue elsewhere than in its own lists, and forgets what was held against it.
-- KEYS: 1 losses by tag, 2 the list of suspects, then the messages that wait for their time
-- ARGV: 1 how many to remove at most from each
-- Returns how many messages it removed.
local most, purged = tonumber(ARGV[1]), 0

local function forget(raw)
    local ok, message = pcall(cjson.decode, raw)
    local properties = ok and type(message) == 'table' and message.properties
    if type(properties) == 'table' and type(properties.delivery_tag) == 'string' then
        redis.call('HDEL', KEYS[1], properties.delivery_tag)
    end
    purged = purged + 1
end

for _ = 1, most do
    local raw = redis.call('RPOP', KEYS[2])
    if not raw then
        break
    end
    forget(raw)
end
for index = 3, #KEYS do
    for _, raw in ipairs(redis.call('ZRANGE', KEYS[index], 0, most - 1)) do
        redis.call('ZREM', KEYS[index], raw)
        forget(raw)
    end
end
return purged
