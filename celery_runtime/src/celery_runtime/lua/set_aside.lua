#!lua flags=allow-oom
-- Renames a key that isn't of the type that is needed. Returns its type, or false where it is as it should be.
-- KEYS: 1 the key, 2 its name from then on. ARGV: 1 the type
local found = redis.call('TYPE', KEYS[1])['ok']
if found == ARGV[1] or found == 'none' then
    return false
end
redis.call('RENAME', KEYS[1], KEYS[2])
return found
