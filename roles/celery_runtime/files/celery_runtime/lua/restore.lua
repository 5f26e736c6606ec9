#!lua flags=allow-oom
-- Moves an unacknowledged message back to a queue, or to the dead letters, unless somebody else did so meanwhile.
-- KEYS: 1 messages by tag, 2 tags by time, 3 holders by tag, 4 losses by tag, 5 dead letters, 6 the list
-- ARGV: 1 the tag, 2 the holder's entry as the caller saw it, 3 the message, 4 "next" or "last" in the list,
--       5 its losses from now on ("" to leave them), 6 its id as a dead letter and 7 the letter ("" to put it into the list)
-- Returns 1 where it moved the message.
local tag = ARGV[1]
if (redis.call('HGET', KEYS[3], tag) or '') ~= ARGV[2] then
    return 0
end
redis.call('HDEL', KEYS[3], tag)
redis.call('ZREM', KEYS[2], tag)
if redis.call('HDEL', KEYS[1], tag) == 0 then
    return 0
end
if ARGV[7] ~= '' then
    redis.call('HDEL', KEYS[4], tag)
    redis.call('HSET', KEYS[5], ARGV[6], ARGV[7])
    return 1
end
if ARGV[5] ~= '' then
    redis.call('HSET', KEYS[4], tag, ARGV[5])
end
-- Workers take from the right.
redis.call(ARGV[4] == 'next' and 'RPUSH' or 'LPUSH', KEYS[6], ARGV[3])
return 1
