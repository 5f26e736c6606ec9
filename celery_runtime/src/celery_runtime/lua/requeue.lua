#!lua flags=allow-oom
-- Moves a dead letter back to the list that it came from, byte by byte as it was.
-- KEYS: 1 dead letters, 2 the list. ARGV: 1 the letter's id
local letter = redis.call('HGET', KEYS[1], ARGV[1])
if not letter then
    return 0
end
-- First there, then gone from here: what fails in between loses nothing.
redis.call('LPUSH', KEYS[2], cjson.decode(letter).message)
redis.call('HDEL', KEYS[1], ARGV[1])
return 1
