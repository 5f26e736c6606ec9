#!lua flags=allow-oom
-- Adds a binding to a table. KEYS: 1 the table. ARGV: 1 the binding
return redis.call('SADD', KEYS[1], ARGV[1])
