#!lua flags=allow-oom
-- Counts a node's lease up and returns all leases, as a flat list of node and count.
-- KEYS: 1 leases by node. ARGV: 1 the node
if not pcall(redis.call, 'HINCRBY', KEYS[1], ARGV[1], 1) then
    -- It was no number, or can't grow. Only whether it moves matters.
    redis.call('HSET', KEYS[1], ARGV[1], 1)
end
return redis.call('HGETALL', KEYS[1])
