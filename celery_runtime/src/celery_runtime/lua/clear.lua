#!lua flags=allow-oom
-- Removes what is left of a message that isn't there. KEYS: 1 messages by tag, 2 tags by time, 3 holders by tag. ARGV: 1 the tag
if redis.call('HGET', KEYS[1], ARGV[1]) then
    return 0
end
return redis.call('HDEL', KEYS[3], ARGV[1]) + redis.call('ZREM', KEYS[2], ARGV[1])
