#!lua flags=allow-oom
-- Moves an unacknowledged message to the dead letters.
-- KEYS: 1 messages by tag, 2 tags by time, 3 holders by tag, 4 losses by tag, 5 dead letters
-- ARGV: 1 the tag, 2 its id as a dead letter, 3 the letter, 4 the time of the fetch that the caller saw ("" for any)
-- Returns 1 where it moved the message, 0 where somebody else did so meanwhile.
local tag = ARGV[1]
-- These fail on a key of the wrong type before anything is changed.
local score = redis.call('ZSCORE', KEYS[2], tag)
for _, key in ipairs({KEYS[3], KEYS[4], KEYS[5]}) do
    redis.call('HGET', key, tag)
end
if (ARGV[4] ~= '' and tonumber(score or '') ~= tonumber(ARGV[4])) or redis.call('HDEL', KEYS[1], tag) == 0 then
    return 0
end
redis.call('ZREM', KEYS[2], tag)
redis.call('HDEL', KEYS[3], tag)
redis.call('HDEL', KEYS[4], tag)
redis.call('HSET', KEYS[5], ARGV[2], ARGV[3])
return 1
