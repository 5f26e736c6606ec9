#!lua flags=allow-oom
-- Forgets a message that was acknowledged or rejected for good, if it still is who says so that holds it.
-- KEYS: 1 messages by tag, 2 tags by time, 3 holders by tag, 4 losses by tag.
-- ARGV: 1 the tag, 2 the time of the fetch ("" for a message that was recorded without a holder)
-- Returns 1 where it did.
-- The message goes last: what fails before it, as with a key of the wrong type, can be done again.
local tag, at = ARGV[1], tonumber(ARGV[2])
if at then
    if tonumber(redis.call('ZSCORE', KEYS[2], tag) or '') ~= at then
        return 0
    end
elseif redis.call('HGET', KEYS[3], tag) then
    return 0
end
redis.call('HDEL', KEYS[3], tag)
redis.call('HDEL', KEYS[4], tag)
redis.call('ZREM', KEYS[2], tag)
return redis.call('HDEL', KEYS[1], tag)
