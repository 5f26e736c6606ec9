#!lua flags=allow-oom
-- Moves an unacknowledged message back to a queue, or to the dead letters, unless somebody else did so meanwhile.
-- KEYS: 1 messages by tag, 2 tags by time, 3 holders by tag, 4 losses by tag, 5 dead letters, 6 the list
-- ARGV: 1 the tag, 2 the holder's entry as the caller saw it, 3 the message, 4 "next" or "last" in the list,
--       5 its losses from now on ("" to leave them), 6 its id as a dead letter and 7 the letter ("" to put it into the list),
--       8 the time of the fetch as the caller saw it ("" for none)
-- Returns 1 where it moved the message; its id where it became a dead letter.
local tag, id = ARGV[1], ARGV[6]
-- These fail on a key of the wrong type before anything is changed.
local holder, score = redis.call('HGET', KEYS[3], tag), redis.call('ZSCORE', KEYS[2], tag)
redis.call('HGET', KEYS[4], tag)
local taken = redis.call('HGET', KEYS[5], id)
redis.call('LLEN', KEYS[6])
-- The same node may hold it by another fetch.
if (holder or '') ~= ARGV[2] or tonumber(score or '') ~= tonumber(ARGV[8]) or redis.call('HDEL', KEYS[1], tag) == 0 then
    return 0
end
redis.call('HDEL', KEYS[3], tag)
redis.call('ZREM', KEYS[2], tag)
if ARGV[7] ~= '' then
    redis.call('HDEL', KEYS[4], tag)
    if taken then
        id = id .. '~' .. string.sub(redis.sha1hex(ARGV[3]), 1, 12)
    end
    redis.call('HSET', KEYS[5], id, ARGV[7])
    return id
end
if ARGV[5] ~= '' then
    redis.call('HSET', KEYS[4], tag, ARGV[5])
end
-- Workers take from the right.
redis.call(ARGV[4] == 'next' and 'RPUSH' or 'LPUSH', KEYS[6], ARGV[3])
return 1
