-- Forgets a message that was acknowledged or rejected for good, if it still is who says so that holds it; returns 1 where it did.
-- `at` is the time of the fetch, "" for a message that was recorded without a holder.
-- The message goes last: what fails before it, as with a key of the wrong type, can be done again.
local function settled(messages, times, holders, losses, tag, at)
    at = tonumber(at)
    if at then
        if tonumber(redis.call('ZSCORE', times, tag) or '') ~= at then
            return 0
        end
    elseif redis.call('HGET', holders, tag) then
        return 0
    end
    redis.call('HDEL', holders, tag)
    redis.call('HDEL', losses, tag)
    redis.call('ZREM', times, tag)
    return redis.call('HDEL', messages, tag)
end
