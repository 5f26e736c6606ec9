#!lua flags=allow-oom
-- Forgets a message that was acknowledged or rejected for good.
-- KEYS: 1 messages by tag, 2 tags by time, 3 holders by tag, 4 losses by tag. ARGV: 1 the tag
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('HDEL', KEYS[4], ARGV[1])
return redis.call('HDEL', KEYS[1], ARGV[1])
