#!lua flags=allow-oom
-- Moves messages whose time has come back to their lists.
-- KEYS: for each list first the messages that wait, by time, and then the list itself
-- ARGV: 1 the time (s since 1970), 2 how many to move at most from each
-- Returns how many it moved.
local moved = 0
for index = 1, #KEYS, 2 do
    local due = redis.call('ZRANGEBYSCORE', KEYS[index], '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
    -- Workers take from the right: the earliest goes last, as the next to be taken.
    for position = #due, 1, -1 do
        redis.call('RPUSH', KEYS[index + 1], due[position])
        redis.call('ZREM', KEYS[index], due[position])
    end
    moved = moved + #due
end
return moved
