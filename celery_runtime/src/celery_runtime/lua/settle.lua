#!lua flags=allow-oom
-- Settles one message. KEYS: 1 messages by tag, 2 tags by time, 3 holders by tag, 4 losses by tag. ARGV: 1 the tag, 2 the time of its fetch
-- Returns 1 where it did.
--include settled
return settled(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1], ARGV[2])
