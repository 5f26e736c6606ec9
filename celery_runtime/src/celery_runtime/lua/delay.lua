#!lua flags=allow-oom
-- Moves an unacknowledged message to those of its list that wait for their time. What it was blamed for stays with its tag.
-- KEYS: 1 messages by tag, 2 tags by time, 3 holders by tag, 4 the messages that wait, by time
-- ARGV: 1 the tag, 2 the node that holds it, 3 when it is to go back (s since 1970)
-- Returns 1 where it moved the message, 0 where this node doesn't hold it any more, or its record isn't as the script fetch writes it.
local tag = ARGV[1]
local held, holder = pcall(cjson.decode, redis.call('HGET', KEYS[3], tag) or '')
local record = redis.call('HGET', KEYS[1], tag)
if not held or type(holder) ~= 'table' or holder[1] ~= ARGV[2] or not record then
    return 0
end
local read, parts = pcall(cjson.decode, record)
if not read or type(parts) ~= 'table' then
    return 0
end
-- The message as it is: written anew, its empty lists would become objects.
local tail = ', ' .. cjson.encode(parts[2] or '') .. ', ' .. cjson.encode(parts[3] or '') .. ']'
if record:sub(1, 1) ~= '[' or record:sub(-#tail) ~= tail then
    return 0
end
-- The first that may fail, as with a key of the wrong type.
redis.call('ZADD', KEYS[4], ARGV[3], record:sub(2, -#tail - 1))
redis.call('HDEL', KEYS[1], tag)
redis.call('ZREM', KEYS[2], tag)
redis.call('HDEL', KEYS[3], tag)
return 1
