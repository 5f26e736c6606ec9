-- Removes an entry, unless it was changed meanwhile. KEYS: 1 the hash. ARGV: 1 the field, 2 its value as the caller saw it
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
    return redis.call('HDEL', KEYS[1], ARGV[1])
end
return 0
