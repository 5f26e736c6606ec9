#!lua flags=allow-oom
-- Writes down which process of a node fetches from now on. KEYS: 1 starts by node. ARGV: 1 the node, 2 the process
return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
