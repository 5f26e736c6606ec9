-- Removes the lease of a node that is gone, unless it was renewed meanwhile, and which process of it fetched last.
-- KEYS: 1 leases by node, 2 starts by node. ARGV: 1 the node, 2 its count as the caller saw it
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
    redis.call('HDEL', KEYS[2], ARGV[1])
    return redis.call('HDEL', KEYS[1], ARGV[1])
end
return 0
