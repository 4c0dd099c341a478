-- The only clock there is in production: the server's. Both of the protocol's clocks are its wall clock.
local time = redis.call('TIME')
local lease_us = time[1] * 1000000 + time[2]
local wall_us, epoch, at = lease_us, 0, 0
